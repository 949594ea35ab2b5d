"""Pages of figures: sizes, captions, and panels per dataset."""

import textwrap
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from analysis.figures.drawing.files import _leave_empty_labels

COLUMN, PAPER = 3.4, 6.9
"""Inches: a paper's column, and its page."""
CLOUD = 2000
"""Panels with more points than this are rasterized, also in PDF and SVG."""
CAPTION_LETTERS = 20  # maximum per inch of a line
CAPTION_SIZE, CAPTION_LINE = 6.5, 0.115  # points; inches
KEPT = "\N{NO-BREAK SPACE}%"  # no line break between a number and %


class RoundedLayout(ConstrainedLayoutEngine):
    """Constrained layout with rounded positions, since the last bits of its solver differ between processes."""

    def execute(self, fig: Any) -> Any:
        """Set the positions of the axes and subfigures."""
        grids = super().execute(fig)
        for part in fig.subfigs:
            part.bbox_relative.set(_rounded(part.bbox_relative))
        for ax in fig.get_axes():
            placed = ax.get_in_layout()
            ax.set_position(_rounded(ax.get_position(original=True)), which="original")
            ax.set_in_layout(placed)  # set_position removes the axes from the layout
        return grids


def _rounded(place: Bbox) -> Bbox:
    """A position in figure fractions, rounded to 9 digits."""
    return Bbox.from_extents(*(round(end, 9) for end in place.extents))


def captioned_figure(width: float, height: float, caption: str) -> Figure:
    """An empty figure of the given size in inches, plus the caption below it."""
    wrapped = textwrap.wrap(caption.replace(" %", KEPT), int(width * CAPTION_LETTERS))
    text = [line.replace(KEPT, " %") for line in wrapped]
    figure = Figure(figsize=(width, height + CAPTION_LINE * len(text) + 0.1), layout=RoundedLayout())
    figure.supxlabel("\n".join(text), x=0.01, ha="left", fontsize=CAPTION_SIZE, color="0.25", linespacing=1.25)
    return figure


def dataset_axes(
    datasets: Iterable[str], height: float, caption: str, width: float = COLUMN
) -> tuple[Figure, dict[str, Axes]]:
    """A captioned figure with a panel per dataset, in at most two columns.

    Args:
        datasets: names, the titles of the panels.
        height: height of a panel, in inches.
        caption: below the figure.
        width: width of a single column, in inches; two columns have at least the width of a page.
    """
    names = list(dict.fromkeys(datasets))
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = captioned_figure(width if columns == 1 else max(PAPER, 2 * width), height * lines, caption)
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for name, ax in zip(names, axes, strict=False):
        ax.set_title(name, loc="left", fontweight="bold")
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure, dict(zip(names, axes, strict=False))


def lay_out(figure: Figure) -> None:
    """Compute the layout of the figure, as saving it does, without the cost of drawing."""
    _leave_empty_labels(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
