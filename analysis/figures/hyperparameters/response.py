"""The scores of each method by the value of each hyperparameter."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from analysis.figures.drawing.axes import set_score_axis
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.marks import TEXT_COLOUR, marks_above
from analysis.figures.drawing.method_panels import TITLE_LETTERS, dataset_parts, wrapped
from analysis.figures.drawing.pages import CLOUD
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.hyperparameters.response import FEW_VALUES, response, response_points
from analysis.rows.labels import HYPERPARAMETER_LABELS, HYPERPARAMETERS_IN_WORDS
from analysis.rows.scores import HYPERPARAMETERS
from analysis.rows.view import NotEnough, Rows

FAR = 10
"""The axis ends at most at this multiple of the dataset's lowest median of a group."""
LABEL_LETTERS = 10
NAME: dict[str, Any] = {"fontsize": 6.5, "fontweight": "bold", "color": TEXT_COLOUR, "va": "center", "linespacing": 1.0}
LOGARITHMIC = ("learning_rate", "penalty_weight")


def compute(rows: Rows) -> Frames:
    """groups: of `response`, with score_label, best and far (where the dataset's axis begins and ends); points: of
    `response_points`, with above (the end of the axis)."""
    groups = response(rows.scored)
    if groups.empty or not groups["scored"].any():
        raise NotEnough("No method has scores at more than one value of a hyperparameter.")
    scores, lowest = rows.scored.groupby("dataset")["score"], groups.groupby("dataset")["median"].min()
    best, far = scores.min(), pd.concat([scores.max(), FAR * lowest], axis=1).min(axis=1)
    points = response_points(rows.scored, rows.rng())
    names, dataset = rows.score_names, groups["dataset"]
    groups = groups.assign(score_label=dataset.map(names), best=dataset.map(best), far=dataset.map(far))
    return {"groups": groups, "points": points.assign(above=points["score"] > points["dataset"].map(far))}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: points, lines and subsets."""
    points = frames["points"]
    has_subset = int((points["drawn"] < points["pool"]).any())
    return common(
        rows,
        "Points: trials; above the axis: x without a score, \N{BLACK UP-POINTING SMALL TRIANGLE} beyond the axis.",
        f"Dots and bars (up to {FEW_VALUES} values): median and quartiles of all trials with that value, over all "
        "other hyperparameters. Line and band (ranges): median and quartiles of groups of neighbouring values of about "
        "equal size. Trials without a score rank last; a bar or band may therefore end above the axis.",
        "\N{EN DASH}: one value, or none.",
        *(
            ["For methods with many trials, the points are a random subset; all other numbers use all trials."]
            * has_subset
        ),
        HYPERPARAMETERS_IN_WORDS + ".",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A line of panels per method, a column per hyperparameter, a block per dataset."""
    groups, points = frames["groups"], frames["points"]
    counts = groups.groupby("dataset", sort=False)["method"].nunique()
    letters = _letters(groups["method"])
    with mpl.rc_context(PAGE):
        figure, parts = dataset_parts(
            counts.index,
            [0.85 + count * _height(count) for count in counts],
            caption,
            TITLE_LETTERS + letters - LABEL_LETTERS,
        )
        for dataset, part in parts:
            _block(part, *(frame[frame["dataset"] == dataset] for frame in (groups, points)))
    return figure


def _height(methods: int) -> float:
    """Height of a row of panels in inches; smaller for many methods, so that they fit on a page."""
    return max(0.42, min(0.58, 7 / methods))


def _letters(methods: "pd.Series[str]") -> int:
    """Number of letters per line of the names to the right of the panels; more for long names."""
    return LABEL_LETTERS if methods.str.len().max() <= 3 * LABEL_LETTERS else 2 * LABEL_LETTERS


