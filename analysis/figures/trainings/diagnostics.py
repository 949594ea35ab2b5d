"""Diagnostics of the discriminator in training: singular values of layers and gradient norms, for each method."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.drawing.axes import plain_numbers
from analysis.figures.drawing.captions import common
from analysis.figures.drawing.method_columns import method_columns
from analysis.figures.drawing.style import PAGE
from analysis.figures.figure import FigureKind, Frames
from analysis.frames.trainings.curves import GRADIENT_NORMS, POOL, SIGMA, SIGMA_PRODUCT, STEP, diagnostic_curve
from analysis.rows.view import NotEnough, Rows

NORMS = dict(
    zip(
        GRADIENT_NORMS,
        (("at training images", "#0072B2"), ("at generated images", "#D55E00"), ("between the two", "#009E73")),
        strict=True,
    )
)
"""Label and colour by the images at which the gradient is computed."""
ROWS = {"sigma": (SIGMA,), "product": (SIGMA_PRODUCT,), "gradient": GRADIENT_NORMS}
SPAN = 1e5
"""The lower end of an axis is at least its highest quartile divided by this."""
BEYOND = 1e30


def compute(rows: Rows) -> Frames:
    """curve: of `diagnostic_curve`."""
    curve = diagnostic_curve(rows.trials, rows.checkpoints, rows.level)
    if curve.empty:
        raise NotEnough("No checkpoint has diagnostics of the discriminator; only checkpoints of trainings have them.")
    return {"curve": curve}


def caption(rows: Rows, frames: Frames) -> str:
    """The caption: lines, bands and panels."""
    return common(
        rows,
        "Lines: medians over the trainings of a method that reached the checkpoint; bands: quartiles.",
        "Upper panels: largest singular value of each layer's flattened weight; middle: the product over layers, which "
        "does not bound the Lipschitz constant; lower: mean norm of D's gradient at images in [0, 1].",
        f"Values below 1/{SPAN:,.0f} of the highest quartile of a row of panels are drawn at the lower edge.",
    )


def draw(frames: Frames, caption: str) -> Figure:
    """Panels of singular values, their product and gradient norms, in a column per method."""
    curve = frames["curve"]
    pools = curve[POOL].drop_duplicates().itertuples(index=False, name=None)
    with mpl.rc_context(PAGE):
        figure, panels = method_columns(pools, (1.0, 0.8, 1.0), caption)
        for dataset, here in curve.groupby("dataset"):
            mine = {method: axes for (each, method), axes in panels.items() if each == dataset}
            for row, (name, quantities) in enumerate(ROWS.items()):
                rows = here[here["quantity"].isin(quantities)]
                first = next(iter(mine.values()))[row]
                floor = _scaled(first, rows)
                first.set_ylabel(name)
                for method, axes in mine.items():
                    _lines(axes[row], rows[rows["method"] == method], floor)
        figure.legend(handles=_handles(), loc="outside upper right", ncols=5, frameon=False, fontsize=6.5)
    return figure


def _scaled(ax: Axes, shown: pd.DataFrame) -> float:
    """Make the axis logarithmic up to the highest finite quartile, and return its lower edge."""
    ends = shown[["q1", "q3"]].to_numpy()
    ends = ends[np.isfinite(ends) & (ends > 0)]
    if not len(ends):
        return 0.0
    floor, top = max(ends.min(), ends.max() / SPAN) / 1.4, ends.max() * 1.4
    ax.set_yscale("log")
    ax.set_ylim(floor, top)
    plain_numbers(ax.yaxis, 4)
    return float(floor)


def _lines(ax: Axes, rows: pd.DataFrame, floor: float) -> None:
    """Median and quartiles of each quantity and layer, clipped to the axis."""
    last = rows["layer"].max()
    for (quantity, layer), line in rows.groupby(["quantity", "layer"]):
        shade = NORMS[quantity][1] if quantity in NORMS else "0.2" if quantity == SIGMA_PRODUCT else _depth(layer, last)
        step, median, q1, q3 = line[[STEP, "median", "q1", "q3"]].to_numpy(dtype=float).T
        ax.plot(step, np.maximum(median, 1.1 * floor), color=shade, lw=1, zorder=3)
        low, high = (np.clip(ends, floor, BEYOND) for ends in (q1, q3))
        ax.fill_between(step, low, high, color=shade, alpha=0.12, lw=0)


def _depth(layer: Any, last: int) -> Any:
    return mpl.colormaps["viridis"](0.9 * (layer - 1) / max(last - 1, 1))


def _handles() -> list[Line2D]:
    layers = [
        Line2D([], [], color=_depth(layer, 2), label=f"{word} layer") for layer, word in ((1, "first"), (2, "last"))
    ]
    return [*layers, *(Line2D([], [], color=shade, label=words) for words, shade in NORMS.values())]


FIGURE = FigureKind(
    name="diagnostics", title="Sigma and gradient norms in training", compute=compute, caption=caption, draw=draw
)
