"""Axes that figures share: logarithmic scales with plain numbers, counts, and labels that fit."""

import math
import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator

LABEL_LETTER = 0.065  # width of a letter of an axis label, in inches


ROUND = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Leading digits of ticks that are about evenly spaced on a logarithmic axis, from many to few."""


def set_score_scale(ax: Axes, shown: "pd.Series[float]", most: int = 7) -> None:
    """Set a logarithmic y axis with at most `most` plain numbers; linear if a score is <= 0."""
    ax.yaxis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    if shown.min() <= 0:
        return
    ax.set_yscale("log")
    plain_numbers(ax.yaxis, most)


class RoundNumbers(Locator):
    """At most `most` ticks on a logarithmic axis, at round numbers.

    The locator of matplotlib returns an arbitrary number of ticks if at most one of its numbers is visible.
    """

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self) -> list[float]:
        """The ticks of the visible interval."""
        assert self.axis is not None  # set by matplotlib
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks between vmin and vmax, both above 0, in any order.

        >>> [RoundNumbers(4).tick_values(*ends) for ends in ((22, 95), (0.04, 3), (29, 52))]
        [[30.0, 50.0, 70.0], [0.1, 0.3, 1.0, 3.0], [32.0, 40.0, 48.0]]
        """
        low, high = sorted((vmin, vmax))
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        for digits in ROUND:
            ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
            ticks = [tick for tick in ticks if low <= tick <= high]
            if len(ticks) <= self._most:
                break
        if len(ticks) < (2 if high > 3 * low else 3):  # a short interval is nearly linear
            evenly = MaxNLocator(self._most - 1).tick_values(low, high)
            ticks = [float(tick) for tick in evenly if low <= tick <= high]
        return ticks[:: max(1, math.ceil(len(ticks) / self._most))]


def plain_numbers(axis: Axis, most: int) -> None:
    """Set at most `most` ticks on a logarithmic axis, at round numbers without exponents."""
    axis.set_major_locator(RoundNumbers(most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def fitted(label: str, inches: float) -> str:
    """The label of an axis, wrapped so that no line is longer than `inches`.

    >>> fitted("FD (inception-v3-compat, bf16 features)", 1.5)
    'FD (inception-v3-compat,\\nbf16 features)'
    """
    return "\n".join(textwrap.wrap(label, max(10, int(inches / LABEL_LETTER) + 1)))


def set_count_axis(ax: Axes, most: int) -> None:
    """Set a logarithmic x axis for integers from 1 to `most`, with ticks 1, 2, 5, 10, ... or 1, 10, 100, ...."""
    ax.set_xscale("log")
    ax.set_xlim(0.9, 1.1 * most)
    counts = [digit * 10**power for power in range(len(str(most))) for digit in ((1, 2, 5) if most <= 500 else (1,))]
    shown = [count for count in counts if count <= most]
    ax.set_xticks(shown, [f"{count:g}" for count in shown])
    ax.xaxis.set_minor_locator(NullLocator())


def set_score_axis(ax: Axes, side: str, low: float, high: float, most: int = 4) -> None:
    """Set the x or y axis (`side`) of small panels, from slightly below the lowest to slightly above the highest score.

    Logarithmic with at most `most` plain numbers if both are above 0.
    """
    axis: Axis = ax.xaxis if side == "x" else ax.yaxis
    if not (np.isfinite(low) and np.isfinite(high)):
        axis.set_ticks([])
        return
    limits = ax.set_xlim if side == "x" else ax.set_ylim
    axis.grid(visible=True, color="0.92", lw=0.5)
    ax.set_axisbelow(True)
    if low <= 0:
        pad = 0.04 * (high - low) or 0.05
        limits(low - pad, high + pad)
        axis.set_major_locator(MaxNLocator(3))
        return
    pad = 0.04 * math.log(high / low) or 0.05
    ax.set(**{f"{side}scale": "log"})
    limits(low * math.exp(-pad), high * math.exp(pad))
    plain_numbers(axis, most)