def _block(part: SubFigure | Figure, groups: pd.DataFrame, points: pd.DataFrame) -> None:
    """One dataset."""
    methods = list(groups["method"].unique())
    names = [name for name in HYPERPARAMETERS if (groups["hyperparameter"] == name).any()]
    axes = part.subplots(len(methods), len(names), squeeze=False, subplot_kw={"autoscale_on": False})
    for column, name in enumerate(names):
        here, cloud = (frame[frame["hyperparameter"] == name] for frame in (groups, points))
        steps = None if (here["lowest"] < here["highest"]).any() else np.unique(here["value"])
        ends = here["lowest"].min(), here["highest"].max()
        for line, method in enumerate(methods):
            ax = axes[line, column]
            set_score_axis(ax, "y", groups["best"].iloc[0], groups["far"].iloc[0], 3)
            _values_axis(ax, name, steps, *ends)
            ax.xaxis.set_visible(line == len(methods) - 1)  # an invisible axis saves time
            _panel(ax, here[here["method"] == method], cloud[cloud["method"] == method], steps, colour(method))
            ax.tick_params(labelsize=6, labelleft=column == 0, labelbottom=line == len(methods) - 1)
        axes[0, column].set_title(HYPERPARAMETER_LABELS[name], fontsize=7.5, pad=8)
    for ax, method in zip(axes[:, -1], methods, strict=True):
        ax.text(1.1, 0.5, wrapped(method, _letters(groups["method"])), transform=ax.transAxes, **NAME)
    part.supylabel(groups["score_label"].iloc[0], fontsize=8)


def _panel(ax: Axes, groups: pd.DataFrame, points: pd.DataFrame, steps: Any, shade: str) -> None:
    """One method and hyperparameter. Few values are evenly spaced."""
    if groups.empty:
        ax.text(0.5, 0.5, "\N{EN DASH}", transform=ax.transAxes, ha="center", va="center", fontsize=7, color="0.5")
        return
    golden = (np.arange(len(points)) * 0.6180339887 % 1 - 0.5) * 0.55
    x = points["value"].to_numpy() if steps is None else np.searchsorted(steps, points["value"]) + golden
    shown = (points["score"].notna() & ~points["above"]).to_numpy()
    faint = float(np.clip(30 / max(len(points), 1), 0.12, 0.35))
    look: dict[str, Any] = {"ms": 1.7, "mew": 0, "color": shade, "alpha": faint, "rasterized": len(points) > CLOUD}
    ax.plot(x[shown], points["score"][shown], "o", **look)
    marks_above(ax, x[points["score"].isna()], "x", shade)
    marks_above(ax, x[points["above"]], "^", shade)
    low, high = (groups[end].where(np.isfinite(groups[end]), 2 * groups["far"]) for end in ("q1", "q3"))
    median = groups["median"].where(np.isfinite(groups["median"]))
    if steps is None:
        ax.fill_between(groups["value"], low, high, color=shade, alpha=0.25, lw=0)
        ax.plot(groups["value"], median, color=shade, lw=1.3)
        return
    at = np.searchsorted(steps, groups["value"])
    ax.plot(at, median, color=shade, lw=0.7)
    ax.vlines(at, low, high, color=shade, lw=1.6)
    ax.plot(at, median, "o", ms=3.2, mfc="white", mec=shade, mew=0.9)


def _values_axis(ax: Axes, name: str, steps: Any, low: float, high: float) -> None:
    """Ticks at the values if they are few, else a logarithmic or linear axis."""
    if steps is not None:
        ax.set_xlim(-0.5, len(steps) - 0.5)
        ax.set_xticks(range(len(steps)), [_short(value) for value in steps], rotation=90)
        return
    if name in LOGARITHMIC:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.3, high * 1.3)
        ax.xaxis.set_major_locator(LogLocator(numticks=4))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        ax.xaxis.set_major_locator(MaxNLocator(2))
    ax.xaxis.set_major_formatter(lambda value, _: _short(value))
    ax.tick_params(axis="x", rotation=90)


def _short(value: float) -> str:
    """`1e-4`, `0.999`, `10`."""
    return f"{value:g}" if value == 0 or 0.01 <= abs(value) < 1e4 else f"{value:.0e}".replace("e-0", "e-")


FIGURE = FigureKind(name="response", title="What each hyperparameter does", compute=compute, caption=caption, draw=draw)
