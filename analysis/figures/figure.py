"""The definition of a figure: frames computed from rows, a caption, and a drawing function."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows.view import Rows

Frames = dict[str, pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """A figure of the menu. `draw` only draws the frames of `compute`; it computes no numbers.

    Attributes:
        name: on the command line and of its files.
        title: its heading in a report.
        compute: from rows to frames; raises NotEnough if there are not enough rows.
        caption: from rows and frames to the caption, one sentence per line.
        draw: from frames and caption to the figure.
    """

    name: str
    title: str
    compute: Callable[[Rows], Frames]
    caption: Callable[[Rows, Frames], str]
    draw: Callable[[Frames, str], Figure]
