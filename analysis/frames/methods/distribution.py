"""The distribution of a method's scores: ECDF with a confidence band, quantiles with an interval."""

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows.scores import pools
from analysis.statistics.intervals import Array, check_level, quantile_interval, ranked, share_interval
from study.storage.schema import DIVERGED, FAILED, LABEL_FIELDS, score_label

STEPS = 200
"""Maximum number of points per curve, evenly spaced in rank."""
CLOSE = 2
"""A score is close to the best one of its dataset within this factor."""


def ecdf(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The empirical distribution function of a method's scores, with a confidence band for the whole curve.

    The band is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990): share +- sqrt(log(2 / (1 -
    level)) / 2n), within [0, 1]. Its simultaneous coverage is at least `level` for any distribution.

    Args:
        rows: of `scored`. Trainings without a score count in n, so a curve with such trainings ends
            below 1.
        level: of the band, in (0, 1).

    Returns:
        One row per dataset, method and distinct score, ascending: dataset, method (its label), n (the pool), score,
        share (of n that score at most this), low, high; methods in the order of the paper's Figure 1. A pool with more
        than 200 scores has 200 rows, evenly spaced in rank, each exact. A method without any score has none.
    """
    check_level(level)
    curves = []
    for (dataset, label), pool in pools(rows[["dataset", "method_label", "score"]]).items():
        n, values = len(pool), ranked(pool["score"])
        score, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        if not len(score):
            continue
        share, margin = counts.cumsum() / n, math.sqrt(math.log(2 / (1 - level)) / (2 * n))
        at = np.unique(np.linspace(0, len(score) - 1, min(len(score), STEPS)).round().astype(int))
        curve = {"score": score[at], "share": share[at]}
        band = {"low": np.maximum(share[at] - margin, 0), "high": np.minimum(share[at] + margin, 1)}
        curves.append(pd.DataFrame({"dataset": dataset, "method": label, "n": n, **curve, **band}))
    columns = ["dataset", "method", "n", "score", "share", "low", "high"]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=columns)


def distribution_table(rows: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Quantiles of each method's scores, and the share close to the best score.

    Args:
        rows: of `scored`. Trainings without a score rank last and count in n.
        level: of both intervals, in (0, 1).

    Returns:
        One row per dataset and method, in the order of the paper's Figure 1: dataset, method (its label), n (the pool),
        diverged, failed, unscored (others without a score), best (NaN: none has a score), q1, median, q3 (linear
        interpolation; inf where they fall on trainings without a score), low, high (of the median: order statistics,
        `intervals.quantile_interval`; -inf or inf where n is too small or a training without a score is met), close
        (share of n within twice the best score of the dataset, all methods together), close_low, close_high (Clopper
        and Pearson), score_label.
    """
    best = rows.groupby("dataset")["score"].min()
    needed = ["dataset", "method_label", "score", "status", *LABEL_FIELDS]
    return pd.DataFrame([_row(*key, pool, best[key[0]], level) for key, pool in pools(rows[needed]).items()])


def _row(dataset: str, label: str, pool: pd.DataFrame, best: float, level: float) -> dict[str, Any]:
    n, score, first = len(pool), pool["score"], pool.iloc[0]
    without = pool["status"][score.isna()]
    diverged, failed = int((without == DIVERGED).sum()), int((without == FAILED).sum())
    q1, median, q3 = quantiles(score, (0.25, 0.5, 0.75))
    low, high = quantile_interval(score, 0.5, level)
    close = int((score <= CLOSE * best).sum())
    close_low, close_high = share_interval(close, n, level)
    return {
        "dataset": dataset,
        "method": label,
        "n": n,
        "diverged": diverged,
        "failed": failed,
        "unscored": len(without) - diverged - failed,
        "best": score.min(),
        "q1": q1,
        "median": median,
        "q3": q3,
        "low": low,
        "high": high,
        "close": close / n,
        "close_low": close_low,
        "close_high": close_high,
        "score_label": score_label(first),
    }


def quantiles(scores: Any, shares: Any) -> Array:
    """Quantiles with the linear interpolation of `numpy.quantile`; inf if they fall on missing scores, which rank last.

    >>> quantiles([2, 1, math.nan], [0, 0.5, 0.75]).tolist()
    [1.0, 2.0, inf]
    """
    values = ranked(scores)
    place = np.asarray(shares, dtype=float) * (len(values) - 1)
    below, part = np.floor(place).astype(int), place % 1
    above = values[np.minimum(below + 1, len(values) - 1)]
    with np.errstate(invalid="ignore"):  # inf * 0 in the branch that is not selected
        result: Array = np.where(part > 0, values[below] * (1 - part) + above * part, values[below])
    return result
