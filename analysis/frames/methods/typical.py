"""Representative trials of a method: the best one and the median one."""

from typing import Any

import pandas as pd

from analysis.frames.methods.top import setting
from analysis.rows.scores import pools
from study.storage.schema import score_label

BEST, MEDIAN = "best", "median"


def typical_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """The best and the median trial of each method on each dataset, whose generated images are shown.

    The best trial alone is optimistically biased; half of a method's trials are at least as good as the median one
    (diverged and failed trials rank last).

    Args:
        rows: of `scored`. Where settings are pooled, the trial is the seed nearest to the setting's
            median.

    Returns:
        Two rows per dataset and method, in the order of the paper's Figure 1: dataset, method (its label), which (best,
        median), rank (from 1, ties by trial id; of an even n the lower middle one), n, trial_id, score, score_label,
        setting (text), final_step and best_step. The columns from trial_id on are empty if the trial of that rank
        has no score.
    """
    columns = ["dataset", "method", "which", "rank", "n"]
    result = ["trial_id", "score", "score_label", "setting", "final_step", "best_step"]
    records: list[dict[str, Any]] = []
    for (dataset, label), pool in pools(rows).items():
        n = len(pool)
        ordered = pool.sort_values(["score", "trial_id"], na_position="last")
        for which, rank in ((BEST, 1), (MEDIAN, (n + 1) // 2)):
            place = {"dataset": dataset, "method": label, "which": which, "rank": rank, "n": n}
            trial = ordered.iloc[rank - 1]
            records.append(place if pd.isna(trial["score"]) else {**place, **_described(trial)})
    return pd.DataFrame(records, columns=[*columns, *result])


def _described(trial: "pd.Series[Any]") -> dict[str, Any]:
    return {
        **{name: trial[name] for name in ("trial_id", "score", "final_step", "best_step")},
        "score_label": score_label(trial),
        "setting": setting(trial),
    }
