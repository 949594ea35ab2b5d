"""What a figure of the study is: frames computed from rows, and how they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows.view import Rows

Frames = dict[str, pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A figure by name. Numbers before ink: `draw` shows the frames of `compute`, and computes nothing.

    Attributes:
        name: of its files and on the command line.
        title: its heading in a report.
        compute: from rows to frames; raises NotEnough where there is nothing to show.
        caption: what a reader must know, one sentence per line.
        draw: from frames and caption to the figure.
    """

    name: str
    title: str
    compute: Callable[[Rows], Frames]
    caption: Callable[[Rows, Frames], str]
    draw: Callable[[Frames, str], Figure]
