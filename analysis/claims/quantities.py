"""Quantities with intervals, and what is made of them: differences, sums, extremes."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from analysis.intervals import (
    ROUNDING,
    Array,
    difference_interval,
    least_quantile,
    quantile_interval,
    ranked,
    share_interval,
)


class Estimate(NamedTuple):
    """A value and its interval; inf where a quantile falls on trainings without a score."""

    value: float
    low: float
    high: float


MOST = 200
"""Values that a bound is told apart by."""
Weighted = tuple[Array, Array]


class Belief(NamedTuple):
    """What samples say of a quantity: the chances of its lower and its upper bound, each [m] values and weights.

    A quantile lies between the J-th score and the next with the chance of J, which is binomial. Of sums the bounds
    are added and the chances multiplied. So no law is assumed, as in `analysis.intervals.quantile_difference_interval`,
    which this is for any number of terms.
    """

    low: Weighted
    high: Weighted

    def times(self, factor: float) -> "Belief":
        """The quantity times a factor other than 0."""
        low, high = ((values * factor, weights) for values, weights in self)
        return Belief(low, high) if factor > 0 else Belief(high, low)

    def plus(self, other: "Belief") -> "Belief":
        """The sum with an independent quantity; inf less inf is anything."""
        return Belief(_add(self.low, other.low, -math.inf), _add(self.high, other.high, math.inf))

    def interval(self, level: float) -> tuple[float, float]:
        """Between the bounds that are passed with half of the rest on either side."""
        side = (1 - level) / 2 * (1 + ROUNDING)
        (lows, of_low), (highs, of_high) = self
        return _passed(lows, of_low, side), -_passed(-highs, of_high, side)


def of_quantile(scores: Any, q: float) -> Belief:
    """What a sample says of a quantile; NaN and inf rank last."""
    ends, below = _ends(scores), _likely(len(scores), q)
    weights = stats.binom.pmf(below, len(scores), q)
    return Belief((ends[below], weights), (ends[below + 1], weights))


def of_spread(scores: Any, low: float, high: float) -> Belief:
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
    return Belief((np.fmax(least, 0), weights), (np.where(np.isnan(most), math.inf, most), weights))


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


def quantile_sum(terms: Sequence[tuple[float, Any, float]], level: float, value: float | None = None) -> Estimate:
    """The sum of factor * quantile over (factor, scores, q), of independent samples.

    Args:
        value: of the sum, where it is estimated in another way; the interval is widened to hold it.
    """
    if value is None:
        with np.errstate(invalid="ignore"):
            value = float(np.sum([factor * sample_quantile(scores, q) for factor, scores, q in terms]))
    return widened(
        value, reduce(Belief.plus, (of_quantile(scores, q).times(factor) for factor, scores, q in terms)), level
    )


def spread_difference(a: Any, b: Any, low: float, high: float, level: float) -> Estimate:
    """How far two quantiles are apart in `a`, less how far they are in `b`."""
    values = [sample_quantile(scores, q) for scores in (a, b) for q in (high, low)]
    with np.errstate(invalid="ignore"):
        value = float(np.dot(values, [1, -1, -1, 1]))
    return widened(value, of_spread(a, low, high).plus(of_spread(b, low, high).times(-1)), level)


def widened(value: float, belief: Belief, level: float) -> Estimate:
    """A value with the interval of a belief, widened to hold it."""
    low, high = belief.interval(level)
    return Estimate(value, float(np.fmin(low, value)), float(np.fmax(high, value)))


def sample_quantile(scores: Any, q: float) -> float:
    """That of the sample, always a score that was seen."""
    return float(np.quantile(ranked(scores), q, method="inverted_cdf"))


def quantile(scores: Any, q: float, level: float) -> Estimate:
    """The q-quantile of the law of the scores."""
    return Estimate(sample_quantile(scores, q), *quantile_interval(scores, q, level))


def resolving(level: float, terms: int = 2) -> float:
    """The level at which each of several quantiles must have an interval, for their sum to have one at `level`."""
    return 1 - (1 - level) / (2 * max(terms - 1, 1))


def spread_fraction(n: int, fraction: float, level: float) -> float | None:
    """The fraction nearest to the wanted one, from above, both of whose quartiles have an interval with n scores."""
    wanted = max(fraction, 4 * least_quantile(n, level))
    return wanted if wanted <= 1 else None


def share_difference(a: Array, b: Array, level: float) -> Estimate:
    """The share of hits among a less that among b (Clopper and Pearson; MOVER)."""
    shares = [share(hits, level) for hits in (a, b)]
    ends = [(one.value, (one.low, one.high)) for one in shares]
    return Estimate(shares[0].value - shares[1].value, *difference_interval(*ends[0], *ends[1]))


def share(hits: Array, level: float) -> Estimate:
    """Of a share of trainings."""
    count, n = int(hits.sum()), len(hits)
    return Estimate(count / n, *share_interval(count, n, level))


def largest(estimates: Sequence[Estimate]) -> Estimate:
    """The largest of several quantities; to cover at a level, each of m must at 1 - (1 - level) / m (Bonferroni)."""
    return Estimate(*(max(column) for column in zip(*estimates, strict=True)))


def welch(a: Array, b: Array, level: float) -> Estimate:
    """mean(a) - mean(b), of few repeats each, at least 2 (Welch, 1947)."""
    value = float(a.mean() - b.mean())
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    error = float(parts.sum())
    if error == 0:
        return Estimate(value, value, value)
    freedom = error**2 / float((parts**2 / [len(a) - 1, len(b) - 1]).sum())
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(error)
    return Estimate(value, value - half, value + half)
