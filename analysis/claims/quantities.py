"""Quantities with intervals, and what is made of them: differences, sums, extremes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from analysis.compare import expected_top_median
from analysis.intervals import Array, least_quantile, quantile_interval, ranked, share_interval


class Estimate(NamedTuple):
    """A value and its interval; inf where a quantile falls on trainings without a score."""

    value: float
    low: float
    high: float


UNBOUNDED = Estimate(math.nan, -math.inf, math.inf)


def best(scores: Any, fraction: float, budget: int, level: float) -> Estimate:
    """The median of the best `fraction`, as `analysis.compare.compare_scores` has it, at a budget of trainings."""
    return Estimate(expected_top_median(scores, fraction, budget), *quantile_interval(scores, fraction / 2, level))


def quantile(scores: Any, q: float, level: float) -> Estimate:
    """The q-quantile of the law of the scores; its value is that of the sample, always a score that was seen."""
    value = float(np.quantile(ranked(scores), q, method="inverted_cdf"))
    return Estimate(value, *quantile_interval(scores, q, level))


def spread(scores: Any, fraction: float, level: float) -> Estimate:
    """The interquartile range of the best `fraction`; MOVER of its two quantiles, whose dependence it may ignore.

    They rise and fall together, so that their difference scatters less than MOVER takes it to.
    """
    upper, lower = (quantile(scores, fraction * side, level) for side in (0.75, 0.25))
    if not math.isfinite(upper.value):
        return UNBOUNDED
    made = combine((1, upper), (-1, lower))
    return made._replace(low=max(made.low, 0.0))


def spread_fraction(n: int, fraction: float, level: float) -> float | None:
    """The fraction nearest to the wanted one, from above, both of whose quartiles have an interval with n scores."""
    wanted = max(fraction, 4 * least_quantile(n, level))
    return wanted if wanted <= 1 else None


def share(hits: Array, level: float) -> Estimate:
    """Of a share of trainings."""
    count, n = int(hits.sum()), len(hits)
    return Estimate(count / n, *share_interval(count, n, level))


def combine(*terms: tuple[float, Estimate]) -> Estimate:
    """The sum of factor * estimate, of independent estimates (MOVER: Zou and Donner, 2008, extended to sums).

    Where a value is infinite, because a quantile falls on trainings without a score, MOVER has no centre; of two terms
    the interval is then between the sums of their ends, whose two errors add up: each end errs with at most 1 - level
    and not half of it, which is what verdicts allow for.
    """
    ends = [(f * e.low, f * e.value, f * e.high) if f > 0 else (f * e.high, f * e.value, f * e.low) for f, e in terms]
    value = _sum([middle for _, middle, _ in ends], math.nan)
    if not all(math.isfinite(middle) for _, middle, _ in ends):
        if len(terms) > 2:
            return UNBOUNDED
        return Estimate(value, _sum([low for low, _, _ in ends], -math.inf), _sum([end for *_, end in ends], math.inf))
    down = math.hypot(*(max(middle - low, 0.0) for low, middle, _ in ends))
    up = math.hypot(*(max(high - middle, 0.0) for _, middle, high in ends))
    return Estimate(value, value - down, value + up)


def _sum(values: Sequence[float], undefined: float) -> float:
    """The sum, or `undefined` where it holds both inf and -inf."""
    total = math.nan if math.inf in values and -math.inf in values else sum(values)
    return undefined if math.isnan(total) else total


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
