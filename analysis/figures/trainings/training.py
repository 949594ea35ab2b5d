"""Training curves: score by discriminator update, for each method."""

from collections.abc import Hashable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis.figures.drawing.axes import fitted, set_score_scale
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.method_columns import method_columns
from analysis.figures.drawing.pages import CLOUD
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.trainings.curves import POOL, STEP, highlighted_trainings, outcomes, score_curve
from analysis.rows.view import NotEnough, Rows
from study.core.text import plural
from study.storage.schema import DIVERGED, FAILED

PANEL = 1.25  # inches
BEYOND = 1e30
"""Above any axis: an unbounded band reaches the edge."""


def compute(rows: Rows) -> Frames:
    """curve: of `score_curve`, with score_label; shown: of `highlighted_trainings`; outcomes: of `outcomes`."""
    curve = score_curve(rows.trials, rows.checkpoints, rows.level)
    if curve.empty:
        raise NotEnough("No checkpoint of a training has a score; load a results folder with evaluations.parquet.")
    return {
        "curve": rows.with_score_label(curve),
        "shown": highlighted_trainings(rows.trials, rows.checkpoints, rows.rule),
        "outcomes": outcomes(rows.trials),
    }


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: lines, bands and marks."""
    stopped = int(frames["outcomes"]["stopped"].sum())
    trainings = plural(stopped, "training that was stopped early is", "trainings that were stopped early are")
    left_out = [f"{stopped} {trainings} left out."] if stopped else []
    return common(
        rows,
        "Line: median score of a method's trainings at each checkpoint; light band: their quartiles; dark band: "
        f"{100 * rows.level:g} % interval of the median (order statistics); grey: medians of the other methods.",
        f"Dashed: the best training (by {rows.rule.words}). Thin: trainings that diverged (x) or failed (+), up to "
        "their last score; afterwards they count as unscored and rank last.",
        *left_out,
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A small panel per method."""
    ends = dict(
        zip(
            frames["outcomes"][POOL].itertuples(index=False, name=None),
            frames["outcomes"].to_dict("records"),
            strict=True,
        )
    )
    with mpl.rc_context(PAGE):
        figure, panels = method_columns(ends, (PANEL,), caption, pad=10)
        for dataset, curve in frames["curve"].groupby("dataset"):
            lines = dict(iter(curve.groupby("method")))
            shown = frames["shown"][frames["shown"]["dataset"] == dataset]
            mine = {method: ax for (each, method), (ax,) in panels.items() if each == dataset}
            for method, ax in mine.items():
                set_score_scale(ax, pd.concat([curve["q1"], shown["frechet_distance"]]), 5)
                _others(ax, [line for name, line in lines.items() if name != method])
                if method in lines:
                    _spread(ax, lines[method], colour(method))
                _trainings(ax, shown[shown["method"] == method], colour(method))
                _count(ax, ends[(str(dataset), method)], method in lines)
            first = next(iter(mine.values()))
            first.set_ylim(*_limits(curve, shown))
            first.set_ylabel(fitted(curve["score_label"].iloc[0], PANEL))
    return figure


def _others(ax: Axes, lines: list[pd.DataFrame]) -> None:
    for line in lines:
        ax.plot(line[STEP], line["median"], color="0.8", lw=0.6, zorder=1)


def _spread(ax: Axes, line: pd.DataFrame, shade: str) -> None:
    """Median, quartiles and interval of the median; unbounded ends reach the edge."""
    ax.plot(line[STEP], line["median"], color=shade, lw=1.3, marker="o", ms=1.6, zorder=4)
    for low, high, strength in (("q1", "q3", 0.15), ("low", "high", 0.3)):
        known = line[np.isfinite(line[low]) & np.isfinite(line["median"])]
        ax.fill_between(
            known[STEP], known[low], known[high].clip(upper=BEYOND), color=shade, alpha=strength, lw=0, zorder=2
        )


def _trainings(ax: Axes, shown: pd.DataFrame, shade: str) -> None:
    best = shown[shown["shown"] == "best"]
    ax.plot(best[STEP], best["frechet_distance"], color=shade, lw=1, ls=(0, (3, 1.2)), zorder=5)
    ended = shown[shown["shown"] != "best"]
    after = np.flatnonzero(ended["end"].to_numpy()[:-1]) + 1
    lines = np.split(ended[[STEP, "frechet_distance"]].to_numpy(), after)
    many, faint = len(lines) > CLOUD, min(0.6, 12 / max(len(lines), 1))
    ax.add_collection(LineCollection(lines, colors="0.25", linewidths=0.4, alpha=faint, zorder=3, rasterized=many))
    for status, mark in ((DIVERGED, "x"), (FAILED, "+")):
        last = ended[ended["end"] & (ended["shown"] == status)]
        ax.scatter(
            last[STEP],
            last["frechet_distance"],
            s=9,
            color="0.25",
            lw=0.6,
            alpha=max(faint, 0.1),
            marker=mark,
            zorder=6,
            rasterized=many,
        )


def _count(ax: Axes, ends: dict[Hashable, Any], any_scored: bool) -> None:
    words = [f"n={ends['trainings']}", *(f"{ends[name]} {name}" for name in (DIVERGED, FAILED) if ends[name])]
    words += [] if any_scored else ["none scored"]
    ax.text(0, 1.03, ", ".join(words), transform=ax.transAxes, fontsize=6, color="0.25")


def _limits(curve: pd.DataFrame, shown: pd.DataFrame) -> tuple[float, float]:
    best = shown.loc[shown["shown"] == "best", "frechet_distance"]
    quartiles = curve[["q1", "median", "q3"]].to_numpy().ravel()
    known = quartiles if np.isfinite(quartiles).any() else best.to_numpy()
    high = float(known[np.isfinite(known)].max())
    low = float(np.fmin(best.min(), min(high, quartiles.min())))
    reach = high - low or 1.0
    return (low / 1.15, high * 1.3) if low > 0 else (low - 0.05 * reach, high + 0.1 * reach)


FIGURE = FigureKind(name="training", title="The course of training", compute=compute, caption=caption, draw=draw)
