"""Methods against each other: the median of the best few per cent, at equal numbers of trainings, with an interval."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import (
    Interval,
    difference_interval,
    improvement,
    improvement_interval,
    order_weights,
    quantile_interval,
    ranked,
    resolved_fraction,
)
from analysis.scores import check_fraction, pools

LOWER, HIGHER, NOT_RESOLVED, NO_INTERVAL = "lower", "higher", "not resolved", "no interval"


def top_count(n: int, fraction: float) -> int:
    """How many the best `fraction` of n are, rounded up; exact, since 0.07 * 100 is not 7 in floating point.

    >>> top_count(100, 0.07), top_count(24, 0.05), top_count(1, 0.05)
    (7, 2, 1)
    """
    check_fraction(fraction)
    exact = Fraction(str(fraction))
    return -(-n * exact.numerator // exact.denominator)


def expected_top_median(scores: Any, fraction: float, budget: int | None = None) -> float:
    """The median of the best `fraction` of `budget` trainings drawn from a pool without replacement; its mean, exact.

    With the pool's own size for a budget it is the plain median of the best few. A smaller budget makes a larger pool
    comparable with a smaller one: the best of more draws is lower by that alone. The weights are those of
    `order_weights`, so that nothing is drawn.

    Args:
        scores: [n] of the pool; NaN ranks last and makes the result inf where it has weight.
        fraction: in (0, 1].
        budget: 1 to n; n where None.

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
    return float(np.dot(values[weights > 0], weights[weights > 0]))


def compare_scores(a: Any, b: Any, fraction: float = 0.05, level: float = 0.95) -> dict[str, Any]:
    """Whether the best of method `a` are lower than those of `b`: one row of `compare`, without names.

    Args:
        a, b: [n_a], [n_b]; scores, NaN where there is none.
        fraction: of which the median is taken; the least larger one that both pools give an interval for, where they
            are too small for this one (`intervals.resolved_fraction`). It is returned.
        level: of the interval of the difference.
    """
    n_a, n_b = len(a), len(b)
    budget = min(n_a, n_b)
    used = resolved_fraction(budget, fraction, level)
    share = fraction if used is None else used
    of_a, of_b = (_median_interval(scores, used, level) for scores in (a, b))
    at_budget = [expected_top_median(scores, share, budget) if budget else math.nan for scores in (a, b)]
    low, high = difference_interval(at_budget[0], of_a, at_budget[1], of_b)
    probability = improvement(a, b)
    probability_low, probability_high = improvement_interval(probability, n_a, n_b, level)
    return {
        "n_a": n_a,
        "n_b": n_b,
        "raw_a": expected_top_median(a, fraction),
        "raw_b": expected_top_median(b, fraction),
        "fraction": share,
        "budget": budget,
        "equal_a": at_budget[0],
        "equal_b": at_budget[1],
        "difference": at_budget[0] - at_budget[1] if np.isfinite(at_budget).all() else math.nan,
        "low": low,
        "high": high,
        "level": level,
        "improvement": probability,
        "improvement_low": probability_low,
        "improvement_high": probability_high,
        "verdict": NO_INTERVAL if used is None else verdict(low, high),
    }


def _median_interval(scores: Any, fraction: float | None, level: float) -> Interval:
    """Of the median of the best `fraction`: the quantile at half of it. At 1 that is the median of all."""
    return (-math.inf, math.inf) if fraction is None else quantile_interval(scores, fraction / 2, level)


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says: LOWER, HIGHER, or NOT_RESOLVED where it spans zero."""
    return LOWER if high < 0 else HIGHER if low > 0 else NOT_RESOLVED


def compare(
    rows: pd.DataFrame,
    fraction: float = 0.05,
    level: float = 0.95,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Pairs of methods on each dataset, by the median of their best few per cent.

    The intervals hold together: with m pairs on a dataset each has the level 1 - (1 - level) / m (Bonferroni), so that
    all of them are right with at least `level`. What is repeated, and when that is exact, `analysis.intervals` says.

    Args:
        rows: of `analysis.scores.scored`.
        fraction, level: as `compare_scores`.
        pairs: of labels, (a, b); all pairs of a dataset's methods where None. A pair with a method that a dataset lacks
            is left out there.

    Returns:
        One row per dataset and pair: dataset, a, b; n_a, n_b (trainings); raw_a, raw_b (medians of the best `fraction`
        of all of them); fraction (that of what follows), budget (trainings compared: the smaller pool), equal_a,
        equal_b (medians expected at that budget), difference (a - b; negative: a is better), low, high, level;
        improvement (the chance that a training of a is better than one of b) with its interval; verdict (lower, higher,
        not resolved; no interval where the pools are too small for any).
    """
    check_fraction(fraction)
    found = pools(rows)
    made = []
    for dataset in dict.fromkeys(key[0] for key in found):
        names = [label for each, label in found if each == dataset]
        wanted = itertools.combinations(names, 2) if pairs is None else pairs
        here = [(a, b) for a, b in wanted if a in names and b in names]
        for a, b in here:
            corrected = 1 - (1 - level) / len(here)
            of_a, of_b = (found[dataset, each]["score"].to_numpy() for each in (a, b))
            made.append({"dataset": dataset, "a": a, "b": b, **compare_scores(of_a, of_b, fraction, corrected)})
    return pd.DataFrame(made, columns=["dataset", "a", "b", *compare_scores([], [])])
