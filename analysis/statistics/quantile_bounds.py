"""Quantiles of several samples in one sum or difference: an interval that assumes no law of the scores."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.intervals import ROUNDING, Array, Interval, check_level, ranked
from study.core.errors import InputError

MOST = 200
"""Values that a bound is told apart by."""
Weighted = tuple[Array, Array]


class QuantileBounds(NamedTuple):
    """What samples say of a quantity: the chances of its lower and its upper bound, each [m] values and weights.

    A quantile lies between the J-th score and the next with the chance of J, which is binomial. Of sums the bounds
    are added and the chances multiplied. So no law is assumed.
    """

    low: Weighted
    high: Weighted

    def times(self, factor: float) -> "QuantileBounds":
        """The quantity times a factor other than 0."""
        low, high = ((values * factor, weights) for values, weights in self)
        return QuantileBounds(low, high) if factor > 0 else QuantileBounds(high, low)

    def plus(self, other: "QuantileBounds") -> "QuantileBounds":
        """The sum with an independent quantity; inf less inf is anything."""
        return QuantileBounds(_add(self.low, other.low, -math.inf), _add(self.high, other.high, math.inf))

    def interval(self, level: float) -> Interval:
        """Between the bounds that are passed with half of the rest on either side."""
        side = (1 - level) / 2 * (1 + ROUNDING)
        (lows, of_low), (highs, of_high) = self
        return _passed(lows, of_low, side), -_passed(-highs, of_high, side)


def bounds_of_quantile(scores: Any, q: float) -> QuantileBounds:
    """What a sample says of a quantile, q in (0, 1); NaN and inf rank last."""
    if not 0 < q < 1:
        raise InputError(f"q {q:g}: must be between 0 and 1.")
    ends, below = _ends(scores), _likely(len(scores), q)
    weights = stats.binom.pmf(below, len(scores), q)
    return QuantileBounds((ends[below], weights), (ends[below + 1], weights))


def quantile_difference_interval(a: Any, b: Any, q: float, level: float = 0.95) -> Interval:
    """An interval for the q-quantile of the law of `a` less that of `b`, from two independent samples.

    The number of scores below a quantile is binomial; read backwards, each quantile lies between the J-th and the next
    score with the chance of J. The ends are quantiles of the difference of two such draws, each at whichever of its two
    scores makes the interval wider. So no law is assumed, nor that estimates scatter evenly. Simulated, it covered more
    than its level for every law and size tried (`tests/benchmarks/coverage.py`).

    Args:
        a, b: [n_a], [n_b]; NaN and inf rank last.
        q: in (0, 1).
        level: in (0, 1).

    Returns:
        (low, high); infinite where a sample is too small for an end, or where the end falls on trials without a score:
        (inf, inf) where that is so for all that `a` may be, but not for `b`.
    """
    check_level(level)
    return bounds_of_quantile(a, q).plus(bounds_of_quantile(b, q).times(-1)).interval(level)


def bounds_of_spread(scores: Any, low: float, high: float) -> QuantileBounds:
    """What a sample says of how far two quantiles are apart; the numbers of scores below them rise and fall together.

    Args:
        low, high: in (0, 1), the first below the second.
    """
    n, ends = len(scores), _ends(scores)
    first, second = (below.ravel() for below in np.meshgrid(_likely(n, low), _likely(n, high), indexing="ij"))
    between = stats.binom.pmf(second - first, n - first, (high - low) / (1 - low))
    weights = stats.binom.pmf(first, n, low) * between  # 0 where the second is below the first
    with np.errstate(invalid="ignore"):
        least, most = ends[second] - ends[np.minimum(first + 1, n + 1)], ends[second + 1] - ends[first]
    return QuantileBounds((np.fmax(least, 0), weights), (np.where(np.isnan(most), math.inf, most), weights))


def _ends(scores: Any) -> Array:
    """The scores in order, between the bounds of what lies outside of them."""
    return np.concatenate([[-math.inf], ranked(scores), [math.inf]])


def _likely(n: int, q: float) -> Array:
    """How many of n scores lie below their q-quantile, all but the least likely numbers."""
    first, last = (int(stats.binom.ppf(chance, n, q)) for chance in (ROUNDING, 1 - ROUNDING))
    return np.arange(first, last + 1)


def _add(a: Weighted, b: Weighted, undefined: float) -> Weighted:
    (of_a, weights_a), (of_b, weights_b) = (_fewer(bound, undefined) for bound in (a, b))
    with np.errstate(invalid="ignore"):
        values = np.add.outer(of_a, of_b).ravel()
    return np.where(np.isnan(values), undefined, values), np.outer(weights_a, weights_b).ravel()


def _fewer(bound: Weighted, outside: float) -> Weighted:
    """The same with at most MOST values, neighbours joined at the one that lies further outside."""
    values, weights = bound
    if len(values) <= MOST:
        return bound
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    starts = np.arange(0, len(values), -(-len(values) // MOST))  # evenly, so that the unlikely ends stay apart
    ends = np.append(starts[1:], len(values)) - 1
    return values[starts if outside < 0 else ends], np.add.reduceat(weights, starts)


def _passed(values: Array, weights: Array, side: float) -> float:
    """The highest value that has no more than `side` of the weight below it."""
    order = np.argsort(values)
    beyond = int(np.searchsorted(np.cumsum(weights[order]), side, side="right"))
    return float(values[order[min(beyond, len(order) - 1)]])
