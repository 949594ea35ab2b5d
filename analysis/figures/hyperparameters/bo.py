"""Results of searches by round: the best score so far by number of trials."""

import itertools
import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing.axes import fitted, set_score_scale
from analysis.figures.drawing.captions import round_caption
from analysis.figures.drawing.pages import COLUMN, PAPER, captioned_figure
from analysis.figures.drawing.style import PAGE, n_dis_colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.hyperparameters.random_search import random_best
from analysis.frames.hyperparameters.searches import UNSCORED, round_table, search_trials
from analysis.rows.labels import CONTEXT, paper_order
from analysis.rows.view import NotEnough, Rows
from search_spaces.ranges import BO
from study.storage.schema import DIVERGED, FAILED, STOPPED, score_label

COLUMNS = 3
PANEL = 2.0  # inches
STRIP = {DIVERGED: "x", FAILED: "+", UNSCORED: "+", STOPPED: "v", "above": "^"}
"""Markers of trials without a position on the axis, in a strip above it."""
LEGEND = (
    "Dots on lines: ends of rounds. Faint: all trials; above the axis: x diverged, + failed or unscored, "
    "▾ stopped early, ▴ score beyond the axis."
)
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1, 1, 1)), (0, (8, 2)))
DOTS: Any = (0, (1, 1.2))
BAND: Any = {"alpha": 0.14, "lw": 0}


def round_figure(trials: pd.DataFrame, rounds: pd.DataFrame, random: pd.DataFrame, caption: str) -> Figure:
    """Best score so far against trials run, a panel per dataset and method, a line per search.

    Args:
        trials: rows of `search_trials`.
        rounds: their `round_table`.
        random: of `random_best`; a dotted line with a band, in the colour of its n_dis.
        caption: printed below the figure.
    """
    lines = _layout(trials)
    columns = max(len(labels) for _, labels in lines)
    dashes = dict(zip(sorted({_rest(line) for line in trials["line"]}), itertools.cycle(DASHES), strict=False))
    with mpl.rc_context(PAGE):
        figure = captioned_figure(COLUMN if columns == 1 else PAPER, 0.4 + PANEL * len(lines), caption)
        axes = figure.subplots(len(lines), columns, squeeze=False)
        for (line, column), ax in np.ndenumerate(axes):
            dataset, labels = lines[line]
            if column >= len(labels):
                ax.set_axis_off()
                continue
            mine, ends_of_rounds, baseline = (frame[frame["dataset"] == dataset] for frame in (trials, rounds, random))
            _panel(ax, labels[column], mine, ends_of_rounds, baseline, dashes)
            below = lines[line + 1][1] if line + 1 < len(lines) else []
            ax.tick_params(labelleft=column == 0, labelbottom=column >= len(below))
            ax.set_xlim(0, trials["number"].max() * 1.02)
            ax.set_xlabel("trials run" if column >= len(below) else "")
            ax.set_ylabel(fitted(score_label(mine.iloc[0]), PANEL - 0.7) if column == 0 else "")
            if trials["dataset"].nunique() > 1:
                ax.set_title(f"{dataset}: {labels[column]}", loc="left", fontweight="bold", pad=9)
        handles = _handles(trials, random, dashes)
        figure.legend(
            handles=handles, loc="outside upper left", ncols=2 if columns == 1 else 5, frameon=False, fontsize=7
        )
    return figure


