"""Compare methods by the median of their best few per cent, at equal numbers of trainings, with an interval."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows.scores import check_fraction, pools
from analysis.statistics.intervals import improvement, improvement_interval, order_weights, ranked, resolved_fraction
from analysis.statistics.quantile_bounds import quantile_difference_interval

LOWER, HIGHER, NOT_RESOLVED, NO_INTERVAL = "lower", "higher", "not resolved", "no interval"
RARE = 1e-3
"""Largest probability of draws without a score that may be ignored in an expected median."""


def top_count(n: int, fraction: float) -> int:
    """ceil(fraction * n), exact, since 0.07 * 100 is not 7 in floating point.

    >>> top_count(100, 0.07), top_count(24, 0.05), top_count(1, 0.05)
    (7, 2, 1)
    """
    check_fraction(fraction)
    exact = Fraction(str(fraction))
    return -(-n * exact.numerator // exact.denominator)


def expected_top_median(scores: Any, fraction: float, budget: int | None = None) -> float:
    """The exact expected median of the best `fraction` of `budget` trainings drawn without replacement from a pool.

    If the budget is the pool size, this is the plain median of the best scores. A smaller budget makes a larger pool
    comparable with a smaller one, since the best of more draws is lower. The expectation uses `order_weights`; nothing
    is sampled.

    Args:
        scores: [n] of the pool; NaN ranks last. If more than one draw in a thousand falls on NaN, the result is inf;
            rarer cases are ignored, since otherwise most pools would have no finite expectation.
        fraction: in (0, 1].
        budget: from 1 to n; None: n.

    >>> expected_top_median([3, 1, 2, 4], 0.5), expected_top_median([3, 1, 2, 4], 0.5, budget=2)
    (1.5, 1.6666666666666667)
    """
    values = ranked(scores)
    n = len(values)
    if not n:
        return math.nan
    budget = n if budget is None else budget
    k = top_count(budget, fraction)
    weights = (order_weights(n, budget, (k + 1) // 2) + order_weights(n, budget, k // 2 + 1)) / 2
    finite = np.isfinite(values)
    if weights[~finite].sum() > RARE:
        return math.inf
    return float(np.dot(values[finite], weights[finite]) / weights[finite].sum())


def compare_scores(a: Any, b: Any, fraction: float = 0.05, level: float = 0.95) -> dict[str, Any]:
    """Compare the best scores of methods `a` and `b`: one row of `compare`, without names.

    The interval is for the difference of the two quantiles at fraction / 2, which does not depend on pool sizes; it is
    widened if necessary to contain the difference of the medians expected at equal budgets.

    Args:
        a, b: [n_a], [n_b]; scores, NaN for a missing one.
        fraction: share of the best scores whose median is compared. If the pools are too small for an interval, the
            smallest larger fraction that both resolve is used and returned (`intervals.resolved_fraction`).
        level: of the interval of the difference, in (0, 1).
    """
    n_a, n_b = len(a), len(b)
    budget = min(n_a, n_b)
    used = resolved_fraction(budget, fraction, (1 + level) / 2)
    share = fraction if used is None else used
    at_budget = [expected_top_median(scores, share, budget) if budget else math.nan for scores in (a, b)]
    low, high = (-math.inf, math.inf) if used is None else quantile_difference_interval(a, b, used / 2, level)
    difference = at_budget[0] - at_budget[1] if np.isfinite(at_budget).all() else math.nan
    low, high = np.fmin(low, difference), np.fmax(high, difference)
    raw = [expected_top_median(scores, fraction) for scores in (a, b)]
    raw_a, raw_b, equal_a, equal_b = (value if math.isfinite(value) else math.nan for value in (*raw, *at_budget))
    probability = improvement(a, b)
    probability_low, probability_high = improvement_interval(probability, n_a, n_b, level)
    return {
        "n_a": n_a,
        "n_b": n_b,
        "raw_a": raw_a,
        "raw_b": raw_b,
        "fraction": share,
        "budget": budget,
        "equal_a": equal_a,
        "equal_b": equal_b,
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "level": level,
        "improvement": probability,
        "improvement_low": probability_low,
        "improvement_high": probability_high,
        "verdict": NO_INTERVAL if used is None else verdict(low, high),
    }


def verdict(low: float, high: float) -> str:
    """The verdict of an interval of a difference: LOWER, HIGHER, or NOT_RESOLVED if it contains zero."""
    return LOWER if high < 0 else HIGHER if low > 0 else NOT_RESOLVED


def compare(
    rows: pd.DataFrame,
    fraction: float = 0.05,
    level: float = 0.95,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Compare pairs of methods on each dataset by the median of their best few per cent.

    The intervals of a dataset are simultaneous: with m pairs, each has the level 1 - (1 - level) / m (Bonferroni). See
    `analysis.statistics.intervals` for the sampling unit and the coverage.

    Args:
        rows: of `scored`.
        fraction, level: as `compare_scores`.
        pairs: of labels, (a, b); None: all pairs of a dataset's methods. Pairs with a method that a dataset does not
            have are skipped.

    Returns:
        One row per dataset and pair: dataset, a, b; n_a, n_b (trainings); raw_a, raw_b (medians of the best `fraction`
        of each pool); fraction (used for the following columns), budget (size of the smaller pool), equal_a, equal_b
        (expected medians at that budget; NaN, as raw_a and raw_b, if a median falls on a training without a score),
        difference (a - b; negative: a is better), low, high (may be infinite), level; improvement (probability that a
        training of a is better than one of b) with its interval; verdict (lower, higher, not resolved; no interval if
        the pools are too small).
    """
    check_fraction(fraction)
    result = pools(rows)
    records = []
    for dataset in dict.fromkeys(key[0] for key in result):
        names = [label for each, label in result if each == dataset]
        wanted = itertools.combinations(names, 2) if pairs is None else pairs
        here = [(a, b) for a, b in wanted if a in names and b in names]
        for a, b in here:
            corrected = 1 - (1 - level) / len(here)
            of_a, of_b = (result[dataset, each]["score"].to_numpy() for each in (a, b))
            records.append({"dataset": dataset, "a": a, "b": b, **compare_scores(of_a, of_b, fraction, corrected)})
    return pd.DataFrame(records, columns=["dataset", "a", "b", *compare_scores([], [])])
