"""Methods are compared at equal numbers of trainings, and no more often called different than the level allows."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import load, select
from analysis.frames.methods.compare import (
    HIGHER,
    LOWER,
    NO_INTERVAL,
    NOT_RESOLVED,
    compare,
    compare_scores,
    expected_top_median,
    top_count,
    verdict,
)
from analysis.rows.scores import scored
from analysis.statistics.quantile_bounds import quantile_difference_interval
from study.core.errors import InputError
from study.storage.schema import DIVERGED
from tests.conftest import quick_only

INF, NAN = math.inf, math.nan


def frame(**pools):
    """Rows of `scored`, as far as `compare` reads them: label -> scores, all on one dataset."""
    rows = [("digits", label, score) for label, scores in pools.items() for score in scores]
    return pd.DataFrame(rows, columns=["dataset", "method_label", "score"])


@pytest.mark.parametrize(
    ("n", "fraction", "k"), [(24, 0.05, 2), (20, 0.05, 1), (21, 0.05, 2), (100, 0.07, 7), (3, 1, 3)]
)
def test_the_best_few_are_rounded_up(n, fraction, k):
    assert top_count(n, fraction) == k


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, NAN])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match="must be above 0"):
        top_count(10, fraction)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 1.0])
def test_expected_top_median_is_the_mean_over_all_subsets(fraction):
    scores = [5.0, 1.0, 4.0, 2.5, 9.0, 7.0, 1.5]
    for budget in range(1, 8):
        k = top_count(budget, fraction)
        medians = [np.median(sorted(subset)[:k]) for subset in itertools.combinations(scores, budget)]
        assert expected_top_median(scores, fraction, budget) == pytest.approx(np.mean(medians), rel=1e-9)
    assert expected_top_median(scores, fraction) == np.median(sorted(scores)[: top_count(7, fraction)])


def test_expected_top_median_of_pools_with_trainings_without_a_score():
    assert expected_top_median([1.0, 2.0, NAN, NAN], 0.5) == 1.5
    assert expected_top_median([1.0, NAN, NAN, NAN], 0.5) == INF  # the second of two has none
    assert expected_top_median([1.0, NAN, NAN, NAN], 0.5, budget=2) == INF  # in half of all draws
    assert expected_top_median([NAN, NAN], 0.5) == INF
    assert math.isnan(expected_top_median([], 0.5))


def test_draws_that_hardly_ever_fall_on_a_training_without_a_score_have_a_mean():
    """Half of 48 diverged: of 24 drawn the fourth has a score but in one draw of ten million."""
    scores = [*range(1, 25), *[NAN] * 24]
    worst = [*range(1, 25), *[1e3] * 24]
    assert expected_top_median(scores, 0.285, 24) == pytest.approx(expected_top_median(worst, 0.285, 24), rel=1e-4)


@pytest.mark.full
def test_a_larger_pool_of_the_same_law_is_no_better_at_equal_budgets():
    """The best of 24 is lower than the best of 12 two times in three, by the size alone."""
    rng = np.random.default_rng(0)
    raw, equal = [], []
    for _ in range(1500):
        row = compare_scores(rng.exponential(size=24), rng.exponential(size=12), fraction=0.04)  # of both pools one
        raw.append(row["raw_a"] < row["raw_b"])
        equal.append(row["difference"])
    assert np.mean(raw) == pytest.approx(2 / 3, abs=0.04)
    assert np.mean(equal) == pytest.approx(0, abs=3 * np.std(equal) / math.sqrt(1500))


def test_a_comparison_by_hand():
    a, b = list(range(10, 22)), list(range(30, 37))
    row = compare_scores(a, b)
    share = 2 * (1 - 0.0125 ** (1 / 7))  # the least with an interval for seven
    assert row["fraction"] == pytest.approx(share) and 0.93 < share < 0.94
    assert (row["n_a"], row["n_b"], row["budget"]) == (12, 7, 7)
    assert (row["raw_a"], row["raw_b"]) == (10, 30)  # of the best 5 %, which is one
    assert row["equal_b"] == 33  # seven of seven
    assert row["equal_a"] == pytest.approx(9 + 13 / 2)  # the mean of the middle place: that of the pool
    assert row["difference"] == pytest.approx(15.5 - 33)
    assert (row["low"], row["high"]) == quantile_difference_interval(a, b, share / 2) == (-23, -12)
    assert row["improvement"] == 1.0 and row["improvement_high"] == 1.0 and 0.5 < row["improvement_low"] < 1
    assert row["verdict"] == LOWER
    assert compare_scores(b, a)["verdict"] == HIGHER


def test_an_interval_holds_the_difference_that_stands_beside_it():
    """Three in ten of `a` are near 10, the rest near 100: one draw in nine of 24 has its fifth best there."""
    a, b = [*np.linspace(9, 11, 120), *np.linspace(99, 101, 280)], np.linspace(59, 61, 24)
    row = compare_scores(a, b)
    low, high = quantile_difference_interval(a, b, row["fraction"] / 2)
    assert -52 <= low < high <= -48 < row["difference"] < -35
    assert (row["low"], row["high"]) == (low, row["difference"])
    swapped = compare_scores(b, a)
    assert (swapped["low"], swapped["high"]) == pytest.approx((-row["high"], -row["low"]))


def test_verdicts():
    assert [verdict(*ends) for ends in ((-2, -1), (1, 2), (-1, 1), (0, 1), (-1, 0), (-INF, INF))] == [
        LOWER,
        HIGHER,
        *[NOT_RESOLVED] * 4,
    ]


def test_pools_too_small_for_any_interval_say_so():
    row = compare_scores([1.0] * 6, [100.0] * 50)
    assert row["verdict"] == NO_INTERVAL
    assert (row["low"], row["high"]) == (-INF, INF)
    assert row["fraction"] == 0.05


def test_a_method_that_always_diverges_is_told_from_one_that_does_not():
    row = compare_scores([NAN] * 24, list(range(10, 34)))
    assert row["verdict"] == HIGHER
    assert math.isnan(row["difference"]) and math.isnan(row["equal_a"]) and math.isnan(row["raw_a"])
    assert row["improvement"] == 0.0
    assert compare_scores([NAN] * 24, [NAN] * 24)["verdict"] == NOT_RESOLVED
    assert compare_scores([NAN] * 24, [NAN] * 24)["improvement"] == 0.5


def test_each_of_many_comparisons_has_the_level_of_bonferroni(study, methods):
    rng = np.random.default_rng(1)
    for name, method in methods.items():
        study.add_many(method, list(rng.uniform(10, 20, 12 if name == "none" else 24)))
    study.add_many(methods["none"], [1.0] * 8, dataset="celeba-hq-128")
    study.add_many(methods["dragan"], [1.0] * 8, dataset="celeba-hq-128")
    rows = scored(select(load(study.compact())))
    table = compare(rows)
    on_digits = table[table["dataset"] == "digits"]
    assert list(zip(on_digits["a"], on_digits["b"], strict=True)) == list(
        itertools.combinations(["W/O", "GP", "DR", "SN"], 2)
    )
    assert on_digits["level"].to_numpy() == pytest.approx(1 - 0.05 / 6)
    assert table[table["dataset"] == "celeba-hq-128"]["level"].to_numpy() == pytest.approx(0.95)
    first = on_digits.iloc[0]
    pools = (rows[(rows["dataset"] == "digits") & (rows["method_label"] == label)]["score"] for label in ("W/O", "GP"))
    alone = compare_scores(*pools, level=1 - 0.05 / 6)
    assert {key: first[key] for key in alone} == alone


def test_pairs_that_a_dataset_lacks_are_left_out_and_do_not_count():
    rows = frame(A=range(10, 34), B=range(40, 64))
    table = compare(rows, pairs=[("A", "B"), ("A", "C")])
    assert list(table["verdict"]) == [LOWER]
    assert list(table["level"]) == [0.95]


def test_one_method_alone_has_nothing_to_compare_but_columns():
    table = compare(frame(A=range(10)))
    assert table.empty
    assert {"dataset", "a", "b", "difference", "verdict"} <= set(table.columns)


def normal(rng, n):
    return rng.normal(50, 10, n)


def lognormal(rng, n):
    return np.exp(3.7 + 0.6 * rng.standard_normal(n))


def collapsing(rng, n):
    """A third near 40, a half far above, the rest diverged."""
    kind = rng.random(n)
    scores = np.where(kind < 1 / 3, rng.normal(40, 3, n), rng.normal(300, 30, n))
    return np.where(kind < 5 / 6, scores, np.nan)


def two_modes(rng, n):
    """A tenth near 10, the rest near 100."""
    return np.where(rng.random(n) < 0.1, rng.normal(10, 1, n), rng.normal(100, 5, n))


def other_modes(rng, n):
    """A fifth near 60, the rest near 100."""
    return np.where(rng.random(n) < 0.2, rng.normal(60, 1, n), rng.normal(100, 5, n))


QUANTILES = {
    normal: lambda q: stats.norm.ppf(q, 50, 10),
    lognormal: lambda q: math.exp(3.7 + 0.6 * stats.norm.ppf(q)),
    collapsing: lambda q: stats.norm.ppf(3 * q, 40, 3),
    two_modes: lambda q: stats.norm.ppf(10 * q, 10, 1) if q < 0.1 else stats.norm.ppf((q - 0.1) / 0.9, 100, 5),
    other_modes: lambda q: stats.norm.ppf(5 * q, 60, 1) if q < 0.2 else stats.norm.ppf((q - 0.2) / 0.8, 100, 5),
}
PAIRS = [(normal, lognormal), (lognormal, collapsing), (normal, two_modes), (two_modes, other_modes)]


SIZES = [(12, 12), (24, 24), (24, 72), (72, 24), (72, 264), (264, 264)]


@pytest.mark.full
@pytest.mark.parametrize(
    ("laws", "n_a", "n_b"),
    quick_only(
        [(laws, *sizes) for laws in PAIRS for sizes in SIZES],
        [(laws, *sizes) for laws, sizes in zip(PAIRS, SIZES[::-1], strict=False)],
    ),
)
def test_the_interval_of_a_difference_covers_that_of_the_quantiles(laws, n_a, n_b):
    """Of 600 pairs at most 2.5 % err to each side, and two standard errors; nor does it cover everything."""
    rng = np.random.default_rng(8)
    below = above = finite = 0
    for _ in range(600):
        row = compare_scores(laws[0](rng, n_a), laws[1](rng, n_b))
        target = QUANTILES[laws[0]](row["fraction"] / 2) - QUANTILES[laws[1]](row["fraction"] / 2)
        below, above = below + (row["high"] < target), above + (row["low"] > target)
        finite += np.isfinite([row["low"], row["high"]]).all()
    assert max(below, above) <= 15 + 8
    assert finite > 500


@pytest.mark.full
@pytest.mark.parametrize("n", quick_only([12, 24, 72], [24]))
def test_shuffled_labels_are_told_apart_no_more_often_than_the_level_allows(n):
    """Labels of four methods shuffled, all pairs at once: any wrong verdict in at most 5 % of 200 studies."""
    rng = np.random.default_rng(9)
    pool = np.concatenate([normal(rng, n), lognormal(rng, n), collapsing(rng, 2 * n)])
    wrong = 0
    for _ in range(200):
        parts = rng.permutation(pool).reshape(4, n)
        wrong += compare(frame(**dict(zip("ABCD", parts, strict=True))))["verdict"].isin([LOWER, HIGHER]).any()
    assert wrong <= 10


def test_a_real_difference_is_resolved():
    rng = np.random.default_rng(10)
    resolved = [compare_scores(normal(rng, 72) - 25, normal(rng, 72))["verdict"] == LOWER for _ in range(200)]
    assert np.mean(resolved) > 0.8


def test_diverged_trials_count_in_the_pools(study, methods):
    study.add_many(methods["none"], [*range(10, 16), DIVERGED, DIVERGED])
    study.add_many(methods["spectral_norm"], list(range(10, 18)))
    (row,) = compare(scored(select(load(study.compact())))).to_dict("records")
    assert (row["n_a"], row["n_b"], row["budget"]) == (8, 8, 8)
    assert row["improvement"] == pytest.approx((8 * 8 - (1 + 2 + 3 + 4 + 5) - 6 * 0.5 - 2 * 8) / 64)
