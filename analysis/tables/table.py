"""What a table of the study is: a frame computed from rows, and how a person reads it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.rows.view import Rows

Block = tuple[str, dict[str, list[str]]]
"""A title, and cells by column."""


@dataclass(frozen=True, kw_only=True)
class TableKind:
    """A table by name. `words` decides every word that is printed; `analysis.tables.layouts` only lays them out.

    Attributes:
        name: on the command line.
        title: its heading in a report.
        compute: from rows to a frame at full precision; raises NotEnough where there is nothing to show.
        words: from that frame to what is printed, usually a block per dataset.
        caption: what a reader must know, one sentence per line.
    """

    name: str
    title: str
    compute: Callable[[Rows], pd.DataFrame]
    words: Callable[[pd.DataFrame], Iterable[Block]]
    caption: Callable[[Rows, pd.DataFrame], str]
