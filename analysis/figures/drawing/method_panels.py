"""Small multiples, a panel per method and a block per dataset, and names at the ends of lines. Nothing is computed."""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis.figures.drawing.marks import TEXT_COLOUR
from analysis.figures.drawing.pages import COLUMN, PAPER, captioned_figure

COLUMNS = 3  # panels in a paper's column
TITLE_LETTERS = 18
LETTER, LINE = 0.055, 0.11  # inches


def dataset_parts(
    datasets: Iterable[str], inches: Iterable[float], caption: str, longest: int = 0
) -> tuple[Figure, list[tuple[str, SubFigure | Figure]]]:
    """A captioned figure with a titled part per dataset: one as wide as a paper's column, or two abreast.

    Args:
        datasets: their names.
        inches: the height of each one's part.
        caption: under the figure.
        longest: letters of the longest name on a line of its own beside the panels; what is more than usual widens
            the figure.
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
    """Rows of panels that so many methods take."""
    return math.ceil(methods / COLUMNS)


def panels_height(methods: Iterable[str], inches: float) -> float:
    """Inches of the panels of these methods: `inches` a row, and more where names take several lines."""
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
    """A panel per method under its name, with room for a strip of marks; tick labels at the outer edges only.

    Limits are each panel's own to set, before anything is drawn: axes that share or seek theirs cost seconds.

    Args:
        part: of a figure, all of it free unless `grid` is given.
        methods: their labels.
        grid: a subplot specification in the part, to be divided.
        notes: by method, a line between its name and the panel.
        grid_x: whether panels show a grid of their horizontal axes.
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
        ax.xaxis.set_visible(lowest or grid_x)  # without numbers and grid it shows nothing, but costs as much
        axes[method] = ax
    return axes


def wrapped(label: str, letters: int) -> str:
    """The label on lines of at most so many letters, parted at blanks and after plus signs.

    >>> wrapped("WGAN+SN+GP 5", 9)
    'WGAN+SN+\\nGP 5'
    """
    return "\n".join(line.replace("+ ", "+") for line in textwrap.wrap(label.replace("+", "+ "), letters + 1))
