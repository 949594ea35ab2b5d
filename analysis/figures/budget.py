"""The best score that a budget of trainings finds, for each method (the lower rows of the paper's Figures 1 to 3)."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.budget import budget_curve
from analysis.captions import common
from analysis.figures.kind import FigureKind, Frames, NotEnough
from analysis.ink import datasets_abreast, scale_scores, score_name
from analysis.paper.beside import beside_caption, boxes_beside, comparable
from analysis.rows import Rows
from analysis.style import PAGE, colour

PAPER_LEGEND = (
    "Diamonds at the right: the median of the paper's best 5 %, a figure of it each; of a pool, and so of no one "
    "budget."
)


def compute(rows: Rows) -> Frames:
    """curve: of `budget_curve`, with score_label; beside: of `boxes_beside`; paper: what is shown of them."""
    curve = budget_curve(rows.scored)
    if curve.empty:
        raise NotEnough("No trial has a score.")
    beside = boxes_beside(rows.scored)
    curve = curve.assign(score_label=curve["dataset"].map(score_name(rows.trials)))
    return {"curve": curve, "beside": beside, "paper": comparable(beside)}


def caption(rows: Rows, frames: Frames) -> str:
    """What the lines are."""
    return common(
        rows,
        "Line: the lowest score of k trainings, its mean over all random orders of a method's pool; band: 5 to 95 % of "
        "orders, which closes towards the size of the pool, since all of it is drawn.",
        "Trainings without a score count; an order that has none by then counts as the dataset's worst score.",
        *([PAPER_LEGEND] if len(frames["paper"]) else []),
        *beside_caption(frames["beside"]),
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A panel per dataset, a line per method."""
    curve = frames["curve"]
    with mpl.rc_context(PAGE):
        figure, axes = datasets_abreast(curve["dataset"].unique(), 2.4, caption)
        for dataset, ax in axes.items():
            _panel(ax, curve[curve["dataset"] == dataset])
            _paper_medians(ax, frames["paper"][frames["paper"]["dataset"] == dataset])
    return figure


def _panel(ax: Axes, curve: pd.DataFrame) -> None:
    top = 3 * curve["mean"].min()
    for label, line in curve.groupby("method", sort=False):
        ink = colour(str(label))
        ax.plot(line["k"], line["mean"], color=ink, lw=1.2, label=f"{label} ({line['n'].iloc[0]})", zorder=3)
        shown = line[np.isfinite(line["low"])]
        ax.fill_between(
            shown["k"], shown["low"], shown["high"].clip(upper=curve["mean"].max()), color=ink, alpha=0.1, lw=0
        )
    ax.set_xscale("log")
    ax.set_xlabel("budget k: trainings")
    ax.set_ylabel(curve["score_label"].iloc[0])
    low, high = curve["low"].min(), min(curve["mean"].max(), max(top, curve["mean"].median()))
    if low > 0:
        ax.set_ylim(low * 0.97, high * 1.05)
    scale_scores(ax, curve["mean"])
    ax.legend(frameon=False, fontsize=6.5, title="method (pool)", title_fontsize=6.5)


def _paper_medians(ax: Axes, boxes: pd.DataFrame) -> None:
    """Hollow diamonds beside the axis, in the colours of the methods; those beyond the axis are left out."""
    low, high = ax.get_ylim()
    for _, row in boxes[boxes["median"].between(low, high)].iterrows():
        look: dict[str, Any] = {
            "marker": "D",
            "ms": 3.2,
            "mfc": "none",
            "mew": 0.8,
            "color": colour(row["method_label"]),
        }
        ax.plot(1.025, row["median"], transform=ax.get_yaxis_transform(), clip_on=False, **look)


FIGURE = FigureKind(
    name="budget", title="What a budget of trainings finds", compute=compute, caption=caption, draw=draw
)