def _layout(trials: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """(dataset, labels of methods) by row of panels; each dataset starts a new row."""
    lines = []
    for dataset, rows in trials.groupby("dataset"):
        labels = sorted(rows["label"].unique(), key=paper_order)
        lines += [(str(dataset), labels[at : at + COLUMNS]) for at in range(0, len(labels), COLUMNS)]
    return lines


def _panel(
    ax: Axes, label: str, trials: pd.DataFrame, rounds: pd.DataFrame, random: pd.DataFrame, dashes: dict[str, Any]
) -> None:
    """The searches of one method; all methods of a dataset have the same axis."""
    ax.set_title(label, loc="left", fontweight="bold", pad=9)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _scale(ax, trials, random)
    for _, curve in random[random["label"] == label].groupby("n_dis"):
        shade = n_dis_colour(curve["n_dis"].iloc[0])
        ax.fill_between(curve["k"], curve["low"], curve["high"].clip(upper=ax.get_ylim()[1]), color=shade, **BAND)
        ax.plot(curve["k"], curve["median"], color=shade, lw=1.1, ls=DOTS, zorder=2)
    for search, rows in trials[trials["label"] == label].groupby("search", sort=False):
        shade, rest = n_dis_colour(rows["n_dis"].iloc[0]), _rest(rows["line"].iloc[0])
        ends = rounds[rounds["search"] == search]
        shown = rows[~rows["above"]]
        ax.scatter(shown["number"], shown["score"], s=5, color=shade, alpha=0.3, lw=0, zorder=1)
        _strip(ax, rows, shade)
        ax.step(rows["number"], rows["best_so_far"], where="post", color=shade, lw=1.2, ls=dashes[rest], zorder=3)
        ax.plot(ends["trials_so_far"], ends["best_so_far"], ls="", marker="o", ms=2.6, mew=0, color=shade, zorder=4)
    if trials[trials["label"] == label]["score"].isna().all():
        ax.text(0.5, 0.5, "No trial has a score", transform=ax.transAxes, ha="center", va="center")


def _strip(ax: Axes, rows: pd.DataFrame, shade: str) -> None:
    """Markers of the trials without a position on the axis."""
    kinds = rows["outcome"].where(~rows["above"], "above")
    for kind, mark in STRIP.items():
        x = rows["number"][kinds == kind]
        look: dict[str, Any] = {
            "color": shade,
            "alpha": 0.6,
            "lw": 0.6 if mark in "x+" else 0,
            "s": 9,
            "clip_on": False,
        }
        ax.scatter(x, [1.04] * len(x), marker=mark, transform=ax.get_xaxis_transform(), **look)


def _scale(ax: Axes, trials: pd.DataFrame, random: pd.DataFrame) -> None:
    """Set the axis of a dataset: from the best to the worst score on the scale, with a margin."""
    shown = pd.concat([trials["score"][~trials["above"]], random["low"].where(np.isfinite(random["low"]))]).dropna()
    if shown.empty:
        ax.set_yticks([])
        return
    low, high = shown.min(), shown.max()
    logarithmic = low > 0
    pad = 0.04 * (math.log(high / low) if logarithmic else high - low) or 0.1
    ax.set_ylim(*((low * math.exp(-pad), high * math.exp(pad)) if logarithmic else (low - pad, high + pad)))
    set_score_scale(ax, shown)


def _rest(line: str) -> str:
    """The properties of a search other than its n_dis, which determines the colour."""
    return line.partition(CONTEXT)[2]


def _handles(trials: pd.DataFrame, random: pd.DataFrame, dashes: dict[str, Any]) -> list[Any]:
    """The legend: a line per kind of search, and random search if available."""
    lines = trials.drop_duplicates("line").sort_values(["n_dis", "line"])
    handles: list[Any] = [
        Line2D([], [], color=n_dis_colour(row["n_dis"]), ls=dashes[_rest(row["line"])], lw=1.2, label=row["line"])
        for _, row in lines.iterrows()
    ]
    if len(random):
        handles.append(Line2D([], [], color="0.4", ls=DOTS, lw=1.1, label="random search, median"))
        handles.append(Patch(color="0.2", **BAND, label="random search, 5-95 %"))
    return handles


def compute(rows: Rows) -> Frames:
    """trials: of `search_trials`; rounds: their `round_table`; random: their `random_best`."""
    proposed = rows.members["trial_id"][rows.members["space"] == BO]
    if rows.folder is None or not rows.trials["trial_id"].isin(proposed).any():
        raise NotEnough("No search has a trial among these rows; run one with `study bo`.")
    trials = search_trials(rows.trials, rows.folder)
    return {"trials": trials, "rounds": round_table(trials), "random": random_best(trials, rows.trials, rows.folder)}


def caption(trials: pd.DataFrame, random: pd.DataFrame) -> str:
    """The caption: marks, and the sentences of `round_caption`."""
    return f"{LEGEND}\n{round_caption(trials, random)}"


FIGURE = FigureKind(
    name="bo",
    title="What searches found, round by round",
    compute=compute,
    caption=lambda rows, frames: caption(frames["trials"], frames["random"]),
    draw=lambda frames, caption: round_figure(frames["trials"], frames["rounds"], frames["random"], caption),
)
