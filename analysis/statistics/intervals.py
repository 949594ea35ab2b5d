"""Intervals with known coverage: for quantiles, differences, proportions, and the probability of improvement.

The sampling unit is the training: one draw of a setting and a seed. The quantile of a method's scores is bounded by
order statistics, whose coverage is exact for any distribution of the scores. If the settings are those of a fixed grid
and only seeds are drawn, the number of scores below a value is a sum of unequal Bernoulli draws, which varies less than
a binomial variable (Hoeffding, 1956), so the intervals are conservative. The plain bootstrap of the median of the best
5 % is not used: its lower end can only be an observed score, and its coverage is far below its level
(`tests/benchmarks/coverage.py` shows both).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from study.core.errors import InputError

Interval = tuple[float, float]
Array = npt.NDArray[Any]
ROUNDING = 1e-9
"""Tolerance for probabilities, so that `quantile_interval` has both ends exactly at `resolved_fraction`."""


def ranked(scores: Any) -> Array:
    """The scores in ascending order; missing and non-finite scores are inf and rank last."""
    values = np.asarray(scores, dtype=float)
    return np.sort(np.where(np.isfinite(values), values, math.inf))


def quantile_interval(scores: Any, q: float, level: float = 0.95) -> Interval:
    """A confidence interval for the q-quantile of the distribution of the scores, between two order statistics.

    Its coverage is at least `level` for any distribution (Hahn and Meeker, 1991, section 5.2).

    Args:
        scores: [n]; NaN and inf rank last.
        q: in (0, 1).
        level: in (0, 1); the error on each side is at most (1 - level) / 2.

    Returns:
        (low, high); an end is -inf or inf if n is too small, or if it falls on a trial without a score.

    >>> quantile_interval(range(1, 21), 0.5)
    (6.0, 15.0)
    """
    check_level(level)
    if not 0 < q < 1:
        raise InputError(f"q {q:g}: must be between 0 and 1.")
    values, side = ranked(scores), (1 - level) / 2 * (1 + ROUNDING)
    n = len(values)
    far = (
        math.sqrt(n * math.log(1 / side) / 2) + 1
    )  # counts further from the mean have probability < `side` (Hoeffding, 1963)
    first = max(0, math.floor(n * q - far))
    i = np.arange(first, min(n, math.ceil(n * q + far)) + 1)
    low = first + int((stats.binom.cdf(i, n, q) <= side).sum())  # P(low-th score > quantile) <= side
    high = first + int((stats.binom.sf(i, n, q) > side).sum()) + 1  # P(high-th score < quantile) <= side
    return (float(values[low - 1]) if low else -math.inf), (float(values[high - 1]) if high <= n else math.inf)


def least_quantile(n: int, level: float = 0.95) -> float:
    """The smallest q for which `quantile_interval` has a finite lower end with n scores; q = 0.025 needs 146 scores.

    >>> least_quantile(146) <= 0.025 < least_quantile(145)
    True
    """
    check_level(level)
    return 1.0 if n < 1 else -math.expm1(math.log((1 - level) / 2) / n)


def resolved_fraction(n: int, fraction: float = 0.05, level: float = 0.95) -> float | None:
    """The smallest fraction >= `fraction` whose median has an interval in a pool of n trainings.

    The median of the best `fraction` is the quantile at fraction / 2. None if no fraction has an interval (fewer than
    six trainings at 95 %).

    >>> [round(resolved_fraction(n), 3) for n in (12, 24, 60, 264)], resolved_fraction(5)
    ([0.529, 0.285, 0.119, 0.05], None)
    """
    resolved = max(fraction, 2 * least_quantile(n, level))
    return min(resolved, 1.0) if resolved <= 1 else None


def difference_interval(a: float, of_a: Interval, b: float, of_b: Interval) -> Interval:
    """An interval for a - b from those of two independent quantities (MOVER: Zou and Donner, 2008, equation 4).

    For estimates that vary smoothly, such as means. Not for quantiles, which jump if a method collapses: the coverage
    can then be 74 % instead of 95 % (`tests/benchmarks/coverage.py`); use `analysis.statistics.quantile_bounds`
    instead. An end is infinite if it depends on an infinite end.
    """
    if not (math.isfinite(a) and math.isfinite(b)):
        return -math.inf, math.inf
    (low_a, high_a), (low_b, high_b) = of_a, of_b
    low_a, high_a, low_b, high_b = min(low_a, a), max(high_a, a), min(low_b, b), max(high_b, b)
    return a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)


def share_interval(count: int, n: int, level: float = 0.95) -> Interval:
    """The Clopper-Pearson (1934) interval for a proportion, with `count` successes of n; coverage at least `level`.

    >>> [round(end, 4) for end in share_interval(0, 10)]
    [0.0, 0.3085]
    """
    check_level(level)
    side = (1 - level) / 2
    low = float(stats.beta.ppf(side, count, n - count + 1)) if count else 0.0
    return low, float(stats.beta.ppf(1 - side, count + 1, n - count)) if count < n else 1.0


def improvement(a: Any, b: Any) -> float:
    """P(a training of `a` scores lower than one of `b`); ties and pairs without any score count one half.

    The Mann-Whitney statistic divided by the number of pairs; missing scores rank last.

    >>> improvement([1, 2, 5], [3, 4])
    0.6666666666666667
    """
    first, second = ranked(a), ranked(b)
    if not len(first) or not len(second):
        return math.nan
    lower = np.searchsorted(second, first, side="left")
    tied = np.searchsorted(second, first, side="right")
    return float(1 - (lower + tied).mean() / (2 * len(second)))


def improvement_interval(probability: float, n_a: int, n_b: int, level: float = 0.95) -> Interval:
    """The score-type interval for `improvement` (Newcombe, 2006, part 2, method 5); also valid at 0 and 1."""
    check_level(level)
    if not math.isfinite(probability):
        return 0.0, 1.0
    z2, more = stats.norm.ppf((1 + level) / 2) ** 2, (n_a + n_b) / 2 - 1

    def excess(theta: float) -> float:
        shape = 1 + more * (1 - theta) / (2 - theta) + more * theta / (1 + theta)
        return float((theta - probability) ** 2 - z2 * theta * (1 - theta) * shape / (n_a * n_b))

    def end(far: float) -> float:
        """The root of `excess` between the probability (where it is <= 0) and `far` (where it is >= 0)."""
        inside, outside = probability, far
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
        return (inside + outside) / 2

    return (end(0.0) if probability > 0 else 0.0), (end(1.0) if probability < 1 else 1.0)


def bootstrap_interval(
    sample: Any,
    statistic: Callable[[Array], Array],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The percentile bootstrap interval of a smooth statistic, such as a mean or a correlation.

    Not for extremes or small quantiles, where its coverage is far too low; use `quantile_interval`.

    Args:
        sample: [n, ...]; its rows are resampled with replacement.
        statistic: from [resamples, n, ...] to [resamples].
        rng: for resampling.
    """
    check_level(level)
    rows = np.asarray(sample)
    if len(rows) < 2:
        return -math.inf, math.inf
    drawn = rng.integers(0, len(rows), (resamples, len(rows)))
    low, high = np.quantile(statistic(rows[drawn]), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def order_weights(n: int, budget: int, place: int) -> Array:
    """[n]: the probability that the i-th best of n is the `place`-th best of `budget` draws without replacement.

    C(i - 1, place - 1) C(n - i, budget - place) / C(n, budget), for i from 1 to n.
    """
    if not 1 <= place <= budget <= n:
        raise InputError(f"budget {budget}, place {place}: must hold 1 <= place <= budget <= {n} (the pool).")
    i = np.arange(1, n + 1)
    possible = (i >= place) & (n - i >= budget - place)
    ways = _log_choose(i[possible] - 1, place - 1) + _log_choose(n - i[possible], budget - place)
    weights = np.zeros(n)
    weights[possible] = np.exp(ways - _log_choose(np.array(n), budget))
    return weights


def _log_choose(n: Array, k: int) -> Array:
    logarithm: Array = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return logarithm


def check_level(level: float) -> None:
    """Raise InputError unless a confidence level is between 0 and 1."""
    if not 0 < level < 1:
        raise InputError(f"level {level:g}: must be between 0 and 1; for example 0.95.")
