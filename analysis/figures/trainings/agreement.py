"""Agreement of the Frechet and kernel distance in ranking trainings (section 2.4 and appendix B)."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing.axes import plain_numbers, set_score_scale
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.method_columns import short
from analysis.figures.drawing.pages import CLOUD, PAPER, captioned_figure
from analysis.figures.drawing.style import PAGE, colour
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.trainings.agreement import ALL, both_distances, rank_correlation, top_overlap
from analysis.rows.view import NotEnough, Rows, computed_once
from study.storage.schema import FINISHED


@computed_once
def compute(rows: Rows) -> Frames:
    """pairs: of `both_distances`, with score_label; correlation: of `rank_correlation`; overlap: of `top_overlap`."""
    pairs = both_distances(rows.trials, rows.checkpoints)
    if pairs.empty:
        raise NotEnough("No training has a kernel distance at its best checkpoint; `--metrics kid` computes it.")
    return {
        "pairs": rows.with_score_label(pairs),
        "correlation": rank_correlation(pairs, rows.level),
        "overlap": top_overlap(pairs, level=rows.level),
    }


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: panels and intervals."""
    level, finished = f"{100 * rows.level:g} %", int((rows.trials["status"] == FINISHED).sum())
    return common(
        rows,
        f"Above, left: the {len(frames['pairs'])} of {finished} finished trainings that have both distances, each at "
        "its best checkpoint by the Frechet distance; right: share of the K best by one distance that are among "
        f"the K best by the other; grey: the same for unrelated rankings, mean and {level} quantile.",
        f"Below: Spearman's rank correlation over all trainings and over those of each method, with its {level} "
        "interval (Fisher's z, with the larger of the normal-theory and jackknife errors); the paper reports 0.994 and "
        "0.995.",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """For each dataset a scatter plot and the overlap, with the correlations below."""
    groups = [dict(iter(frames[name].groupby("dataset"))) for name in ("pairs", "correlation", "overlap")]
    heights = [height for table in groups[1].values() for height in (2.2, 0.6 + 0.13 * len(table))]
    with mpl.rc_context(PAGE):
        figure = captioned_figure(PAPER, sum(heights), caption)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for line, (dataset, pairs) in enumerate(groups[0].items()):
            cloud, overlap = parts[2 * line].subplots(1, 2, width_ratios=(1.2, 1))
            cloud.set_title(str(dataset), loc="left", fontweight="bold")
            _scatter(cloud, pairs)
            _overlap(overlap, groups[2].get(dataset))
            _correlations(parts[2 * line + 1].subplots(), groups[1][dataset])
    return figure


def _scatter(ax: Axes, pairs: pd.DataFrame) -> None:
    for method, points in pairs.groupby("method"):
        many, faint = len(pairs) > CLOUD, max(0.05, min(0.6, 600 / len(pairs)))
        ax.scatter(
            points["frechet"], points["kernel"], s=6, color=colour(str(method)), alpha=faint, lw=0, rasterized=many
        )
    set_score_scale(ax, pairs["kernel"])
    if pairs["frechet"].min() > 0:
        ax.set_xscale("log")
        plain_numbers(ax.xaxis, 6)
    ax.set_xlabel(pairs["score_label"].iloc[0])
    ax.set_ylabel("kernel distance")


def _correlations(ax: Axes, table: pd.DataFrame) -> None:
    for place, (_, row) in enumerate(table.iterrows()):
        shade = "black" if row["method"] == ALL else colour(row["method"])
        ax.plot([row["low"], row["high"]], [place, place], color=shade, lw=1.1, solid_capstyle="butt")
        ax.plot(row["correlation"], place, "o", ms=3.5, color=shade, clip_on=False, zorder=3)
    names = [f"{short(method)} (n={n})" for method, n in zip(table["method"], table["n"], strict=True)]
    ax.set_yticks(range(len(table)), names)
    ax.set_ylim(len(table) - 0.5, -0.5)
    known = np.fmax(
        table["low"], np.fmin(table["correlation"] - 0.05, 0.5)
    )  # for few trainings the interval reaches the edge
    ax.set_xlim(float(np.fmin(0.9, known.min())) - 0.02, 1.01)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    row = table.iloc[0]
    ax.set_title(f"{ALL}: {row['correlation']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", loc="left", fontsize=7)
    ax.xaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel("rank correlation")


def _overlap(ax: Axes, curve: pd.DataFrame | None) -> None:
    ax.set_xlabel("K best")
    ax.set_ylabel("share in common")
    ax.set_ylim(0, 1.02)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if curve is None or curve.empty:
        ax.text(0.5, 0.5, "fewer than\nfive trainings", transform=ax.transAxes, ha="center", va="center")
        return
    ax.plot(curve["k"], curve["overlap"], color="black", lw=1.2)
    ax.plot(curve["k"], curve["chance"], color="0.6", lw=0.8)
    ax.fill_between(curve["k"], curve["chance"], curve["chance_high"], color="0.6", alpha=0.25, lw=0)


FIGURE = FigureKind(
    name="agreement", title="Frechet against kernel distance", compute=compute, caption=caption, draw=draw
)
