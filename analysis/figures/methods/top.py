"""Box plots of the best trials of each method, over points of all trials (the paper's Figure 1)."""

import math
import textwrap
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.axes import fitted, set_score_scale
from analysis.figures.drawing.captions import adaptive, top_caption
from analysis.figures.drawing.pages import CLOUD, PAPER, captioned_figure
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.methods.top import marked_top, top_table
from analysis.paper.comparison import comparable, paired_boxes, paper_caption
from analysis.rows.labels import CONTEXT
from analysis.rows.view import Rows
from study.core.text import plural

FEW = 5
"""A box of fewer trials than this is dashed and hollow."""
LEGEND = (
    f"Points: all trials; the top k are marked. Whiskers: 1.5 interquartile ranges; dashed: fewer than {FEW} trials. "
    "\N{UPWARDS ARROW}: number of trials above the axis."
)
PAPER_LEGEND = "Narrow, hollow boxes to the right of ours: the paper's, one for each of its figures, in order."
PAPER_AT, PAPER_STEP = 0.39, 0.095
"""Offset of the first of the paper's boxes to the right of a method, and of each next one, in x units."""
FACET_COLUMNS = 2
FACET = 2.6  # inches
LABEL_LETTERS = 13  # maximum per line of a label
LABELS, LEAST_LABELS = 12, 6
"""Maximum number of boxes in a row without wrapping, and the minimum per row after wrapping to the page width."""


def top_figure(marked: pd.DataFrame, table: pd.DataFrame, caption: str, paper: pd.DataFrame | None = None) -> Figure:
    """Box plots of the top trials of each method, one facet per dataset, in the style of the paper's Figure 1.

    All trials of a method are drawn as faint points behind its box; the top k are marked; n and k are below the label.

    Args:
        marked: rows of `top_fraction`.
        table: its `top_table`; boxes come in its order.
        caption: printed below the figure.
        paper: boxes of the paper's (`comparable`), drawn narrow and hollow to the right of ours.
    """
    broken = {str(dataset): _lines(rows) for dataset, rows in table.groupby("dataset", sort=False)}
    facets = [(dataset, rows) for dataset, parts in broken.items() for rows in parts]
    columns = 1 if len(facets) > len(broken) else min(FACET_COLUMNS, len(facets))
    lines = math.ceil(len(facets) / columns)
    width = columns * max(_facet_width(rows) for _, rows in facets)
    with mpl.rc_context(PAGE):
        figure = captioned_figure(width, FACET * lines, caption)
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for ax, (dataset, rows) in zip(axes, facets, strict=False):
            first = rows is broken[dataset][0]
            _top_facet(ax, marked[marked["dataset"] == dataset], rows, table[table["dataset"] == dataset])
            if paper is not None:
                mine = (paper["dataset"] == dataset) & paper["method_label"].isin(rows["method"])
                _paper_boxes(ax, paper[mine], list(rows["method"]))
            ax.set_title(dataset if first else f"{dataset}, continued", loc="left", fontweight="bold", pad=11)
        for dataset in broken:
            _share_limits([ax for ax, facet in zip(axes, facets, strict=False) if facet[0] == dataset])
        for ax in axes[len(facets) :]:
            ax.set_axis_off()
    return figure


