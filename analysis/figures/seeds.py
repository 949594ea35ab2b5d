"""How much scores vary with the seed alone: the seeds of each setting, settings in the order of their medians."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.captions import common
from analysis.figures.kind import FigureKind, Frames, NotEnough
from analysis.panels import CLOUD, blocks, panel_each, rows_of, score_axis
from analysis.rows import Rows
from analysis.scores import TRAININGS, scored
from analysis.seeds import repeated, seed_table, setting_spread
from analysis.style import PAGE, colour

FAR = 10
"""The axis ends at this many times the dataset's lowest score, or above half of all, where scores go beyond."""


def compute(rows: Rows) -> Frames:
    """points: of `repeated`, with far (the end of the dataset's axis); settings: of `setting_spread`; table: of
    `seed_table`. Of trainings, whatever the pool of the rows."""
    trainings = rows.scored if rows.pool == TRAININGS else scored(rows.trials, rows.rule, TRAININGS)
    points = repeated(trainings)
    if points["score"].isna().all():
        raise NotEnough(
            "No setting has been trained with several seeds and been scored; `study run grid --seeds 3` does it."
        )
    scores = points.groupby("dataset")["score"]
    far = np.minimum(scores.max(), np.maximum(FAR * scores.min(), 2 * scores.median()))
    kept = ["dataset", "method_label", "place", "score"]
    return {
        "points": points[kept].rename(columns={"method_label": "method"}).assign(far=points["dataset"].map(far)),
        "settings": setting_spread(points),
        "table": seed_table(points, rows.rng(), rows.level),
    }


def caption(rows: Rows, frames: Frames) -> str:
    """What the points are, and what the numbers."""
    partly = int(frames["table"]["partly"].sum())
    some = f", of which {partly} settings have some beside others that are scored" if partly else ""
    return common(
        rows,
        "Points: the seeds of each setting that was trained with several, settings in the order of their medians; "
        f"line: from the lowest to the highest; above the axis: x seeds without a score{some}, \N{BLACK UP-POINTING SMALL TRIANGLE} beyond it.",
        f"Between: the share of the variance of ranked scores that lies between settings, not seeds of one (intraclass "
        f"correlation, {100 * rows.level:g} % by Searle); cv: the standard deviation within settings over their mean, "
        f"pooled ({100 * rows.level:g} % by a studentised bootstrap of settings).",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """A panel per method, a block per dataset."""
    table = frames["table"]
    sizes = table.groupby("dataset", sort=False).size()
    with mpl.rc_context(PAGE):
        figure, parts = blocks(sizes.index, [0.6 + 1.2 * rows_of(size) for size in sizes], caption)
        for dataset, part in parts:
            points, settings, rows = (frame[frame["dataset"] == dataset] for frame in frames.values())
            axes = panel_each(part, list(rows["method"]))
            for (_, row), ax in zip(rows.iterrows(), axes.values(), strict=True):
                mine = (frame[frame["method"] == row["method"]] for frame in (points, settings))
                _panel(ax, *mine, row)
            first = next(iter(axes.values()))
            score_axis(first.yaxis, points["score"].min(), points["far"].iloc[0])
            first.set_xlim(0, settings["place"].max() + 1)
            part.supxlabel("settings, best first", fontsize=8)
            part.supylabel(rows["score_label"].iloc[0], fontsize=8)
    return figure


def _panel(ax: Axes, points: pd.DataFrame, settings: pd.DataFrame, row: "pd.Series[Any]") -> None:
    """One method."""
    ink, many = colour(row["method"]), len(points) > CLOUD
    ranges = settings[settings["scored"] > 1]
    ax.vlines(ranges["place"], ranges["lowest"], ranges["highest"], color=ink, lw=0.8, alpha=0.6, rasterized=many)
    shown = points["score"] <= points["far"]
    ax.scatter(points["place"][shown], points["score"][shown], s=4, color=ink, lw=0, rasterized=many)
    for mark, where in (("x", points["score"].isna()), ("^", points["score"] > points["far"])):
        at = points["place"][where]
        look: dict[str, Any] = {"s": 5, "lw": 0.5 if mark == "x" else 0, "color": ink, "clip_on": False}
        ax.scatter(at, [1.04] * len(at), marker=mark, transform=ax.get_xaxis_transform(), rasterized=many, **look)
    ax.yaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    texts = [_measure("between", row, "between", 1), _measure("cv", row, "cv", 100)]
    ax.text(0.98, 0.03, "\n".join(texts), transform=ax.transAxes, ha="right", va="bottom", fontsize=5.5, color="0.3")


def _measure(word: str, row: "pd.Series[Any]", name: str, factor: float) -> str:
    """`between 0.81 [0.60, 0.93]`, and per cent where the factor is 100."""
    if pd.isna(row[name]):
        return f"{word}: unknown"
    unit, digits = (" %", 0) if factor == 100 else ("", 2)
    value, low, high = (factor * row[each] for each in (name, f"{name}_low", f"{name}_high"))
    top = f"{high:.{digits}f}" if np.isfinite(high) else "\N{INFINITY}"
    return f"{word} {value:.{digits}f} [{low:.{digits}f}, {top}]{unit}"


FIGURE = FigureKind(
    name="seeds", title="How much scores vary with the seed", compute=compute, caption=caption, draw=draw
)
