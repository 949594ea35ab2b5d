"""The share of the variance of each method's scores that each hyperparameter explains."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from analysis.figures.drawing.captions import common
from analysis.figures.drawing.marks import forest_plot
from analysis.figures.drawing.method_panels import dataset_parts
from analysis.figures.drawing.style import PAGE
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.hyperparameters.response import MOST, importance
from analysis.rows.labels import HYPERPARAMETER_LABELS, HYPERPARAMETERS_IN_WORDS
from analysis.rows.scores import HYPERPARAMETERS, SETTINGS, scored
from analysis.rows.view import NotEnough, Rows


def compute(rows: Rows) -> Frames:
    """shares: of `importance`, over settings (median over seeds), for any pool of the rows."""
    settings = rows.scored if rows.pool == SETTINGS else scored(rows.trials, rows.rule, SETTINGS)
    shares = importance(settings, rows.rng(), rows.level)
    if shares["share"].isna().all():
        raise NotEnough("No method has at least two more settings than values of a hyperparameter.")
    return {"shares": shares}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: shares, intervals, and hyperparameters that cannot be separated."""
    shares = frames["shares"]
    lines = []
    for dataset, mine in shares[shares["tied_to"] != ""].groupby("dataset", sort=False):
        tied = [HYPERPARAMETER_LABELS[name] for name in HYPERPARAMETERS if (mine["hyperparameter"] == name).any()]
        lines.append(
            f"{dataset}: {', '.join(tied)} were not varied in all combinations, so that their effects cannot be "
            "separated."
        )
    if (shares["n"] > MOST).any():
        lines.append(f"For a method with more than {MOST:,} settings, the interval uses {MOST:,} drawn at random.")
    return common(
        rows,
        "Dot: share of the variance of a method's ranked scores that a hyperparameter explains by itself (main effect "
        "of a functional analysis of variance); the remainder is interactions and noise. Each setting counts by the "
        "median over its seeds; their number follows the method's name; settings without a score rank last.",
        f"Bar: {100 * rows.level:g} % bootstrap interval over settings, for each dot separately; hollow: not resolved "
        "from 0; unknown: too few settings; empty: the method has only one value.",
        *lines,
        HYPERPARAMETERS_IN_WORDS + ".",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A line per method, a column per hyperparameter, a block per dataset."""
    shares = frames["shares"]
    counts = shares.groupby("dataset", sort=False)["method"].nunique()
    longest = int(shares["method"].str.len().max())
    with mpl.rc_context(PAGE):
        figure, parts = dataset_parts(counts.index, [0.85 + 0.17 * count for count in counts], caption, longest)
        for dataset, part in parts:
            _block(part, shares[shares["dataset"] == dataset])
    return figure


def _block(part: SubFigure | Figure, shares: pd.DataFrame) -> None:
    """One dataset."""
    methods = shares.groupby("method", sort=False)["n"].first()
    names = [name for name in HYPERPARAMETERS if (shares["hyperparameter"] == name).any()]
    axes = part.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        forest_plot(ax, shares[shares["hyperparameter"] == name], "share", list(methods.index), "resolved")
        ax.set_title(HYPERPARAMETER_LABELS[name], fontsize=7.5)
    for ax in axes[1:]:
        ax.tick_params(labelleft=False)
    axes[0].set_yticks(range(len(methods)), [f"{method} ({n})" for method, n in methods.items()])
    part.supxlabel("share of the variance of ranked scores", fontsize=7.5)


FIGURE = FigureKind(
    name="importance", title="Which hyperparameters matter", compute=compute, caption=caption, draw=draw
)
