"""Distribution-free intervals for sums and differences of quantiles of several samples."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.intervals import ROUNDING, Array, Interval, check_level, ranked
from study.core.errors import InputError

GRID_POINTS = 200
"""Maximum number of grid points per bound."""
Weighted = tuple[Array, Array]
"""Values and their weights, each [m]."""


class QuantileBounds(NamedTuple):
    """The distributions of a lower and an upper bound of a quantity, each as values and weights [m].

    A quantile lies between the J-th score and the next one, where J is binomial. For sums of independent quantities the
    bounds are added and the weights multiplied. No distribution of the scores is assumed.
    """

    low: Weighted
    high: Weighted

    def times(self, factor: float) -> "QuantileBounds":
        """Bounds of the quantity times a nonzero factor."""
        low, high = ((values * factor, weights) for values, weights in self)
        return QuantileBounds(low, high) if factor > 0 else QuantileBounds(high, low)

    def plus(self, other: "QuantileBounds") -> "QuantileBounds":
        """Bounds of the sum with an independent quantity; inf - inf is unbounded."""
        return QuantileBounds(_add(self.low, other.low, -math.inf), _add(self.high, other.high, math.inf))

    def interval(self, level: float) -> Interval:
        """The interval with an error of (1 - level) / 2 on each side."""
        side = (1 - level) / 2 * (1 + ROUNDING)
        (lows, of_low), (highs, of_high) = self
        return _passed(lows, of_low, side), -_passed(-highs, of_high, side)


def bounds_of_quantile(scores: Any, q: float) -> QuantileBounds:
    """Bounds of the q-quantile of the distribution of a sample, q in (0, 1); NaN and inf rank last."""
    if not 0 < q < 1:
        raise InputError(f"q {q:g}: must be between 0 and 1.")
    ends, below = _ends(scores), _likely(len(scores), q)
    weights = stats.binom.pmf(below, len(scores), q)
    return QuantileBounds((ends[below], weights), (ends[below + 1], weights))


def quantile_difference_interval(a: Any, b: Any, q: float, level: float = 0.95) -> Interval:
    """An interval for the difference of the q-quantiles of two distributions, a - b, from independent samples.

    The number J of scores below a quantile is binomial, so the quantile lies between the J-th score and the next one.
    The ends are quantiles of the difference of two such draws, each at the score that makes the interval wider.
    Neither a distribution nor equal variances are assumed. In simulations the coverage was above the level for all
    distributions and sizes (`tests/benchmarks/coverage.py`).

    Args:
        a, b: [n_a], [n_b]; NaN and inf rank last.
        q: in (0, 1).
        level: in (0, 1).

    Returns:
        (low, high); an end is infinite if a sample is too small, or if it falls on trials without a score;
        (inf, inf) if that holds for all bounds of `a` but not for `b`.
    """
    check_level(level)
    return bounds_of_quantile(a, q).plus(bounds_of_quantile(b, q).times(-1)).interval(level)


def bounds_of_spread(scores: Any, low: float, high: float) -> QuantileBounds:
    """Bounds of the distance of two quantiles of one sample, whose numbers of scores below them are dependent.

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
    """The scores in order, between -inf and inf."""
    return np.concatenate([[-math.inf], ranked(scores), [math.inf]])


def _likely(n: int, q: float) -> Array:
    """The numbers of n scores that can lie below the q-quantile, except very unlikely ones."""
    first, last = (int(stats.binom.ppf(chance, n, q)) for chance in (ROUNDING, 1 - ROUNDING))
    return np.arange(first, last + 1)


def _add(a: Weighted, b: Weighted, undefined: float) -> Weighted:
    (of_a, weights_a), (of_b, weights_b) = (_fewer(bound, undefined) for bound in (a, b))
    with np.errstate(invalid="ignore"):
        values = np.add.outer(of_a, of_b).ravel()
    return np.where(np.isnan(values), undefined, values), np.outer(weights_a, weights_b).ravel()


def _fewer(bound: Weighted, outside: float) -> Weighted:
    """The bound with at most GRID_POINTS values; neighbours are merged at the outer value."""
    values, weights = bound
    if len(values) <= GRID_POINTS:
        return bound
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    starts = np.arange(
        0, len(values), -(-len(values) // GRID_POINTS)
    )  # equal counts, so that the unlikely ends stay separate
    ends = np.append(starts[1:], len(values)) - 1
    return values[starts if outside < 0 else ends], np.add.reduceat(weights, starts)


def _passed(values: Array, weights: Array, side: float) -> float:
    """The highest value with at most `side` of the weight below it."""
    order = np.argsort(values)
    beyond = int(np.searchsorted(np.cumsum(weights[order]), side, side="right"))
    return float(values[order[min(beyond, len(order) - 1)]])
