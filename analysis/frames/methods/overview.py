"""A summary of each dataset: number of trials, the leading method, and the methods that it is certainly better than."""

import math
from typing import Any

import pandas as pd

from analysis.frames.methods.compare import LOWER, compare_scores, expected_top_median, top_count
from analysis.frames.methods.top import setting
from analysis.rows.scores import pools
from analysis.rows.view import Rows
from analysis.statistics.intervals import quantile_interval, resolved_fraction
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label


def dataset_overview(rows: Rows) -> pd.DataFrame:
    """One row per dataset.

    The leader is the method with the lowest median of its best `rows.fraction` among `rows.without_adaptive`. The other
    methods are compared with it at equal numbers of trainings. Since the leader is selected by its score, each
    comparison is corrected for all pairs (Bonferroni), so that all of them hold simultaneously.

    Returns:
        dataset, score_label, trials (rows), finished, diverged, failed, stopped, methods; best, best_method,
        best_setting, best_trial_id (of the best trial of all); leader, n (its pool), k, median (of its best
        `rows.fraction`); interval_fraction (the smallest fraction >= `rows.fraction` that its pool has an interval
        for), interval_median, low, high (the median of its best `interval_fraction`, with its interval at
        `rows.level`; NaN if there is none); better_than and not_resolved (tuples of the other methods' labels), level
        (of each comparison). The columns from best on are empty if no trial has a score.
    """
    return pd.DataFrame([_of_dataset(rows, str(dataset), group) for dataset, group in rows.trials.groupby("dataset")])


def _of_dataset(rows: Rows, dataset: str, trials: pd.DataFrame) -> dict[str, Any]:
    first, status = trials.iloc[0], trials["status"].value_counts()
    every = rows.scored[rows.scored["dataset"] == dataset]
    result = pools(rows.without_adaptive.scored[rows.without_adaptive.scored["dataset"] == dataset])
    scores = {label: pool["score"].to_numpy() for (_, label), pool in result.items()}
    counts = {
        "dataset": dataset,
        "score_label": score_label(first),
        "trials": len(trials),
        **{name: int(status.get(name, 0)) for name in (FINISHED, DIVERGED, FAILED, STOPPED)},
        "methods": every["method_label"].nunique(),
    }
    medians = {label: expected_top_median(each, rows.fraction) for label, each in scores.items()}
    if not any(map(math.isfinite, medians.values())):
        return counts
    leader = min(medians, key=lambda label: medians[label])
    best = every.sort_values(["score", "trial_id"]).iloc[0]
    return {
        **counts,
        "best": best["score"],
        "best_method": best["method_label"],
        "best_setting": setting(best),
        "best_trial_id": best["trial_id"],
        "leader": leader,
        "n": len(scores[leader]),
        "k": top_count(len(scores[leader]), rows.fraction),
        "median": medians[leader],
        **_with_interval(scores[leader], rows),
        **_against_others(scores, leader, rows),
    }


def _with_interval(scores: Any, rows: Rows) -> dict[str, float]:
    used = resolved_fraction(len(scores), rows.fraction, rows.level)
    if used is None:
        return dict.fromkeys(("interval_fraction", "interval_median", "low", "high"), math.nan)
    low, high = quantile_interval(scores, used / 2, rows.level)
    return {
        "interval_fraction": used,
        "interval_median": expected_top_median(scores, used),
        "low": low,
        "high": high,
    }


def _against_others(scores: dict[str, Any], leader: str, rows: Rows) -> dict[str, Any]:
    others = [label for label in scores if label != leader]
    level = 1 - (1 - rows.level) / max(1, len(scores) * (len(scores) - 1) // 2)
    verdicts = {
        label: compare_scores(scores[leader], scores[label], rows.fraction, level)["verdict"] for label in others
    }
    return {
        "better_than": tuple(label for label in others if verdicts[label] == LOWER),
        "not_resolved": tuple(label for label in others if verdicts[label] != LOWER),
        "level": level,
    }
