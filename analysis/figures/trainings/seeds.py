"""Variation between seeds: the scores of each setting, in the order of their medians."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import NullLocator

from analysis.figures.drawing.axes import fitted, set_score_axis
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.marks import forest_plot, marks_above
from analysis.figures.drawing.method_panels import dataset_parts, method_panels, panels_height
from analysis.figures.drawing.pages import CLOUD
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.trainings.seeds import repeated_settings, seed_table, setting_spread
from analysis.rows.scores import TRAININGS, scored
from analysis.rows.view import NotEnough, Rows, computed_once
from study.core.text import plural

SHOWN = 300
"""Maximum number of settings of a method that are drawn; of more, evenly by rank with the first and the last."""
PANEL = 1.0  # inches
FAR = 10
"""The axis ends at most at this multiple of the dataset's lowest median of a setting."""


@computed_once
def compute(rows: Rows) -> Frames:
    """points: of `repeated_settings`, with far (the end of the dataset's axis) and best (its lowest score); settings:
    of `setting_spread`; both of those settings that are drawn; table: of `seed_table`, which is of all. Of trainings,
    whatever the pool of the rows."""
    trainings = rows.scored if rows.pool == TRAININGS else scored(rows.trials, rows.rule, TRAININGS)
    points = repeated_settings(trainings)
    if points["score"].isna().all():
        raise NotEnough("No setting has scores for several seeds; run `study run grid --seeds 3`.")
    result = points.groupby("dataset")
    far = pd.Series(np.minimum(result["score"].max(), FAR * result["median"].min()))
    kept = ["dataset", "method_label", "place", "score", "setting"]
    ends = {"far": points["dataset"].map(far), "best": points["dataset"].map(result["score"].min())}
    spread = setting_spread(points)
    drawn = spread[_evenly(spread)]
    cloud = points[kept].rename(columns={"method_label": "method"}).assign(**ends)
    return {
        "points": cloud[points["setting"].isin(drawn["setting"])].drop(columns="setting"),
        "settings": drawn,
        "table": seed_table(points, rows.rng(), rows.level),
    }


def _evenly(spread: pd.DataFrame) -> "pd.Series[bool]":
    """[settings]: whether a setting is drawn: if its rank, scaled to SHOWN steps, reaches a new step."""
    last = spread.groupby(["dataset", "method"])["place"].transform("max")
    steps = np.minimum(last, SHOWN) - 1
    step = (spread["place"] - 1) * steps // np.maximum(last - 1, 1)
    before = (spread["place"] - 2) * steps // np.maximum(last - 1, 1)
    shown: pd.Series[bool] = (step > before) | (spread["place"] == 1)
    return shown


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: points and measures."""
    partly = int(frames["table"]["partly"].sum())
    fewer = int(frames["table"]["settings"].max()) > SHOWN
    settings = plural(partly, "setting that also has", "settings that also have")
    note = f" (in {partly} {settings} scored seeds)" if partly else ""
    return common(
        rows,
        "Points: the seeds of each setting that was trained with several seeds, settings in the order of their "
        f"medians; line: from the lowest to the highest score; above the axis: x seeds without a score{note}, "
        "\N{BLACK UP-POINTING SMALL TRIANGLE} scores beyond the axis.",
        *([f"Only {SHOWN} settings of a method are drawn, evenly spaced by rank."] if fewer else []),
        "cv: standard deviation within settings over their mean, pooled; bar: studentised bootstrap over settings. "
        "Between settings: share of the variance of ranked scores that is between settings, not between seeds of one "
        "setting (intraclass correlation; below 0 if a seed has the same effect in all settings); bar: Searle's "
        f"interval. Both intervals: {100 * rows.level:g} %; wide for few settings, or if few settings vary most.",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A panel per method, a block per dataset."""
    table = frames["table"]
    methods = table.groupby("dataset", sort=False)["method"]
    large = {dataset: panels_height(names, PANEL) + 0.4 for dataset, names in methods}
    small = {dataset: 0.15 * len(names) + 0.45 for dataset, names in methods}
    longest = int(table["method"].str.len().max())
    with mpl.rc_context(PAGE):
        figure, parts = dataset_parts(
            map(str, large), [0.3 + large[name] + small[name] for name in large], caption, longest
        )
        for dataset, part in parts:
            points, settings, rows = (frame[frame["dataset"] == dataset] for frame in frames.values())
            grid = part.add_gridspec(2, 1, height_ratios=[large[dataset], small[dataset]])
            axes = method_panels(part, list(rows["method"]), grid[0])
            _measures(part, grid[1], rows)
            for (_, row), ax in zip(rows.iterrows(), axes.values(), strict=True):
                set_score_axis(ax, "y", points["best"].iloc[0], points["far"].iloc[0])
                ax.set_xlim(0, settings["place"].max() + 1)
                mine, theirs = (frame[frame["method"] == row["method"]] for frame in (points, settings))
                _panel(ax, mine, theirs, colour(row["method"]))
            next(iter(axes.values())).set_ylabel(fitted(rows["score_label"].iloc[0], PANEL), fontsize=7)
            list(axes.values())[-1].set_xlabel("settings, best first", fontsize=7)
    return figure


def _panel(ax: Axes, points: pd.DataFrame, settings: pd.DataFrame, shade: str) -> None:
    """One method."""
    many = len(points) > CLOUD
    ranges = settings[settings["scored"] > 1]
    ax.vlines(ranges["place"], ranges["lowest"], ranges["highest"], color=shade, lw=0.8, alpha=0.6, rasterized=many)
    shown = points["score"] <= points["far"]
    ax.scatter(points["place"][shown], points["score"][shown], s=4, color=shade, lw=0, rasterized=many)
    marks_above(ax, points["place"][points["score"].isna()], "x", shade)
    marks_above(ax, points["place"][points["score"] > points["far"]], "^", shade)


def _measures(part: SubFigure | Figure, grid: Any, table: pd.DataFrame) -> None:
    """Forest plots of both measures for all methods."""
    cells, methods = grid.subgridspec(1, 2), list(table["method"])
    left, right = part.add_subplot(cells[0]), part.add_subplot(cells[1])
    left.set_xscale("log")
    left.set_xlim(0.001, 1)
    left.set_xticks([0.001, 0.01, 0.1, 1], ["0.1", "1", "10", "100"])
    left.set_xlabel("cv, %", fontsize=7)
    right.set_xlim(min(0.0, table["between_low"].min()), 1)
    right.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    right.set_xlabel("between settings", fontsize=7)
    for ax, value in ((left, "cv"), (right, "between")):
        forest_plot(ax, table, value, methods)
        ax.xaxis.set_minor_locator(NullLocator())
    right.tick_params(labelleft=False)


FIGURE = FigureKind(
    name="seeds", title="How much scores vary with the seed", compute=compute, caption=caption, draw=draw
)
