"""The definition of a table: a frame computed from rows, its text, and a caption."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.rows.view import Rows

Block = tuple[str, dict[str, list[str]]]
"""A title, and cells by column."""


@dataclass(frozen=True, kw_only=True)
class TableKind:
    """A table of the menu. `words` formats all cells as text; `analysis.tables.layouts` only arranges them.

    Attributes:
        name: on the command line.
        title: its heading in a report.
        compute: from rows to a frame at full precision; raises NotEnough if there are not enough rows.
        words: from that frame to blocks of text cells, usually one block per dataset.
        caption: from rows and frame to the caption, one sentence per line.
    """

    name: str
    title: str
    compute: Callable[[Rows], pd.DataFrame]
    words: Callable[[pd.DataFrame], Iterable[Block]]
    caption: Callable[[Rows, pd.DataFrame], str]
