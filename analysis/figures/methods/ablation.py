"""Paired ablations: the change of the score when one factor changes (cf. appendix D)."""

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures.drawing.axes import fitted
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.pages import COLUMN, dataset_axes
from analysis.figures.drawing.style import PAGE
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.methods.ablation import WITHOUT, paired_ablations
from analysis.frames.methods.compare import HIGHER, LOWER, NO_INTERVAL
from analysis.rows.labels import TERMS, in_words
from analysis.rows.scores import TRAININGS
from analysis.rows.view import NotEnough, Rows, computed_once

VERDICT_COLOURS = {LOWER: "#0072B2", HIGHER: "#D55E00"}
"""Colours of resolved changes."""
TICKS = (0, -0.1, 0.1, -0.2, 0.2, -0.3, 0.3, -0.5, 0.5, 1, -0.8, 2, 4, -0.9, 9, 19, 49, 99)
"""Candidate tick positions by priority; those with enough distance from earlier ones are used."""
ROOM = 0.16
"""Minimum distance of ticks, as a share of the axis."""


@computed_once
def compute(rows: Rows) -> Frames:
    """table: of `paired_ablations`, with score_label."""
    table = paired_ablations(rows.trials, rows.rule, rows.level)
    if table.empty:
        raise NotEnough("No two trainings differ in one factor only, with equal hyperparameters and seed.")
    return {"table": rows.with_score_label(table)}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: pairs and intervals."""
    table = frames["table"]
    levels = table.drop_duplicates("dataset")
    each = "; ".join(
        f"{dataset}: {100 * of:.2f} % each" for dataset, of in zip(levels["dataset"], levels["level"], strict=True)
    )
    return common(
        replace(rows, pool=TRAININGS),
        "Dot: median relative change of the score when one factor changes, over n pairs of trainings that are equal "
        "in everything else, including seed and hyperparameters; left is better. Line: its interval by order "
        f"statistics, simultaneous for all rows of a dataset at {100 * rows.level:g} % ({each}); an unbounded end "
        "reaches the edge. Blue: lower; red: higher; grey: not resolved; hollow: too few pairs for an interval.",
        "A training without a score ranks last; a pair of two such trainings is a tie.",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A panel per dataset, with one row per factor and value."""
    tables = dict(iter(frames["table"].groupby("dataset")))
    height = 0.7 + 0.14 * max(len(table) + table["factor"].nunique() for table in tables.values())
    with mpl.rc_context(PAGE):
        figure, axes = dataset_axes([str(dataset) for dataset in tables], height, caption, COLUMN)
        for dataset, ax in axes.items():
            _panel(ax, tables[dataset])
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    left, right = _limits(table)
    ticks: dict[float, str] = {}
    line = 0.0
    for factor, rows in table.groupby("factor", sort=False):
        ax.text(
            -0.02, line, _heading(str(factor), rows["from"].iloc[0]), transform=ax.get_yaxis_transform(),
            ha="right", va="center", fontsize=6.5, fontweight="bold",
        )  # fmt: skip
        for row in rows.to_dict("records"):
            line += 1
            _interval(ax, line, row, left, right)
            ticks[line] = f"{_word(row['to'])} (n={row['pairs']})"
        line += 1.3
    ax.axvline(0, color="0.3", lw=0.6, zorder=1)
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set_ylim(line - 0.8, -0.8)
    ax.set_xscale("function", functions=(np.log1p, np.expm1))
    ax.set_xlim(left, right)
    ax.xaxis.set_major_locator(FixedLocator(_ticks(left, right)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.0f}" if value else "0"))
    ax.xaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel(fitted(f"change of {table['score_label'].iloc[0]},\N{NO-BREAK SPACE}%", COLUMN / 2))


def _ticks(left: float, right: float) -> list[float]:
    """The TICKS that are used on an axis from `left` to `right`.

    >>> _ticks(-0.25, 0.3), _ticks(-0.38, 3.3)
    ([0, -0.1, 0.1, -0.2, 0.3], [0, -0.3, 0.5, 2])
    """
    room = ROOM * (np.log1p(right) - np.log1p(left))
    shown: list[float] = []
    for tick in TICKS:
        if left <= tick <= right and all(abs(np.log1p(tick) - np.log1p(other)) >= room for other in shown):
            shown.append(tick)
    return shown


def _interval(ax: Axes, line: float, row: dict[Hashable, Any], left: float, right: float) -> None:
    """The dot and its interval, clipped to the axis."""
    shade, known = VERDICT_COLOURS.get(row["verdict"], "0.45"), row["verdict"] != NO_INTERVAL
    if known:
        ax.plot([max(row["low"], left), min(row["high"], right)], [line, line], color=shade, lw=1.2, zorder=2)
    beyond = "<" if row["median"] < left else ">" if row["median"] > right else "o"
    ax.plot(
        np.clip(row["median"], left, right),
        line,
        beyond,
        ms=3.5,
        color=shade,
        mfc=shade if known else "white",
        clip_on=False,
        zorder=3,
    )


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """From the lowest to the highest finite end, within -95 to 1900 %."""
    ends = table[["median", "low", "high"]].to_numpy().ravel()
    ends = ends[np.isfinite(ends)]
    low, high = min(ends.min(initial=0), -0.1), max(ends.max(initial=0), 0.1)
    return float(max(1.05 * low, -0.95)), float(min(1.1 * high, 19))


def _heading(factor: str, usual: str) -> str:
    name = in_words(factor)
    return f"{name} added" if usual == WITHOUT else f"{name}, from {_word(usual)}"


def _word(name: str) -> str:
    return TERMS.get(name, name)


FIGURE = FigureKind(name="ablation", title="One change at a time", compute=compute, caption=caption, draw=draw)
