"""Marks that several figures draw: joined lines, symbols above the axis, intervals per method, names of lines."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.pages import CLOUD
from analysis.figures.drawing.style import colour
from analysis.statistics.intervals import Array

TEXT_COLOUR = "0.15"  # text colour; lighter colours are hard to read


def joined_lines(x: Iterable[Any], y: Iterable[Any]) -> tuple[Array, Array]:
    """Several lines joined into one with gaps (NaN), which is faster to draw."""
    broken = [np.concatenate([np.append(np.asarray(each, dtype=float), np.nan) for each in ends]) for ends in (x, y)]
    return broken[0], broken[1]


def marks_above(ax: Axes, x: Any, mark: str, shade: str) -> None:
    """Draw marks above the axes, for points that are not on the scale."""
    if len(x):
        look: dict[str, Any] = {"ms": 2.2, "mew": 0.5 if mark == "x" else 0, "color": shade, "clip_on": False}
        ax.plot(x, [1.07] * len(x), mark, transform=ax.get_xaxis_transform(), rasterized=len(x) > CLOUD, **look)


def forest_plot(ax: Axes, rows: pd.DataFrame, value: str, methods: list[str], filled: str | None = None) -> None:
    """A forest plot: per method a dot at `value` and a bar from `value`_low to `value`_high, clipped to the axis.

    Args:
        ax: with the limits of the x axis set.
        rows: at most one per method, with method (its label) and these columns; NaN is shown as unknown.
        value: a column.
        methods: labels, from the top.
        filled: a boolean column, whether a dot is filled; None: all are filled.
    """
    left, right = ax.get_xlim()
    known = rows.set_index("method")
    for at, method in enumerate(methods):
        ax.axhline(at, color="0.94", lw=0.5, zorder=0)
        if method not in known.index:
            continue
        row, shade = known.loc[method], colour(method)
        if pd.isna(row[value]):
            ax.text(
                0.5, at, "unknown", transform=ax.get_yaxis_transform(), size=6, color="0.6", ha="center", va="center"
            )
            continue
        ends = [max(row[f"{value}_low"], left), min(row[f"{value}_high"], right)]
        ax.plot(ends, [at, at], color=shade, lw=1.2, solid_capstyle="butt")
        face = shade if filled is None or row[filled] else "white"
        ax.plot(row[value], at, "o", ms=4, mfc=face, mec=shade, mew=1, clip_on=False)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_yticks(range(len(methods)), methods)
    ax.tick_params(labelsize=6.5, left=False)
    ax.xaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)


def label_line_ends(ax: Axes, ends: pd.DataFrame, size: float = 6.5) -> None:
    """Names to the right of the axes, each joined to the end of its line, moved apart if they would overlap.

    Call this after the limits and the size of the figure are final.

    Args:
        ends: method (its label), text, x, y: where each line ends, in data coordinates.
        size: of the text, in points.
    """
    step = 1.25 * size / 72 * ax.figure.dpi / ax.bbox.height
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    ordered = ends.assign(at=[float(to_axes((x, y))[1]) for x, y in zip(ends["x"], ends["y"], strict=True)])
    ordered = ordered.sort_values("at", kind="stable")
    for (_, end), place in zip(ordered.iterrows(), _apart(list(ordered["at"].clip(0, 1)), step), strict=True):
        shade = colour(end["method"])
        ax.annotate(
            end["text"],
            (end["x"], end["y"]),
            xytext=(1.1, place),
            xycoords="data",
            textcoords="axes fraction",
            fontsize=size,
            color=TEXT_COLOUR,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": shade,
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),  # always to the left of the name
            },
        )


def _apart(places: list[float], step: float) -> list[float]:
    """Ascending positions, moved as little as possible to be `step` apart; clusters keep their centre."""
    clusters: list[tuple[float, int]] = []  # centre, size
    for place in places:
        clusters.append((place, 1))
        while len(clusters) > 1:
            (a, m), (b, n) = clusters[-2:]
            if b - a >= step * (m + n) / 2:
                break
            clusters[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [centre + step * (at - (size - 1) / 2) for centre, size in clusters for at in range(size)]
