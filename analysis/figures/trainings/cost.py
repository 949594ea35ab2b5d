"""The cost of trainings: seconds and score, and milliseconds per discriminator update relative to W/O."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from analysis.figures.drawing.axes import fitted, plain_numbers, set_score_scale
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.method_columns import short
from analysis.figures.drawing.pages import CLOUD, PAPER, captioned_figure
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.methods.compare import NO_INTERVAL
from analysis.frames.trainings.cost import NO_BASELINE, seconds_and_scores, update_cost
from analysis.rows.view import NotEnough, Rows, computed_once
from study.core.text import plural
from study.storage.schema import DIVERGED, FAILED, FINISHED

PANEL = 2.2  # inches
MACHINES = 6
"""Maximum number of machines that are drawn: those with the most trainings."""
PLACE = ["dataset", "machine"]


@computed_once
def compute(rows: Rows) -> Frames:
    """trainings: of `seconds_and_scores`, with score_label; updates: of `update_cost`."""
    trainings = seconds_and_scores(rows.trials, rows.rule)
    if trainings.empty:
        raise NotEnough("No training ran on one machine from its first to its last update, so none was timed.")
    return {
        "trainings": rows.with_score_label(trainings),
        "updates": update_cost(rows.trials, rows.level),
    }


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: measurements and ratios."""
    trainings, updates = frames["trainings"], frames["updates"]
    machines, alone = trainings[PLACE].drop_duplicates(), int((updates["verdict"] == NO_BASELINE).sum())
    more, without = len(machines) - MACHINES, plural(alone, "method has", "methods have")
    return common(
        rows,
        f"Above: seconds of training, without scoring, of the {len(trainings)} "
        f"{plural(len(trainings), 'training')} that ran on one machine without interruption; "
        "colours as below, W/O dark grey; above the axis: x diverged, + failed, | unscored.",
        "Below: milliseconds per discriminator update, including generator updates, relative to otherwise equal W/O "
        f"trainings; median of n trainings, with simultaneous {100 * rows.level:g} % intervals (order statistics of "
        "logarithms); hollow: too few trainings for an interval.",
        *([f"{alone} {without} no ratio, since no W/O training is otherwise equal."] if alone else []),
        *([f"{more} more {plural(more, 'machine is', 'machines are')} shown only in the table."] if more > 0 else []),
    )


def draw(frames: Frames, caption: str) -> Figure:
    """For each dataset and machine a scatter plot, with the ratios below."""
    clouds = dict(iter(frames["trainings"].groupby(PLACE)))
    places = sorted(sorted(clouds, key=lambda place: -len(clouds[place]))[:MACHINES])
    ratios = {place: _ratios_of(frames["updates"], place) for place in places}
    heights = [height for table in ratios.values() for height in (PANEL, 0.6 + 0.13 * len(table))]
    with mpl.rc_context(PAGE):
        figure = captioned_figure(PAPER, sum(heights), caption)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for line, place in enumerate(places):
            cloud = parts[2 * line].subplots()
            cloud.set_title(f"{place[0]}, {place[1]}", loc="left", fontweight="bold", pad=10)
            _scatter(cloud, clouds[place])
            _ratios(parts[2 * line + 1].subplots(), ratios[place])
    return figure


def _ratios_of(updates: pd.DataFrame, place: tuple[Any, ...]) -> pd.DataFrame:
    here: pd.DataFrame = updates[(updates["dataset"] == place[0]) & (updates["machine"] == place[1])]
    return here.dropna(subset="ratio")


def _scatter(ax: Axes, trainings: pd.DataFrame) -> None:
    many, faint = len(trainings) > CLOUD, min(0.6, 600 / len(trainings))
    for method, points in trainings.groupby("method"):
        shade = colour(str(method))
        ax.scatter(points["seconds"], points["score"], s=6, color=shade, alpha=max(faint, 0.05), lw=0, rasterized=many)
    above = blended_transform_factory(ax.transData, ax.transAxes)
    without = trainings[trainings["score"].isna()]
    for status, mark in ((DIVERGED, "x"), (FAILED, "+"), (FINISHED, "|")):
        seconds = without.loc[without["status"] == status, "seconds"]
        ax.scatter(
            seconds, [1.03] * len(seconds), s=9, lw=0.6, color="0.25", marker=mark, transform=above, clip_on=False
        )
    if trainings["score"].notna().any():
        set_score_scale(ax, trainings["score"])
    else:
        ax.set_yticks([])
        ax.text(0.5, 0.5, "No training has a score", transform=ax.transAxes, ha="center", va="center")
    least, most = trainings["seconds"].min(), trainings["seconds"].max()
    if least > 0:
        _logarithmic(ax)
        ax.set_xlim(least / 1.15, most * 1.15)
    ax.set_xlabel("seconds of training")
    ax.set_ylabel(fitted(trainings["score_label"].iloc[0], PANEL - 0.6))


def _logarithmic(ax: Axes) -> None:
    ax.set_xscale("log")
    plain_numbers(ax.xaxis, 10)


def _ratios(ax: Axes, table: pd.DataFrame) -> None:
    """A dot and an interval per method; an unbounded end reaches the edge of the axis."""
    ax.set_xlabel("milliseconds per D update, relative to W/O")
    if table.empty:
        ax.text(
            0.5,
            0.5,
            "no method with an\notherwise equal W/O",
            transform=ax.transAxes,
            ha="center",
            va="center",
        )
        ax.set_axis_off()
        return
    ends = table[["ratio", "low", "high"]].where(lambda each: np.isfinite(each) & (each > 0))
    left, right = 0.9 * min(float(ends.min().min()), 1), 1.1 * max(float(ends.max().max()), 1)
    for place, row in enumerate(table.to_dict("records")):
        shade, known = colour(row["method"]), row["verdict"] != NO_INTERVAL
        if known:
            ax.plot([max(row["low"], left), min(row["high"], right)], [place, place], color=shade, lw=1.1)
        ax.plot(row["ratio"], place, "o", ms=3.5, color=shade, mfc=shade if known else "white")
    names = [f"{short(row['method'])} (n={row['n']}): {row['milliseconds']:.3g} ms" for row in table.to_dict("records")]
    ax.set_yticks(range(len(table)), names)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.axvline(1, color="0.3", lw=0.6)
    _logarithmic(ax)
    ax.set_xlim(left, right)
    ax.xaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)


FIGURE = FigureKind(name="cost", title="What trainings cost", compute=compute, caption=caption, draw=draw)
