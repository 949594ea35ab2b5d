"""Estimates with intervals: quantiles, proportions, and their differences, sums and maxima."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.intervals import (
    Array,
    difference_interval,
    least_quantile,
    quantile_interval,
    ranked,
    share_interval,
)
from analysis.statistics.quantile_bounds import QuantileBounds, bounds_of_quantile, bounds_of_spread


class QuantityEstimate(NamedTuple):
    """A value and its interval; inf if a quantile falls on trainings without a score."""

    value: float
    low: float
    high: float


def quantile_sum(
    terms: Sequence[tuple[float, Any, float]], level: float, value: float | None = None
) -> QuantityEstimate:
    """The sum of factor * quantile over (factor, scores, q), of independent samples.

    Args:
        value: another estimate of the sum; the interval is widened to contain it.
    """
    if value is None:
        with np.errstate(invalid="ignore"):
            value = float(np.sum([factor * sample_quantile(scores, q) for factor, scores, q in terms]))
    return widened(
        value,
        reduce(QuantileBounds.plus, (bounds_of_quantile(scores, q).times(factor) for factor, scores, q in terms)),
        level,
    )


def spread_difference(a: Any, b: Any, low: float, high: float, level: float) -> QuantityEstimate:
    """The distance of two quantiles of `a`, minus that of `b`."""
    values = [sample_quantile(scores, q) for scores in (a, b) for q in (high, low)]
    with np.errstate(invalid="ignore"):
        value = float(np.dot(values, [1, -1, -1, 1]))
    return widened(value, bounds_of_spread(a, low, high).plus(bounds_of_spread(b, low, high).times(-1)), level)


def widened(value: float, bounds: QuantileBounds, level: float) -> QuantityEstimate:
    """A value with the interval of the bounds, widened to contain it."""
    low, high = bounds.interval(level)
    return QuantityEstimate(value, float(np.fmin(low, value)), float(np.fmax(high, value)))


def sample_quantile(scores: Any, q: float) -> float:
    """The sample quantile without interpolation: always an observed score."""
    return float(np.quantile(ranked(scores), q, method="inverted_cdf"))


def quantile(scores: Any, q: float, level: float) -> QuantityEstimate:
    """The q-quantile of the distribution of the scores."""
    return QuantityEstimate(sample_quantile(scores, q), *quantile_interval(scores, q, level))


def level_per_term(level: float, terms: int = 2) -> float:
    """The level at which each of `terms` quantiles must have an interval, so that their sum has one at `level`."""
    return 1 - (1 - level) / (2 * max(terms - 1, 1))


def spread_fraction(n: int, fraction: float, level: float) -> float | None:
    """The smallest fraction >= `fraction` whose two quartiles both have an interval with n scores; None if none has."""
    resolved = max(fraction, 4 * least_quantile(n, level))
    return resolved if resolved <= 1 else None


def share_difference(a: Array, b: Array, level: float) -> QuantityEstimate:
    """The proportion of hits in a minus that in b (Clopper and Pearson; MOVER)."""
    shares = [share(hits, level) for hits in (a, b)]
    ends = [(one.value, (one.low, one.high)) for one in shares]
    return QuantityEstimate(shares[0].value - shares[1].value, *difference_interval(*ends[0], *ends[1]))


def share(hits: Array, level: float) -> QuantityEstimate:
    """The proportion of hits, with the Clopper-Pearson interval."""
    count, n = int(hits.sum()), len(hits)
    return QuantityEstimate(count / n, *share_interval(count, n, level))


def largest(estimates: Sequence[QuantityEstimate]) -> QuantityEstimate:
    """The maximum of m quantities; its coverage is `level` if each has 1 - (1 - level) / m (Bonferroni)."""
    return QuantityEstimate(*(max(column) for column in zip(*estimates, strict=True)))


def welch(a: Array, b: Array, level: float) -> QuantityEstimate:
    """mean(a) - mean(b) with Welch's interval (1947); each sample has at least 2 values."""
    value = float(a.mean() - b.mean())
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    error = float(parts.sum())
    if error == 0:
        return QuantityEstimate(value, value, value)
    freedom = error**2 / float((parts**2 / [len(a) - 1, len(b) - 1]).sum())
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(error)
    return QuantityEstimate(value, value - half, value + half)
