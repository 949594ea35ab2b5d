"""Intervals cover what they say: against exact sums, other libraries, published tables, and by simulation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.statistics.intervals import (
    bootstrap_interval,
    difference_interval,
    improvement,
    improvement_interval,
    least_quantile,
    order_weights,
    quantile_interval,
    ranked,
    resolved_fraction,
    share_interval,
)
from analysis.statistics.quantile_bounds import quantile_difference_interval
from study.core.errors import InputError

INF = math.inf


def at_most(i, n, q):
    """P(a binomial draw is at most i), summed exactly."""
    q = Fraction(q)
    return sum((math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in range(i + 1)), Fraction(0))


def exact_places(n, q, side):
    """The places of the narrowest order statistics that err with at most `side` each; 0 and n + 1 where none does."""
    low = max(i for i in range(n + 1) if i == 0 or at_most(i - 1, n, q) <= side)
    high = min(i for i in range(1, n + 2) if i == n + 1 or 1 - at_most(i - 1, n, q) <= side)
    return low, high


def places(n, q, level):
    """The same of `quantile_interval`."""
    low, high = quantile_interval(range(1, n + 1), q, level)
    return (0 if low == -INF else int(low)), (n + 1 if high == INF else int(high))


def test_missing_scores_rank_last():
    assert list(ranked([3.0, math.nan, 1.0, INF, -INF])) == [1.0, 3.0, INF, INF, INF]


@pytest.mark.parametrize("q", [0.025, 0.125, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_quantile_interval_is_that_of_exact_binomial_sums(q, level):
    side = Fraction(1) / 2 - Fraction(level) / 2
    for n in (1, 2, 5, 6, 11, 24, 40):
        assert places(n, q, level) == exact_places(n, q, side), n


def test_quantile_interval_of_the_median_is_that_of_the_sign_test_tables():
    """95 % limits of a median by n, as tables of the sign test have them."""
    lows = {5: 0, 6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 14: 3, 15: 4, 17: 5, 20: 6, 23: 7, 25: 8, 30: 10, 40: 14, 50: 18}
    for n, low in lows.items():
        assert places(n, 0.5, 0.95) == (low, n + 1 - low)


@pytest.mark.parametrize(("n", "low"), [(58, 0), (59, 1), (92, 1), (93, 2), (123, 2), (124, 3), (153, 4), (181, 5)])
def test_quantile_interval_has_the_sample_sizes_of_wilks(n, low):
    """One-sided 95 % limits of the 5 % quantile (Wilks, 1941): 59, 93, 124, 153, 181 for the first five scores."""
    assert places(n, 0.05, 0.90)[0] == low
    assert places(n, 0.95, 0.90)[1] == n + 1 - low


def test_ends_without_a_score_are_infinite():
    assert quantile_interval([1.0] * 5, 0.5) == (-INF, INF)
    assert quantile_interval([], 0.5) == (-INF, INF)
    assert quantile_interval([*range(10), *[math.nan] * 10], 0.5) == (5.0, INF)
    assert quantile_interval([*range(5), *[math.nan] * 15], 0.5) == (INF, INF)  # the median is no score at all


@pytest.mark.parametrize("q", [0.0, 1.0, -1.0, math.nan])
def test_quantile_out_of_range_is_refused(q):
    with pytest.raises(InputError, match=r"q .*: must be between 0 and 1"):
        quantile_interval([1.0], q)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_level_out_of_range_is_refused(level):
    calls = (
        lambda: quantile_interval([1.0], 0.5, level),
        lambda: share_interval(1, 2, level),
        lambda: improvement_interval(0.5, 2, 2, level),
        lambda: bootstrap_interval([1.0, 2.0], np.mean, np.random.default_rng(0), level),
    )
    for call in calls:
        with pytest.raises(InputError, match=r"level .*: must be between 0 and 1"):
            call()


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99, 1 - 0.05 / 28, 1 - 0.05 / 105])
def test_the_fraction_that_a_pool_resolves_is_the_least_with_both_ends(level):
    """Also at the rounding error: some n in ten would lose their end, were it not allowed for."""
    for n in range(1, 400):
        fraction = resolved_fraction(n, 0.05, level)
        if fraction is None:
            assert not np.isfinite(quantile_interval(range(n), 0.5, level)).all()
            continue
        assert np.isfinite(quantile_interval(range(n), fraction / 2, level)).all(), n
        if fraction > 0.05:
            assert quantile_interval(range(n), 0.999 * fraction / 2, level)[0] == -INF


def test_least_quantile_by_hand():
    assert least_quantile(1, 0.5) == pytest.approx(0.75)  # one score is above its quantile with 1 - q = 0.25
    assert least_quantile(0) == 1.0
    assert [resolved_fraction(n) for n in (5, 146, 1000)] == [None, 0.05, 0.05]


def drawn(law, shape, rng):
    """Scores of a law and its quantile function."""
    if law == "lognormal":
        return np.exp(4 + 0.5 * rng.standard_normal(shape)), lambda q: math.exp(4 + 0.5 * stats.norm.ppf(q))
    if law == "ties":  # whole numbers, each with chance 1/10
        return rng.integers(1, 11, shape).astype(float), lambda q: math.ceil(10 * q - 1e-12)
    if law == "half diverged":
        scores = rng.exponential(size=shape)
        return np.where(rng.random(shape) < 0.5, np.nan, scores), lambda q: stats.expon.ppf(2 * q)
    raise AssertionError


@pytest.mark.parametrize(("n", "q"), [(24, 0.1425), (72, 0.05), (264, 0.025), (100, 0.4)])
@pytest.mark.parametrize("law", ["lognormal", "ties", "half diverged"])
def test_quantile_interval_covers_any_law(law, n, q):
    """Of 2,000 samples at least 95 % less three standard errors; not all of them either, where the law has no ties."""
    scores, quantile = drawn(law, (2000, n), np.random.default_rng(1))
    ends = np.array([quantile_interval(row, q) for row in scores])
    covered = ((ends[:, 0] <= quantile(q)) & (quantile(q) <= ends[:, 1])).mean()
    exact_low, exact_high = places(n, q, 0.95)
    exact = float(at_most(exact_high - 1, n, q) - at_most(exact_low - 1, n, q))
    assert 0.95 <= exact < 0.985
    assert covered >= exact - 0.0145 if law == "ties" else covered == pytest.approx(exact, abs=0.0145)


@pytest.mark.parametrize("seeds", [1, 3])
def test_quantile_interval_is_conservative_for_a_fixed_grid_with_seeds(seeds):
    """24 settings far apart, and seeds about each: the quantile of the mixture is covered more often than for iid."""
    rng = np.random.default_rng(2)
    centres, q = np.linspace(10, 100, 24), 0.1425
    scores = (centres[:, None] + 5 * rng.standard_normal((2000, 24, seeds))).reshape(2000, -1)
    quantile = optimize.brentq(lambda x: stats.norm.cdf(x, centres, 5).mean() - q, -50, 150)
    ends = np.array([quantile_interval(row, q) for row in scores])
    missed_low, missed_high = (ends[:, 0] > quantile).mean(), (ends[:, 1] < quantile).mean()
    assert missed_low <= 0.025 and missed_high <= 0.025
    assert missed_low + missed_high < 0.02


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_share_interval_is_the_exact_one_of_scipy(level):
    for n in (1, 2, 10, 37):
        for count in range(n + 1):
            theirs = stats.binomtest(count, n).proportion_ci(level, method="exact")
            assert share_interval(count, n, level) == pytest.approx(tuple(theirs), abs=1e-12)


def test_share_of_nothing_is_unknown():
    assert share_interval(0, 0) == (0.0, 1.0)


def test_improvement_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(3)
    for n_a, n_b in ((1, 1), (3, 8), (20, 7)):
        a, b = rng.integers(0, 9, n_a), rng.integers(2, 11, n_b)  # with ties
        higher = stats.mannwhitneyu(a, b).statistic
        assert improvement(a, b) == pytest.approx(1 - higher / (n_a * n_b), abs=1e-12)
        assert improvement(a, b) + improvement(b, a) == pytest.approx(1, abs=1e-12)


def test_improvement_counts_missing_scores_as_worst_and_ties_as_half():
    assert improvement([1.0, math.nan], [2.0, math.nan]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert improvement([1.0], [1.0]) == 0.5
    assert improvement([math.nan], [INF]) == 0.5
    assert math.isnan(improvement([], [1.0]))


def newcombe(theta, probability, m, n, z):
    """Method 5 of Newcombe (2006) as printed: the variance of Hanley and McNeil, both sizes in it their mean."""
    mean = (m + n) / 2
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    variance = (theta * (1 - theta) + (mean - 1) * (q1 - theta**2) + (mean - 1) * (q2 - theta**2)) / (m * n)
    return (theta - probability) ** 2 - z**2 * variance


@pytest.mark.parametrize(("m", "n"), [(5, 5), (24, 72), (264, 12)])
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_improvement_interval_is_the_root_of_newcombes_equation(probability, m, n):
    low, high = improvement_interval(probability, m, n)
    z = stats.norm.ppf(0.975)
    arguments = (probability, m, n, z)
    if probability > 0:
        assert low == pytest.approx(optimize.brentq(newcombe, 1e-12, probability - 1e-9, arguments), abs=1e-9)
    if probability < 1:
        assert high == pytest.approx(optimize.brentq(newcombe, probability + 1e-9, 1 - 1e-12, arguments), abs=1e-9)
    assert (probability > 0) == (low > 0) and (probability < 1) == (high < 1)
    assert improvement_interval(1 - probability, n, m) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.8])
@pytest.mark.parametrize(("m", "n"), [(24, 24), (12, 60)])
def test_improvement_interval_covers(m, n, shift):
    """Approximate: between 93.5 and 98.5 % of 1,500 pairs of normal samples."""
    rng = np.random.default_rng(4)
    target = stats.norm.cdf(shift / math.sqrt(2))
    covered = 0
    for _ in range(1500):
        low, high = improvement_interval(improvement(rng.normal(-shift, 1, m), rng.normal(0, 1, n)), m, n)
        covered += low <= target <= high
    assert 0.935 < covered / 1500 < 0.985


def test_improvement_that_is_unknown_may_be_anything():
    assert improvement_interval(math.nan, 0, 3) == (0.0, 1.0)


def test_difference_interval_of_symmetric_ones_is_that_of_root_sum_of_squares():
    low, high = difference_interval(10, (7, 13), 6, (2, 10))
    assert (low, high) == (4 - 5, 4 + 5)


def test_difference_interval_uses_the_facing_arms():
    assert difference_interval(10, (7, 22), 6, (1, 10)) == (4 - math.hypot(3, 4), 4 + math.hypot(12, 5))
    low, high = difference_interval(6, (1, 10), 10, (7, 22))
    assert (low, high) == (-4 - math.hypot(5, 12), -4 + math.hypot(4, 3))


def test_difference_interval_with_a_known_second_is_that_of_the_first():
    assert difference_interval(10, (7, 13), 6, (6, 6)) == (1, 7)
    assert difference_interval(5, (7, 13), 6, (6, 6)) == (-1, 7)  # an estimate outside its interval widens it


def test_infinite_ends_make_the_end_that_leans_on_them_infinite():
    assert difference_interval(10, (-INF, 13), 6, (2, 10)) == (-INF, 9)
    assert difference_interval(10, (7, INF), 6, (2, 10)) == (-1, INF)
    assert difference_interval(10, (7, 13), 6, (-INF, 10)) == (-1, INF)
    assert difference_interval(10, (7, 13), 6, (2, INF)) == (-INF, 9)


def test_difference_of_what_has_no_value_may_be_anything():
    assert difference_interval(INF, (50, INF), 10, (8, 20)) == (-INF, INF)
    assert difference_interval(10, (8, 20), math.nan, (-INF, INF)) == (-INF, INF)


def exact_difference(a, b, q, level):
    """By all pairs of places, one by one and with exact chances."""
    ends_a, ends_b = [-INF, *sorted(a), INF], [-INF, *sorted(b), INF]
    lows, highs = [], []
    for i, j in itertools.product(range(len(a) + 1), range(len(b) + 1)):
        chance = stats.binom.pmf(i, len(a), q) * stats.binom.pmf(j, len(b), q)
        lows.append((ends_a[i] - ends_b[j + 1], chance))
        highs.append((ends_a[i + 1] - ends_b[j], chance))
    found = []
    for values in (sorted(lows), sorted(highs, reverse=True)):
        total = 0.0
        for value, chance in values:
            total += chance
            if total > (1 - level) / 2:
                found.append(value)
                break
    return tuple(found)


@pytest.mark.parametrize(("n", "m", "q"), [(12, 7, 0.45), (30, 24, 0.2), (5, 9, 0.5), (60, 150, 0.05)])
def test_difference_of_quantiles_is_that_of_all_pairs_of_places(n, m, q):
    rng = np.random.default_rng(12)
    a, b = rng.normal(0, 1, n), rng.exponential(size=m)
    low, high = quantile_difference_interval(a, b, q)
    assert (low, high) == pytest.approx(exact_difference(a, b, q, 0.95), abs=1e-12)
    assert quantile_difference_interval(b, a, q) == pytest.approx((-high, -low), abs=1e-12)


def test_difference_of_quantiles_from_a_known_one_is_its_own_interval():
    a = range(1, 201)
    low, high = quantile_interval(a, 0.3)
    assert quantile_difference_interval(a, [7.0] * 10_000, 0.3) == (low - 7, high - 7)


def test_difference_of_quantiles_of_large_samples_groups_places_and_stays_as_wide():
    rng = np.random.default_rng(13)
    a, b = rng.normal(0, 1, (2, 40_000))
    low, high = quantile_difference_interval(a, b, 0.2)
    error = math.sqrt(2 * 0.2 * 0.8 / 40_000) / stats.norm.pdf(stats.norm.ppf(0.2))  # of the normal limit
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1.05, abs=0.06)


def test_difference_of_quantiles_without_a_score():
    none, some = [math.nan] * 24, list(range(10, 34))
    assert quantile_difference_interval(none, some, 0.2) == (INF, INF)
    assert quantile_difference_interval(some, none, 0.2) == (-INF, -INF)
    assert quantile_difference_interval(none, none, 0.2) == (-INF, INF)
    assert quantile_difference_interval([], some, 0.2) == (-INF, INF)
    assert quantile_difference_interval([*range(50, 62), *[math.nan] * 12], some, 0.4)[1] == INF
    with pytest.raises(InputError, match="must be between"):
        quantile_difference_interval(some, some, 0.0)


def test_order_weights_are_those_of_all_subsets():
    for n in (1, 4, 8):
        for budget in range(1, n + 1):
            subsets = [sorted(subset) for subset in itertools.combinations(range(n), budget)]
            for place in range(1, budget + 1):
                counts = np.bincount([subset[place - 1] for subset in subsets], minlength=n)
                assert order_weights(n, budget, place) == pytest.approx(counts / len(subsets), abs=1e-12)


@pytest.mark.parametrize(("n", "budget", "place"), [(3, 4, 1), (3, 2, 3), (3, 2, 0)])
def test_orders_that_cannot_be_are_refused(n, budget, place):
    with pytest.raises(InputError, match="must hold"):
        order_weights(n, budget, place)


def test_order_weights_of_a_large_pool_sum_to_one():
    weights = order_weights(100_000, 24, 2)
    assert weights.sum() == pytest.approx(1, abs=1e-8)
    assert weights @ np.arange(1, 100_001) == pytest.approx(2 * 100_001 / 25, rel=1e-8)  # the mean of its place


def test_bootstrap_of_a_mean_covers_and_repeats():
    rng = np.random.default_rng(5)

    def mean(rows):
        return rows.mean(axis=1)

    samples = rng.normal(3, 2, (600, 40))
    ends = np.array([bootstrap_interval(row, mean, rng, resamples=400) for row in samples])
    assert 0.91 < ((ends[:, 0] <= 3) & (ends[:, 1] >= 3)).mean() < 0.965
    first, second = (bootstrap_interval(samples[0], mean, np.random.default_rng(6)) for _ in range(2))
    assert first == second
    theirs = stats.bootstrap((samples[0],), np.mean, rng=np.random.default_rng(7), method="percentile")
    assert first == pytest.approx(tuple(theirs.confidence_interval), abs=0.05)
    assert bootstrap_interval([1.0], mean, rng) == (-INF, INF)
