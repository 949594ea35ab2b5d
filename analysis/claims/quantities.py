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


UNBOUNDED = Estimate(math.nan, -math.inf, math.inf)
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
    values, n = ranked(scores), len(scores)
    first, last = (int(stats.binom.ppf(chance, n, q)) for chance in (ROUNDING, 1 - ROUNDING))
    below = np.arange(first, last + 1)
    weights = stats.binom.pmf(below, n, q)
    ends = np.concatenate([[-math.inf], values, [math.inf]])
    return Belief((ends[below], weights), (ends[below + 1], weights))


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
    starts = np.searchsorted(np.cumsum(weights), np.linspace(0, weights.sum(), MOST, endpoint=False), side="right")
    starts = np.unique(np.concatenate([[0], starts[starts < len(values)]]))
    ends = np.append(starts[1:], len(values)) - 1
    return values[starts if outside < 0 else ends], np.add.reduceat(weights, starts)


def _passed(values: Array, weights: Array, side: float) -> float:
    """The highest value that has no more than `side` of the weight below it."""
    order = np.argsort(values)
    beyond = int(np.searchsorted(np.cumsum(weights[order]), side, side="right"))
    return float(values[order[min(beyond, len(order) - 1)]])


def quantile_sum(terms: Sequence[tuple[float, Any, float]], level: float, value: float | None = None) -> Estimate:
    """The sum of factor * quantile over (factor, scores, q), of independent samples.

    Quantiles of one sample may be subtracted from each other as well: they rise and fall together, so that their
    difference scatters less than is allowed for.

    Args:
        value: of the sum, where it is estimated in another way; the interval is widened to hold it.
    """
    if value is None:
        with np.errstate(invalid="ignore"):
            value = float(np.sum([factor * sample_quantile(scores, q) for factor, scores, q in terms]))
    belief = reduce(Belief.plus, (of_quantile(scores, q).times(factor) for factor, scores, q in terms))
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


def rank_correlation(x: Any, y: Any, level: float) -> Estimate:
    """Spearman's, by Fisher's transformation with the standard error of Bonett and Wright (2000)."""
    value = float(stats.spearmanr(x, y).statistic)
    if math.isnan(value) or len(x) < 4:
        return UNBOUNDED
    inside = min(max(value, -1 + 1e-12), 1 - 1e-12)
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt((1 + value**2 / 2) / (len(x) - 3))
    return Estimate(value, math.tanh(math.atanh(inside) - half), math.tanh(math.atanh(inside) + half))
