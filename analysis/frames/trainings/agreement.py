"""Agreement of two metrics in ranking trainings: Frechet and kernel distance (section 2.4 and appendix B)."""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.labels import paper_order
from analysis.rows.scores import labels
from analysis.statistics.intervals import Array, Interval, check_level
from study.storage.schema import FINISHED

ALL = "all"
"""Used instead of a method's label for the trainings of all methods of a dataset."""
TOP = range(5, 101)
"""Numbers K of best trainings that are compared (appendix B)."""


def both_distances(trials: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """The Frechet and the kernel distance of each finished training at its best scored checkpoint.

    Args:
        trials: rows of `select`.
        checkpoints: rows of `load_checkpoints`.

    Returns:
        dataset, method (its label), trial_id, frechet, kernel; in the order of trial ids. Trainings without both
        distances are excluded.
    """
    rows = trials.assign(method=labels(trials), frechet=trials["best_frechet_distance"])[trials["status"] == FINISHED]
    rows = rows[["dataset", "method", "trial_id", "protocol_id", "best_step", "frechet"]]
    scores = checkpoints[["trial_id", "protocol_id", "discriminator_step", "kernel_distance"]]
    keys = ["trial_id", "protocol_id", "best_step"]
    merged = rows.merge(
        scores.rename(columns={"discriminator_step": "best_step", "kernel_distance": "kernel"}), on=keys
    )
    known = merged[np.isfinite(merged["frechet"]) & np.isfinite(merged["kernel"])]
    table: pd.DataFrame = known.sort_values("trial_id", ignore_index=True)
    return table[["dataset", "method", "trial_id", "frechet", "kernel"]]


def rank_correlation(pairs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Spearman's rank correlation of the two distances, over all trainings of a dataset and for each method.

    Args:
        pairs: of `both_distances`.
        level: of each interval.

    Returns:
        One row per dataset and method (its label; `ALL` first, others in the order of the paper's Figure 1): n
        (trainings), correlation (NaN if n is below two or one distance is constant), low, high, level.
    """
    check_level(level)
    records = []
    for dataset, here in pairs.groupby("dataset"):
        groups = dict(iter(here.groupby("method")))
        for method, group in [(ALL, here), *sorted(groups.items(), key=lambda item: paper_order(str(item[0])))]:
            correlation = spearman(group["frechet"], group["kernel"])
            low, high = spearman_interval(group["frechet"], group["kernel"], level)
            row = {"n": len(group), "correlation": correlation, "low": low, "high": high, "level": level}
            records.append({"dataset": dataset, "method": method, **row})
    return pd.DataFrame(records, columns=["dataset", "method", "n", "correlation", "low", "high", "level"])


def spearman(a: Any, b: Any) -> float:
    """Spearman's rank correlation; equal values share the mean rank.

    >>> spearman([1, 2, 3, 4], [1, 2, 4, 3])
    0.8
    """
    ranks = np.array([stats.rankdata(a), stats.rankdata(b)])
    if ranks.shape[1] < 2 or (np.ptp(ranks, axis=1) == 0).any():
        return math.nan
    return round(float(np.corrcoef(ranks)[0, 1]), 12)  # so that equal ranks give 1


def spearman_interval(a: Any, b: Any, level: float = 0.95) -> Interval:
    """A confidence interval for Spearman's correlation; the sampling unit is the pair.

    Fisher's z around the unbiased estimate ((n + 1) r - 3 tau) / (n - 2) (Kendall and Gibbons, 1990, section 9), since
    r is biased downwards near 1; at most halfway from r to 1, where the formula is unstable. The standard error is the
    larger of two: sqrt((1 + r^2 / 2) / (n - 3)) for normal distributions (Bonett and Wright, 2000), which is too small
    if there are outliers, and the infinitesimal jackknife (Efron, 1982), which is too small if all ranks agree. The
    quantile is Student's t. If r is 1, where the formula is undefined, the correlation after swapping two neighbouring
    ranks is used instead. In simulations with correlations from 0.6 to 0.995 and n from 10 to 400, each end missed in
    at most 4 %; if a few outliers cause nearly all of the disagreement, the lower end missed in up to 17 %.

    >>> [round(end, 3) for end in spearman_interval(range(20), [*range(1, 20), 0])]
    [-0.236, 0.962]
    """
    check_level(level)
    r, n = spearman(a, b), len(a)
    if not math.isfinite(r) or n < 4:
        return -1.0, 1.0
    tau = float(stats.kendalltau(a, b).statistic)
    nearly = 1 - 12 / (n * (n * n - 1))
    most = min((1 + abs(r)) / 2, nearly)
    middle = min(max(((n + 1) * r - 3 * tau) / (n - 2), -most), most)
    jackknife = 0.0 if abs(r) == 1 else float(np.std(_influence(a, b), ddof=1)) / math.sqrt(n) / (1 - middle**2)
    error = max(jackknife, math.sqrt((1 + middle**2 / 2) / (n - 3)))
    reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    low, high = math.tanh(math.atanh(middle) - reach), math.tanh(math.atanh(middle) + reach)
    return (-1.0 if r == -1 else min(low, r)), (1.0 if r == 1 else max(high, r))


def _influence(a: Any, b: Any) -> Array:
    """[n]: the influence of each pair on the correlation, times n: 12 (product of its ranks + its effect on ranks).

    Ranks are scaled to (-1/2, 1/2).
    """
    n = len(a)
    x, y = ((stats.rankdata(values) - 0.5) / n - 0.5 for values in (a, b))

    def above(values: Array, others: Array) -> Array:
        """The sum of `others` over the pairs with higher `values`, plus half of the sum over ties."""
        group = np.unique(values, return_inverse=True)[1]
        sums = np.bincount(group, weights=others)
        return (np.cumsum(sums[::-1])[::-1] - sums / 2)[group] / n

    return np.asarray(12 * (x * y + above(x, y) + above(y, x)))


def top_overlap(pairs: pd.DataFrame, counts: Any = TOP, level: float = 0.95) -> pd.DataFrame:
    """The share of the K best trainings by one distance that are among the K best by the other.

    This is descriptive and not an estimate for other trainings; the overlap of two unrelated rankings (hypergeometric)
    is given for comparison.

    Args:
        pairs: of `both_distances`; ties are broken by trial id.
        counts: values of K; values above a dataset's number of trainings are skipped.
        level: the quantile chance_high of unrelated rankings.

    Returns:
        One row per dataset and K: dataset, k, n (trainings), overlap (share of the K), chance (its mean for unrelated
        rankings, K / n), chance_high.
    """
    check_level(level)
    records = []
    for dataset, here in pairs.sort_values("trial_id").groupby("dataset"):
        n = len(here)
        k = np.array([count for count in counts if count <= n], dtype=int)
        worse = np.sort(here[["frechet", "kernel"]].rank(method="first").max(axis=1))  # in both tops from this K on
        overlap = np.searchsorted(worse, k, side="right") / k
        high = stats.hypergeom.ppf(level, n, k, k) / k
        records.append(
            pd.DataFrame({"k": k, "n": n, "overlap": overlap, "chance": k / n, "chance_high": high}).assign(
                dataset=dataset
            )
        )
    columns = ["dataset", "k", "n", "overlap", "chance", "chance_high"]
    return pd.concat(records, ignore_index=True)[columns] if records else pd.DataFrame(columns=columns)
