"""Distribution of the scores of each method: the ECDF with a band, in front of those of the other methods."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.axes import set_score_axis
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.marks import TEXT_COLOUR, joined_lines
from analysis.figures.drawing.method_panels import dataset_parts, method_panels, panels_height
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.methods.distribution import distribution_table, ecdf
from analysis.rows.view import NotEnough, Rows

FAR = 10
"""The axis ends at most at this multiple of the lowest median."""


def compute(rows: Rows) -> Frames:
    """curves: of `ecdf`; table: of `distribution_table`, with far (the end of the dataset's axis)."""
    curves, table = ecdf(rows.scored, rows.level), distribution_table(rows.scored, rows.level)
    if curves.empty:
        raise NotEnough("No trial has a score.")
    highest = curves.groupby("dataset")["score"].max()
    lowest = table.groupby("dataset")["median"].min()
    far = pd.concat([highest, FAR * lowest], axis=1).min(axis=1)
    return {"curves": curves, "table": table.assign(far=table["dataset"].map(far))}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: curves, bands and medians."""
    level = f"{100 * rows.level:g} %"
    ends = frames["table"].groupby("dataset")["far"].first()
    beyond = frames["curves"]["score"] > frames["curves"]["dataset"].map(ends)
    return common(
        rows,
        "Curve: cumulative share of all n trainings of a method by score; grey: the other methods. A curve that ends "
        "below 1 has unscored trainings, which are counted.",
        f"Band: {level} confidence band for the whole curve (Dvoretzky, Kiefer and Wolfowitz).",
        f"Dot and bar: the median and its {level} interval by order statistics; an unbounded end reaches the edge.",
        *(["The axis ends before the highest scores."] if beyond.any() else []),
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A panel per method, a block per dataset."""
    curves, table = frames["curves"], frames["table"]
    methods = table.groupby("dataset", sort=False)["method"]
    with mpl.rc_context(PAGE):
        figure, parts = dataset_parts(
            map(str, methods.groups), [0.6 + panels_height(names, 1.0) for _, names in methods], caption
        )
        for dataset, part in parts:
            here, rows = curves[curves["dataset"] == dataset], table[table["dataset"] == dataset]
            axes = method_panels(
                part,
                list(rows["method"]),
                notes={row["method"]: _counts(row) for _, row in rows.iterrows()},
                grid_x=True,
            )
            for (_, row), ax in zip(rows.iterrows(), axes.values(), strict=True):
                _panel(ax, row, here)
            part.supxlabel(rows["score_label"].iloc[0], fontsize=8)
            part.supylabel("share of trainings", fontsize=8)
    return figure


def _panel(ax: Axes, row: "pd.Series[Any]", curves: pd.DataFrame) -> None:
    """One method in front of all others."""
    shade, far = colour(row["method"]), row["far"]
    set_score_axis(ax, "x", curves["score"].min(), far)
    ax.set_ylim(0, 1.02)
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    left, right = ax.get_xlim()
    lines = {str(method): _steps(curve, right) for method, curve in curves.groupby("method", sort=False)}
    ax.step(*joined_lines(*zip(*(line[:2] for line in lines.values()), strict=True)), where="post", color="0.8", lw=0.5)
    if row["method"] in lines:
        x, y, low, high = lines[row["method"]]
        ax.fill_between(x, low, high, step="post", color=shade, alpha=0.2, lw=0, zorder=2)
        ax.step(x, y, where="post", color=shade, lw=1.3, zorder=3)
    if row["median"] < right:
        ax.plot([max(row["low"], left), min(row["high"], right)], [0.5, 0.5], color=TEXT_COLOUR, lw=0.9, zorder=4)
        ax.plot(row["median"], 0.5, "o", ms=3, mfc=shade, mec=TEXT_COLOUR, mew=0.6, zorder=5)


def _steps(curve: pd.DataFrame, right: float) -> tuple[list[float], ...]:
    """(scores, shares, low, high) of a curve, extended from 0 to beyond the right end of the axis."""
    x = [curve["score"].iloc[0], *curve["score"], max(2 * right, curve["score"].iloc[-1])]
    low, high = ([curve[end].iloc[0], *curve[end], curve[end].iloc[-1]] for end in ("low", "high"))
    return x, [0.0, *curve["share"], curve["share"].iloc[-1]], low, high


def _counts(row: "pd.Series[Any]") -> str:
    """The number of trainings of a method, and how many have no score."""
    without = row["diverged"] + row["failed"] + row["unscored"]
    return f"n={row['n']}" + (f", {without} unscored" if without else "")


FIGURE = FigureKind(
    name="distribution",
    title="How the scores are distributed",
    compute=compute,
    caption=caption,
    draw=draw,
)