def _lines(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of one dataset, split into lines of about equal size if there are too many for one."""
    if len(table) <= LABELS:
        return [table]
    fit = next((n for n in range(LABELS, LEAST_LABELS, -1) if _width_of(table, n) <= PAPER), LEAST_LABELS)
    count = math.ceil(len(table) / fit)
    return [table.iloc[len(table) * at // count : len(table) * (at + 1) // count] for at in range(count)]


def _share_limits(axes: list[Axes]) -> None:
    """Give the lines of one dataset the same limits."""
    if len(axes) > 1:
        lows, highs = zip(*(ax.get_ylim() for ax in axes), strict=True)
        right = max(ax.get_xlim()[1] for ax in axes)
        for ax in axes:
            ax.set(xlim=(ax.get_xlim()[0], right), ylim=(min(lows), max(highs)))


def _top_facet(ax: Axes, trials: pd.DataFrame, table: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Boxes of the top k over all points, one per row of `table`; `whole`: the table of the whole dataset."""
    order = list(table["method"])
    for place, (_, row) in enumerate(table.iterrows()):
        shade = colour(row["method"])
        points = trials[(trials["method_label"] == row["method"]) & trials["score"].notna() & ~trials["above"]]
        rest, top = points[~points["top"]], points[points["top"]]
        faint, many = min(0.3, 150 / max(len(rest), 1)), len(rest) > CLOUD
        ax.scatter(_spread(place, rest), rest["score"], s=5, color=shade, alpha=faint, lw=0, zorder=1, rasterized=many)
        ax.scatter(_spread(place, top), top["score"], s=9, color=shade, ec="white", lw=0.4, zorder=3)
        if row["above"]:
            ax.annotate(
                f"↑{row['above']}", (place, 1), xycoords=("data", "axes fraction"), ha="center", size=6, color="0.4"
            )
    for few in (True, False):
        kept = table[table["scored"].between(1, FEW - 1) if few else table["scored"] >= FEW]["method"]
        top = trials[trials["top"] & trials["method_label"].isin(kept)]
        if len(top):
            _boxes(ax, top, order, few)
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.set_xticks(range(len(order)), [_tick(row) for _, row in table.iterrows()], linespacing=1.3)
    ax.set_xlabel("")
    _score_axis(ax, trials, whole)


def _boxes(ax: Axes, top: pd.DataFrame, order: list[str], few: bool) -> None:
    """Box plots with standard whiskers (1.5 interquartile ranges), hollow and dashed if `few`."""
    dashed = {"linestyle": (0, (2, 1.5)), "linewidth": 0.8}
    sns.boxplot(
        top,
        x="method_label",
        y="score",
        order=order,
        hue="method_label",
        hue_order=order,
        palette={label: colour(label) for label in order},
        width=0.62,
        fill=not few,
        showfliers=False,
        linewidth=0.8,
        legend=False,
        ax=ax,
        zorder=2 if few else 4,
        **({"boxprops": dashed, "whiskerprops": dashed} if few else {"boxprops": {"alpha": 0.6}}),
    )


def _paper_boxes(ax: Axes, boxes: pd.DataFrame, order: list[str]) -> None:
    """A narrow box for each figure of the paper with the method, side by side; open if it leaves the plot."""
    for label, rows in boxes.groupby("method_label"):
        for number, (_, row) in enumerate(rows.iterrows()):
            x, half = order.index(str(label)) + PAPER_AT + PAPER_STEP * number, PAPER_STEP * 0.36
            line: dict[str, Any] = {"color": colour(str(label)), "lw": 0.7, "zorder": 5}
            top = row["whisker_high"] if row["at_least"] != "q3" else row["q3"]
            for low, high in ((row["whisker_low"], row["q1"]), (row["q3"], top)):
                ax.plot([x, x], [low, high], **line)
            sides = ([x - half, x - half, x + half, x + half], [row["q3"], row["q1"], row["q1"], row["q3"]])
            ax.plot(*sides, **line)
            if row["at_least"] != "q3":
                ax.plot([x - half, x + half], [row["q3"]] * 2, **line)
            ax.plot([x - half, x + half], [row["median"]] * 2, **{**line, "lw": 1.5})
    ax.set_xlim(-0.6, len(order) - (0.4 if boxes.empty else 0.25))


def _spread(place: int, points: pd.DataFrame) -> "pd.Series[float]":
    """Deterministic horizontal positions around `place`; steps of the golden ratio separate neighbours."""
    if len(points) == 1:
        return points["rank"] * 0.0 + place
    return place + ((points["rank"] * 0.6180339887) % 1 - 0.5) * 0.5


def _tick(row: "pd.Series[Any]") -> str:
    """A method's label with n and k, and the number of the top k with a score if not all have one."""
    label = [line for part in row["method"].split(CONTEXT) for line in textwrap.wrap(part, LABEL_LETTERS)]
    scored = [f"{row['scored'] or 'none'} scored"] if row["scored"] != row["k"] else []
    return "\n".join([*label, f"n={row['trials']}", f"k={row['k']}", *scored])


def _facet_width(table: pd.DataFrame) -> float:
    """Width in inches without overlapping labels; at least the column of a paper (3.4)."""
    return max(3.4, _width_of(table, len(table)))


def _width_of(table: pd.DataFrame, labels: int) -> float:
    """Width of this number of labels in inches, each as wide as the widest of `table`."""
    longest = max(len(line) for _, row in table.iterrows() for line in _tick(row).splitlines())
    return 0.6 + labels * (0.08 + 0.064 * longest)


def _score_axis(ax: Axes, trials: pd.DataFrame, table: pd.DataFrame) -> None:
    """A logarithmic axis with plain numbers; a text instead if no trial has a score."""
    ax.set_ylabel(fitted(table["score_label"].iloc[0], FACET - 1))
    shown = trials["score"].where(~trials["above"])
    if not table["scored"].any():
        n, diverged, failed = (int(table[name].sum()) for name in ("trials", "diverged", "failed"))
        counts = f"{n} {plural(n, 'trial')}, {diverged} diverged, {failed} failed"
        ax.text(0.5, 0.5, f"No trial has a score\n{counts}", transform=ax.transAxes, ha="center", va="center")
        ax.set_yticks([])
        return
    set_score_scale(ax, shown)


def compute(rows: Rows) -> Frames:
    """marked: rows of `top_fraction`; table: their `top_table`; beside: of `paired_boxes`; paper: the ones shown."""
    marked = marked_top(rows)
    beside = paired_boxes(marked)
    return {"marked": marked, "table": top_table(marked), "beside": beside, "paper": comparable(beside)}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: our boxes and the paper's."""
    legend = [PAPER_LEGEND] if len(frames["paper"]) else []
    return "\n".join(
        [LEGEND, *legend, top_caption(frames["marked"]), *adaptive(rows), *paper_caption(frames["beside"])]
    )


FIGURE = FigureKind(
    name="top",
    title="The best trials of each method",
    compute=compute,
    caption=caption,
    draw=lambda frames, caption: top_figure(frames["marked"], frames["table"], caption, frames["paper"]),
)
