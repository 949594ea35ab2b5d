"""The effect of each hyperparameter on the score, and the share of variance that it explains."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.frames.methods.distribution import quantiles
from analysis.rows.scores import HYPERPARAMETERS, pools
from analysis.statistics.intervals import Array, Interval, check_level

FEW_VALUES = 8
"""Maximum number of values that are groups of their own, as on a grid; more values are binned."""
GROUPS, IN_GROUP = 12, 6
"""Maximum number of bins, and minimum number of trials per bin."""
MOST = 1000
"""Maximum number of settings for the intervals of importance; of more, a random subset is used."""
RESAMPLES = 1000
DRAWN = 400
"""Maximum number of trials of a method that are drawn as points."""


def grouped(values: Any) -> Array | None:
    """[n]: the group (from 0) of each value of a hyperparameter: equal values, or bins if there are many values.

    Up to 8 distinct values are a group each. More values are cut into at most 12 bins of about equal size, of at least
    6 trials; equal values are in the same bin. None if there is only one value, or a missing one.

    >>> grouped([5, 1, 5]).tolist(), grouped([1, 1])
    ([1, 0, 1], None)
    """
    numbers = np.asarray(values, dtype=float)
    distinct, codes = np.unique(numbers, return_inverse=True)
    if len(distinct) < 2 or np.isnan(distinct).any():
        return None
    if len(distinct) > FEW_VALUES:
        count = min(GROUPS, max(2, len(numbers) // IN_GROUP))
        cuts = np.quantile(numbers, np.arange(1, count) / count, method="inverted_cdf")
        codes = np.unique(np.searchsorted(cuts, numbers, side="left"), return_inverse=True)[1]
    return codes if codes.max() else None


def response(rows: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of the scores of each method by value of each hyperparameter.

    Args:
        rows: of `scored`. Trainings without a score rank last in their group and count in n.

    Returns:
        One row per dataset, method, hyperparameter that varies, and group of `grouped`, by value: dataset, method (its
        label), hyperparameter, value (the group's, or its median), lowest, highest (values in it), n, scored, q1,
        median, q3 (of the scores, linear interpolation; inf if they fall on trainings without a score).
    """
    records: list[dict[str, Any]] = []
    for key, pool, codes in _varying(rows):
        score, value = pool["score"].to_numpy(), pool[key["hyperparameter"]].to_numpy(dtype=float)
        for group in range(codes.max() + 1):
            inside = codes == group
            at, scores = value[inside], score[inside]
            q1, median, q3 = quantiles(scores, (0.25, 0.5, 0.75))
            place = {"value": np.median(at), "lowest": at.min(), "highest": at.max()}
            counts = {"n": len(at), "scored": int(np.isfinite(scores).sum())}
            records.append({**key, **place, **counts, "q1": q1, "median": median, "q3": q3})
    columns = ["value", "lowest", "highest", "n", "scored", "q1", "median", "q3"]
    return pd.DataFrame(records, columns=["dataset", "method", "hyperparameter", *columns])


def importance(rows: pd.DataFrame, rng: np.random.Generator, level: float = 0.95) -> pd.DataFrame:
    """The share of the variance of a method's ranked scores that each hyperparameter explains by itself.

    Scores are replaced by ranks (trials without a score last), so that outliers and the scale have no effect. The
    share is the main effect of a functional analysis of variance (Hutter, Hoos and Leyton-Brown, 2014, section 4),
    here by the groups of `grouped`, without a model: epsilon squared, (between - (groups - 1) within) / total in sums
    of squares, which is unbiased near 0 (Kelley, 1935). The remainder is interactions and noise. The effects of
    hyperparameters that were not varied independently cannot be separated; tied_to names them.

    Intervals: settings are resampled with replacement 1,000 times. Resampled groups have additional variance within
    groups, so the correction is applied twice in the percentile interval; the simulated coverage is then 91 to 99 % at
    95 % (12 to 120 settings, three groups, three distributions). For more than 1,000 settings a random subset of 1,000
    is used, which widens the interval.

    Args:
        rows: of `scored` with one row per setting (its pool SETTINGS): seeds of one setting have
            equal hyperparameters and are not independent evidence.
        rng: for resampling.
        level: of each interval by itself, in (0, 1).

    Returns:
        One row per dataset, method and hyperparameter that varies: dataset, method (its label), hyperparameter, n
        (settings), groups, share, share_low, share_high (all in [0, 1]; NaN, 0, 1 if there are fewer than groups + 2
        settings), resolved (whether share_low is above 0), tied_to (hyperparameters that do not come in all
        combinations with this one, separated by commas; empty for none).
    """
    check_level(level)
    records = []
    of_pool: dict[tuple[str, str], tuple[Array, Array]] = {}
    for key, pool, codes in _varying(rows):
        ranks = stats.rankdata(pool["score"].fillna(math.inf))
        name = key["dataset"], key["method"]
        if name not in of_pool:
            of_pool[name] = _resampled(len(pool), rng)
        share, (low, high) = _share(ranks, codes, *of_pool[name], level)
        counts = {"n": len(pool), "groups": int(codes.max()) + 1}
        ends = {"share": share, "share_low": low, "share_high": high, "resolved": low > 0}
        records.append({**key, **counts, **ends, "tied_to": ", ".join(_tied_to(pool, key["hyperparameter"]))})
    columns = ["n", "groups", "share", "share_low", "share_high", "resolved", "tied_to"]
    return pd.DataFrame(records, columns=["dataset", "method", "hyperparameter", *columns])


