"""Expected best score by budget of trainings, for each method (the lower rows of the paper's Figures 1 to 3)."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.axes import fitted, set_count_axis, set_score_axis, set_score_scale
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.marks import joined_lines, label_line_ends
from analysis.figures.drawing.method_panels import LINE, dataset_parts, method_panels, panels_height
from analysis.figures.drawing.pages import lay_out
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.methods.budget import budget_curve
from analysis.paper.comparison import comparable, paired_boxes, paper_caption
from analysis.rows.scores import pools
from analysis.rows.view import NotEnough, Rows

PAPER_LEGEND = (
    "Diamonds on the axis: the median of the paper's best 5 %, one for each of its figures; a median of a whole pool, "
    "not of a particular budget."
)
FAR = 10
"""The axis ends at this multiple of the lowest score, or above the ends of all lines if that is higher."""
LEAST_OVERVIEW = 2.2  # height of the panel of all methods, in inches
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (4, 1, 1, 1)))
"""Line styles of methods with the same colour."""


def compute(rows: Rows) -> Frames:
    """curve: of `budget_curve`, with score_label and far (the end of the dataset's axis); without: methods without
    any score (dataset, method, n); beside: of `paired_boxes`; paper: the ones shown."""
    needed = rows.scored[["dataset", "method_label", "score"]]
    curve = budget_curve(needed)
    if curve.empty:
        raise NotEnough("No trial has a score.")
    means = curve.groupby("dataset")["mean"]
    ends = curve.groupby(["dataset", "method"])["mean"].last().groupby("dataset").max()
    far = pd.Series(np.minimum(means.max(), np.maximum(ends, FAR * means.min())))
    labels = curve["dataset"].map(rows.score_names)
    without = [(*key, len(pool)) for key, pool in pools(needed).items() if pool["score"].isna().all()]
    beside = paired_boxes(rows.scored)
    return {
        "curve": curve.assign(score_label=labels, far=curve["dataset"].map(far)),
        "without": pd.DataFrame(without, columns=["dataset", "method", "n"]),
        "beside": beside,
        "paper": comparable(beside),
    }


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: lines, bands and the paper's medians."""
    return common(
        rows,
        "Line: mean lowest score of k trainings, over all random orders of a method's pool, whose size follows the "
        "method's name (small panels, grey: the other methods). Band: 5 to 95 % of orders; it narrows as k approaches "
        "the pool size.",
        "Trainings without a score are counted: an order that has no score within k trainings counts as the dataset's "
        "worst score, and the band is open there.",
        *(
            f"{row.dataset}: no training of {row.method} has a score ({row.n})."
            for row in frames["without"].itertuples()
        ),
        *([PAPER_LEGEND] if len(frames["paper"]) else []),
        *paper_caption(frames["beside"]),
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A block per dataset: a panel of all methods, and below it a small panel with a band for each method."""
    curve = frames["curve"]
    methods = {str(name): here["method"].unique() for name, here in curve.groupby("dataset", sort=False)}
    large = {dataset: max(LEAST_OVERVIEW, 0.9 + LINE * len(names)) for dataset, names in methods.items()}
    small = {dataset: panels_height(names, 0.85) + 0.2 for dataset, names in methods.items()}
    longest = int(curve["method"].str.len().max())
    with mpl.rc_context(PAGE):
        figure, parts = dataset_parts(methods, [0.3 + large[name] + small[name] for name in methods], caption, longest)
        overviews = []
        for dataset, part in parts:
            here = curve[curve["dataset"] == dataset]
            grid = part.add_gridspec(2, 1, height_ratios=[large[dataset], small[dataset]])
            overviews.append((_overview(part.add_subplot(grid[0]), here), here))
            _paper_medians(overviews[-1][0], frames["paper"][frames["paper"]["dataset"] == dataset])
            axes = method_panels(part, list(methods[dataset]), grid[1])
            for method, ax in axes.items():
                _panel(ax, method, here)
        lay_out(figure)  # positions of names depend on the layout
        for ax, here in overviews:
            ends = here.groupby("method", sort=False).last().reset_index()
            texts = ends["method"] + " (" + ends["n"].astype(str) + ")"
            label_line_ends(
                ax, pd.DataFrame({"method": ends["method"], "text": texts, "x": ends["k"], "y": ends["mean"]})
            )
    return figure


def _overview(ax: Axes, curve: pd.DataFrame) -> Axes:
    """The lines of all methods; lines with the same colour differ in style."""
    observed: dict[str, int] = {}
    for method, line in curve.groupby("method", sort=False):
        shade = colour(str(method))
        observed[shade] = observed.get(shade, -1) + 1
        ax.plot(line["k"], line["mean"], color=shade, lw=1.3, ls=DASHES[observed[shade] % len(DASHES)])
        ax.plot(line["k"].iloc[-1], line["mean"].iloc[-1], "o", ms=2.5, mew=0, color=shade)
    _scale(ax, curve)
    set_score_scale(ax, curve["mean"])
    ax.set_xlabel("budget k: trainings")
    ax.set_ylabel(fitted(curve["score_label"].iloc[0], LEAST_OVERVIEW - 0.6))
    return ax


def _panel(ax: Axes, method: str, curve: pd.DataFrame) -> None:
    """The line and band of one method, in front of all others."""
    _scale(ax, curve)
    lines = [(line["k"], line["mean"]) for _, line in curve.groupby("method", sort=False)]
    ax.plot(*joined_lines(*zip(*lines, strict=True)), color="0.8", lw=0.5, zorder=1)
    band = curve[curve["method"] == method]
    open_end = band["high"].where(np.isfinite(band["high"]), 2 * band["far"])
    shown = np.isfinite(band["low"])
    ax.plot(band["k"], band["mean"], color=colour(method), lw=1.2, zorder=3)
    ax.fill_between(band["k"][shown], band["low"][shown], open_end[shown], color=colour(method), alpha=0.2, lw=0)


def _scale(ax: Axes, curve: pd.DataFrame) -> None:
    """Set the axes of a panel, the same for all panels of a dataset."""
    set_count_axis(ax, curve["k"].max())
    set_score_axis(ax, "y", curve["mean"].min(), curve["far"].iloc[0])


def _paper_medians(ax: Axes, boxes: pd.DataFrame) -> None:
    """Hollow diamonds on the y axis, in the colours of the methods; medians outside the axis are not drawn."""
    low, high = ax.get_ylim()
    for _, row in boxes[boxes["median"].between(low, high)].iterrows():
        look: dict[str, Any] = {
            "marker": "D",
            "ms": 3.2,
            "mfc": "none",
            "mew": 0.8,
            "color": colour(row["method_label"]),
        }
        ax.plot(0, row["median"], transform=ax.get_yaxis_transform(), clip_on=False, **look)


FIGURE = FigureKind(
    name="budget", title="What a budget of trainings finds", compute=compute, caption=caption, draw=draw
)
