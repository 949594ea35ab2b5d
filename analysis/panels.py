"""Small multiples, a panel per method and a block per dataset, and names at the ends of lines. Nothing is computed."""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator, NullLocator

from analysis.ink import CLOUD, COLUMN, PAPER, captioned, plain_numbers
from analysis.intervals import Array
from analysis.style import colour

ABREAST = 3  # panels in a paper's column
TITLE_LETTERS = 18
LETTER, LINE = 0.055, 0.11  # inches
INK = "0.15"  # of names: the lighter colours are hard to read as letters


def blocks(
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
    abreast = min(2, len(names))
    rows = [max(heights[at : at + abreast]) for at in range(0, len(names), abreast)]
    more = LETTER * max(0, longest - TITLE_LETTERS) * abreast
    figure = captioned((COLUMN if abreast == 1 else PAPER) + more, sum(rows), caption)
    parts = figure.subfigures(len(rows), abreast, squeeze=False, height_ratios=rows).flatten()
    for name, part in zip(names, parts, strict=False):
        part.suptitle(name, x=0.02, ha="left", fontsize=8.5, fontweight="bold")
    return figure, list(zip(names, parts, strict=False))


def rows_of(methods: int) -> int:
    """Rows of panels that so many methods take."""
    return math.ceil(methods / ABREAST)


def height_of(methods: Iterable[str], inches: float) -> float:
    """Inches of the panels of these methods: `inches` a row, and more where names take several lines."""
    names = list(methods)
    lines = max(wrapped(name, TITLE_LETTERS).count("\n") for name in names)
    return rows_of(len(names)) * (inches + LINE * lines)


def panel_each(
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
    lines, columns = rows_of(len(methods)), min(ABREAST, len(methods))
    spec = part.add_gridspec(lines, columns) if grid is None else grid.subgridspec(lines, columns)
    axes: dict[str, Axes] = {}
    for at, method in enumerate(methods):
        ax = part.add_subplot(spec[at // columns, at % columns], autoscale_on=False)
        title = wrapped(method, TITLE_LETTERS)
        look: dict[str, Any] = {"fontsize": 6 if "\n" in title else 7, "fontweight": "bold", "color": INK}
        ax.set_title(title, loc="left", pad=10 if notes else 7, **look)
        if notes:
            ax.text(0, 1.04, notes[method], transform=ax.transAxes, fontsize=6, color="0.35", va="bottom")
        lowest = at + columns >= len(methods)
        ax.tick_params(labelsize=6, labelleft=at % columns == 0, labelbottom=lowest)
        ax.xaxis.set_visible(lowest or grid_x)  # without numbers and grid it shows nothing, but costs as much
        axes[method] = ax
    return axes


def together(x: Iterable[Any], y: Iterable[Any]) -> tuple[Array, Array]:
    """Several lines as one, broken between them: drawn at once they cost what one costs."""
    broken = [np.concatenate([np.append(np.asarray(each, dtype=float), np.nan) for each in ends]) for ends in (x, y)]
    return broken[0], broken[1]


def wrapped(label: str, letters: int) -> str:
    """The label on lines of at most so many letters, parted at blanks and after plus signs.

    >>> wrapped("WGAN+SN+GP 5", 9)
    'WGAN+SN+\\nGP 5'
    """
    return "\n".join(line.replace("+ ", "+") for line in textwrap.wrap(label.replace("+", "+ "), letters + 1))


def strip(ax: Axes, x: Any, mark: str, ink: str) -> None:
    """Marks above the axis, for what has no place on it."""
    if len(x):
        look: dict[str, Any] = {"ms": 2.2, "mew": 0.5 if mark == "x" else 0, "color": ink, "clip_on": False}
        ax.plot(x, [1.07] * len(x), mark, transform=ax.get_xaxis_transform(), rasterized=len(x) > CLOUD, **look)


def counting_axis(ax: Axes, most: int) -> None:
    """A logarithmic x axis for whole numbers from 1 to `most`, ticked 1, 2, 5, 10, ..., or 1, 10, 100, ... if many."""
    ax.set_xscale("log")
    ax.set_xlim(0.9, 1.1 * most)
    counts = [digit * 10**power for power in range(len(str(most))) for digit in ((1, 2, 5) if most <= 500 else (1,))]
    shown = [count for count in counts if count <= most]
    ax.set_xticks(shown, [f"{count:g}" for count in shown])
    ax.xaxis.set_minor_locator(NullLocator())


def score_axis(ax: Axes, side: str, low: float, high: float, most: int = 4) -> None:
    """The x or y axis (`side`) of small panels, from a little below the lowest score to a little above the highest.

    Logarithmic with at most so many plain numbers, where both are above 0.
    """
    axis: Axis = ax.xaxis if side == "x" else ax.yaxis
    if not (np.isfinite(low) and np.isfinite(high)):
        axis.set_ticks([])
        return
    limits = ax.set_xlim if side == "x" else ax.set_ylim
    axis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    if low <= 0:
        pad = 0.04 * (high - low) or 0.05
        limits(low - pad, high + pad)
        axis.set_major_locator(MaxNLocator(3))
        return
    pad = 0.04 * math.log(high / low) or 0.05
    ax.set(**{f"{side}scale": "log"})
    limits(low * math.exp(-pad), high * math.exp(pad))
    plain_numbers(axis, most)


def forest(ax: Axes, rows: pd.DataFrame, value: str, methods: list[str], filled: str | None = None) -> None:
    """A line per method with a dot at `value` and a bar from `value`_low to `value`_high, clipped to the axis.

    Args:
        ax: whose x axis has its limits.
        rows: at most one per method: method (its label) and those columns; a value that is NaN is said to be unknown.
        value: a column.
        methods: their labels, from the top.
        filled: a column that says whether a dot is filled; all are where None.
    """
    left, right = ax.get_xlim()
    known = rows.set_index("method")
    for at, method in enumerate(methods):
        ax.axhline(at, color="0.94", lw=0.5, zorder=0)
        if method not in known.index:
            continue
        row, ink = known.loc[method], colour(method)
        if pd.isna(row[value]):
            ax.text(
                0.5, at, "unknown", transform=ax.get_yaxis_transform(), size=6, color="0.6", ha="center", va="center"
            )
            continue
        ends = [max(row[f"{value}_low"], left), min(row[f"{value}_high"], right)]
        ax.plot(ends, [at, at], color=ink, lw=1.2, solid_capstyle="butt")
        face = ink if filled is None or row[filled] else "white"
        ax.plot(row[value], at, "o", ms=4, mfc=face, mec=ink, mew=1, clip_on=False)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(labelsize=6.5, left=False)
    ax.xaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)


def name_ends(ax: Axes, ends: pd.DataFrame, size: float = 6.5) -> None:
    """Names to the right of the axes, each joined to the end of its line, moved apart where they would overlap.

    To be called when limits and the figure's size stand.

    Args:
        ends: method (its label), text, x, y: where each line ends, in data coordinates.
        size: of the text, in points.
    """
    step = 1.25 * size / 72 * ax.figure.dpi / ax.bbox.height
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    ordered = ends.assign(at=[float(to_axes((x, y))[1]) for x, y in zip(ends["x"], ends["y"], strict=True)])
    ordered = ordered.sort_values("at", kind="stable")
    for (_, end), place in zip(ordered.iterrows(), _apart(list(ordered["at"].clip(0, 1)), step), strict=True):
        ink = colour(end["method"])
        ax.annotate(
            end["text"],
            (end["x"], end["y"]),
            xytext=(1.1, place),
            xycoords="data",
            textcoords="axes fraction",
            fontsize=size,
            color=INK,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": ink,
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),  # to the left of the name, however steep
            },
        )


def _apart(places: list[float], step: float) -> list[float]:
    """Ascending places moved as little as it takes to be `step` apart: clusters stay centred where they were wanted."""
    clusters: list[tuple[float, int]] = []  # centre, size
    for place in places:
        clusters.append((place, 1))
        while len(clusters) > 1:
            (a, m), (b, n) = clusters[-2:]
            if b - a >= step * (m + n) / 2:
                break
            clusters[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [centre + step * (at - (size - 1) / 2) for centre, size in clusters for at in range(size)]