def _varying(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame, Array]]:
    """(dataset, method and hyperparameter; the pool; its groups) for each hyperparameter that varies."""
    for (dataset, label), pool in pools(rows[["dataset", "method_label", "score", *HYPERPARAMETERS]]).items():
        for name in HYPERPARAMETERS:
            codes = grouped(pool[name])
            if codes is not None:
                yield {"dataset": dataset, "method": label, "hyperparameter": name}, pool, codes


def _resampled(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(indices of the resampled settings, at most 1,000; [resamples, settings]: number of draws of each one)."""
    subset = np.arange(n) if n <= MOST else np.sort(rng.choice(n, MOST, replace=False))
    size = len(subset)
    drawn = rng.integers(0, size, (RESAMPLES, size)) + size * np.arange(RESAMPLES)[:, None]
    draws = np.bincount(drawn.ravel(), minlength=RESAMPLES * size).reshape(RESAMPLES, size)
    return subset, draws.astype(float)


def _share(ranks: Array, codes: Array, subset: Array, draws: Array, level: float) -> tuple[float, Interval]:
    """The explained share of one hyperparameter of one method, with its interval."""
    groups = int(codes.max()) + 1
    if len(ranks) < groups + 2 or ranks.min() == ranks.max():
        return math.nan, (0.0, 1.0)
    member = np.eye(groups)[codes]
    share = float(_epsilon_squared(np.ones((1, len(ranks))), ranks, member, corrections=1)[0])
    resampled = _epsilon_squared(draws, ranks[subset], member[subset], corrections=2)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return share, (float(min(low, share)), float(max(high, share)))


def _epsilon_squared(draws: Array, ranks: Array, member: Array, corrections: int) -> Array:
    """[resamples]: between - corrections (groups - 1) within, over total, in [0, 1].

    Args:
        times: [resamples, n], the number of draws of each setting.
        ranks: [n].
        member: [n, groups], 1 where a setting is in the group.
    """
    counts, sums = draws @ member, draws @ (member * ranks[:, None])
    n, groups = counts.sum(axis=1), (counts > 0).sum(axis=1)
    mean_square = sums.sum(axis=1) ** 2 / n
    total = draws @ ranks**2 - mean_square
    between = (sums**2 / np.maximum(counts, 1)).sum(axis=1) - mean_square
    within = (total - between) / np.maximum(n - groups, 1)
    explained = between - corrections * (groups - 1) * within
    shares: Array = np.clip(np.divide(explained, total, out=np.zeros_like(total), where=total > 0), 0, 1)
    return shares


def _tied_to(pool: pd.DataFrame, name: str) -> list[str]:
    """Hyperparameters with few values that do not occur in all combinations with the values of this one."""
    few = [each for each in HYPERPARAMETERS if 2 <= pool[each].nunique() <= FEW_VALUES]
    if name not in few:
        return []
    counts = {each: pool[each].nunique() for each in few}
    pairs = {each: len(pool[[name, each]].drop_duplicates()) for each in few if each != name}
    return [each for each, pair in pairs.items() if pair < counts[name] * counts[each]]


def response_points(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The trials behind `response`, for drawing; at most 400 of a method, at random.

    Args:
        rows: of `scored`.
        rng: for the random subset.

    Returns:
        One row per trial and hyperparameter that varies in its method: dataset, method (its label), hyperparameter,
        value, score (NaN: none), pool (number of trials of the method), drawn (number of them that are drawn).
    """
    records = []
    chosen: dict[tuple[str, str], pd.DataFrame] = {}
    for key, pool, _ in _varying(rows):
        name = key["dataset"], key["method"]
        if name not in chosen:
            few = len(pool) <= DRAWN
            chosen[name] = pool if few else pool.iloc[np.sort(rng.choice(len(pool), DRAWN, replace=False))]
        subset = chosen[name]
        values = {"value": subset[key["hyperparameter"]].astype(float), "score": subset["score"]}
        records.append(pd.DataFrame({**values, **key, "pool": len(pool), "drawn": len(subset)}))
    columns = ["dataset", "method", "hyperparameter", "value", "score", "pool", "drawn"]
    return pd.concat(records, ignore_index=True)[columns] if records else pd.DataFrame(columns=columns)
