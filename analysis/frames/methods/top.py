"""The study's summary of a method: the scores of the best 5 % of its trials (section 3, item 1; Figure 1)."""

import math
from typing import Any

import pandas as pd

from analysis.frames.methods.compare import top_count
from analysis.rows.scores import (
    BEST,
    HYPERPARAMETERS,
    TRAININGS,
    Pool,
    SelectionRule,
    labels,
    pools,
    scored,
)
from analysis.rows.view import Rows, computed_once
from study.storage.schema import DIVERGED, FAILED, LABEL_FIELDS, STOPPED, score_label

ABOVE_AXIS = 3
"""Scores above this multiple of the worst score in any top k are counted above the axis instead of drawn."""


def top_fraction(
    frame: pd.DataFrame, fraction: float = 0.05, rule: SelectionRule = BEST, pool: Pool = TRAININGS
) -> pd.DataFrame:
    """Mark the best `fraction` of the trials of each method on each dataset.

    Diverged and failed trials, and finished trials without a finite score, rank last and count in n. Stopped trials
    have no score because other trials did better; they are sorted after all others and are not counted.

    Args:
        frame: rows of `select`.
        fraction: in (0, 1].
        rule, pool: the score of a trial, and the unit of n; as `scored`.

    Returns:
        The rows, best first within a dataset, with the columns of `scored`, rank (from 1, ties by trial id), n (of the
        method, without stopped trials), k = ceil(fraction n), top (whether among the k, with a score), above (whether
        above the axis), and fraction.

    Raises:
        InputError: fraction out of range.
    """
    counted = scored(frame, rule, pool)
    stopped = frame[frame["status"] == STOPPED]
    stopped = stopped.assign(method_label=labels(frame).reindex(stopped.index), rule=rule.words, pool=pool.words)
    marked = pd.concat([counted.assign(counts=True), stopped.assign(score=math.nan, seeds=1, counts=False)])
    marked = marked.assign(fraction=fraction).sort_values(
        ["dataset", "score", "counts", "trial_id"], ascending=[True, True, False, True], ignore_index=True
    )
    groups = marked.groupby(["dataset", "method_label"])
    marked["rank"] = groups.cumcount() + 1
    marked["n"] = groups["counts"].transform("sum")
    marked["k"] = marked["n"].map({n: top_count(n, fraction) for n in marked["n"].unique()})
    marked["top"] = (marked["rank"] <= marked["k"]) & marked["score"].notna()
    worst = marked["score"].where(marked["top"]).groupby(marked["dataset"]).transform("max")
    marked["above"] = (worst > 0) & (marked["score"] > ABOVE_AXIS * worst)
    return marked.drop(columns="counts")


@computed_once
def marked_top(rows: Rows) -> pd.DataFrame:
    """`top_fraction` with the options of these rows."""
    return top_fraction(rows.trials, rows.fraction, rows.rule, rows.pool)


def top_table(marked: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and method, in the order of the paper's Figure 1, from the rows of `top_fraction`.

    Returns:
        dataset, method (its label), trials (n), k, scored (trials of the top k that have a score), diverged, failed,
        stopped (not in n), median, q1, q3 (of the top k, linear interpolation; NaN if scored is 0), best, best_setting,
        best_trial_id (None if scored is 0), above (number above the figure's axis), score_label, fraction.
    """
    needed = ["dataset", "method_label", "n", "k", "top", "above", "score", "status", "trial_id", *HYPERPARAMETERS]
    needed += [*LABEL_FIELDS, "fraction"]
    return pd.DataFrame([_summary(*key, trials) for key, trials in pools(marked[needed]).items()])


def _summary(dataset: str, label: str, trials: pd.DataFrame) -> dict[str, Any]:
    top, first = trials[trials["top"]], trials.iloc[0]
    q1, median, q3 = top["score"].quantile([0.25, 0.5, 0.75])
    best = top.iloc[0] if len(top) else None
    return {
        "dataset": dataset,
        "method": label,
        "trials": int(first["n"]),
        "k": int(first["k"]),
        "scored": len(top),
        "diverged": int((trials["status"] == DIVERGED).sum()),
        "failed": int((trials["status"] == FAILED).sum()),
        "stopped": int((trials["status"] == STOPPED).sum()),
        "median": median,
        "q1": q1,
        "q3": q3,
        "best": math.nan if best is None else best["score"],
        "best_setting": None if best is None else setting(best),
        "best_trial_id": None if best is None else best["trial_id"],
        "above": int(trials["above"].sum()),
        "score_label": score_label(first),
        "fraction": first["fraction"],
    }


def setting(trial: "pd.Series[Any]", digits: int = 3) -> str:
    """The searched hyperparameters of a row, as text: `lr=1e-3 β=(0.5, 0.9) n_dis=5 λ=10`; `digits` of lr."""
    mantissa, exponent = f"{trial['learning_rate']:.{digits - 1}e}".split("e")
    text = f"lr={float(mantissa):g}e{int(exponent)} β=({trial['beta1']:g}, {trial['beta2']:g}) n_dis={trial['n_dis']}"
    return text if pd.isna(trial["penalty_weight"]) else f"{text} λ={trial['penalty_weight']:g}"
