"""Small multiples: a block per dataset with a panel per method."""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis.figures.drawing.marks import TEXT_COLOUR
from analysis.figures.drawing.pages import COLUMN, PAPER, captioned_figure

COLUMNS = 3  # panels in a column of a paper
TITLE_LETTERS = 18
LETTER, LINE = 0.055, 0.11  # inches


def dataset_parts(
    datasets: Iterable[str], inches: Iterable[float], caption: str, longest: int = 0
) -> tuple[Figure, list[tuple[str, SubFigure | Figure]]]:
    """A captioned figure with a titled part per dataset, in one column of a paper or in two.

    Args:
        datasets: names.
        inches: the height of each part.
        caption: below the figure.
        longest: number of letters of the longest name to the right of the panels; long names widen the figure.
    """
    names, heights = list(datasets), list(inches)
    columns = min(2, len(names))
    rows = [max(heights[at : at + columns]) for at in range(0, len(names), columns)]
    more = LETTER * max(0, longest - TITLE_LETTERS) * columns
    figure = captioned_figure((COLUMN if columns == 1 else PAPER) + more, sum(rows), caption)
    parts = figure.subfigures(len(rows), columns, squeeze=False, height_ratios=rows).flatten()
    for name, part in zip(names, parts, strict=False):
        part.suptitle(name, x=0.02, ha="left", fontsize=8.5, fontweight="bold")
    return figure, list(zip(names, parts, strict=False))


def rows_of(methods: int) -> int:
    """Number of rows of panels for this number of methods."""
    return math.ceil(methods / COLUMNS)


def panels_height(methods: Iterable[str], inches: float) -> float:
    """Height of the panels of these methods in inches: `inches` per row, and more if names have several lines."""
    names = list(methods)
    lines = max(wrapped(name, TITLE_LETTERS).count("\n") for name in names)
    return rows_of(len(names)) * (inches + LINE * lines)


def method_panels(
    part: SubFigure | Figure,
    methods: list[str],
    grid: Any = None,
    notes: dict[str, str] | None = None,
    grid_x: bool = False,
) -> dict[str, Axes]:
    """A panel per method under its name, with room for marks above the axes; tick labels only at the outer edges.

    The limits of each panel must be set before drawing: sharing or autoscaling axes costs seconds.

    Args:
        part: an empty part of a figure, unless `grid` is given.
        methods: labels.
        grid: a subplot specification in the part, which is divided.
        notes: by method, a line between its name and its panel.
        grid_x: whether panels have vertical grid lines.
    """
    lines, columns = rows_of(len(methods)), min(COLUMNS, len(methods))
    spec = part.add_gridspec(lines, columns) if grid is None else grid.subgridspec(lines, columns)
    axes: dict[str, Axes] = {}
    for at, method in enumerate(methods):
        ax = part.add_subplot(spec[at // columns, at % columns], autoscale_on=False)
        title = wrapped(method, TITLE_LETTERS)
        look: dict[str, Any] = {"fontsize": 6 if "\n" in title else 7, "fontweight": "bold", "color": TEXT_COLOUR}
        ax.set_title(title, loc="left", pad=10 if notes else 7, **look)
        if notes:
            ax.text(0, 1.04, notes[method], transform=ax.transAxes, fontsize=6, color="0.35", va="bottom")
        lowest = at + columns >= len(methods)
        ax.tick_params(labelsize=6, labelleft=at % columns == 0, labelbottom=lowest)
        ax.xaxis.set_visible(lowest or grid_x)  # an invisible axis saves time
        axes[method] = ax
    return axes


def wrapped(label: str, letters: int) -> str:
    """The label on lines of at most `letters` letters, split at blanks and after plus signs.

    >>> wrapped("WGAN+SN+GP 5", 9)
    'WGAN+SN+\\nGP 5'
    """
    return "\n".join(line.replace("+ ", "+") for line in textwrap.wrap(label.replace("+", "+ "), letters + 1))
