"""The study's summary of a method: the scores of the best 5 % of its trials (section 3, item 1; Figure 1)."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from analysis.load import describe_protocol
from analysis.style import CONTEXT, abbreviations, method_label, place
from study.names import InputError
from study.rows import DIVERGED, FAILED, FINISHED, STOPPED, score_label
from study.trial import Training, field_names

SPLIT_BY_N_DIS = ("gradient_penalty",)
"""Penalties whose methods are one box per n_dis, as GP and GP5 in the paper's Figure 1. All others pool their n_dis;
of the paper's other boxes it is not known whether they do, or show n_dis 1 only."""

ABOVE_AXIS = 3
"""Scores beyond this many times the worst one in any top k are counted above the figure's axis, not drawn."""


@dataclass(frozen=True)
class SelectionRule:
    """Which of a trial's scores stands for the trial."""

    name: str
    column: str
    words: str


BEST = SelectionRule("best", "best_frechet_distance", "best scored checkpoint")
"""As the study scored: the lowest score over a trial's checkpoints (LIKELY also in its figures)."""
FINAL = SelectionRule("final", "final_frechet_distance", "final score")


def top_fraction(frame: pd.DataFrame, fraction: float = 0.05, rule: SelectionRule = BEST) -> pd.DataFrame:
    """Mark the best `fraction` of the trials of each method on each dataset.

    Diverged and failed trials, and finished ones without a finite score, rank last and count in n. Stopped trials have
    no score because others did better, not because of what they are: they come after all others and count nowhere.

    Args:
        frame: rows of `select`.
        fraction: in (0, 1].
        rule: which score counts.

    Returns:
        The rows, best first within a dataset, with method_label, score (NaN: none), rank (from 1, ties by trial id),
        n (trials of the method that were not stopped), k = ceil(fraction n), top (among the k, and scored), above (the
        axis), and the fraction and rule that were used.

    Raises:
        InputError: fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"fraction {fraction:g}: must be above 0 and at most 1; the paper takes 0.05.")
    exact = Fraction(str(fraction))  # 0.07 * 100 is not 7 in floating point, and its ceiling is 8
    usable = (frame["status"] == FINISHED) & np.isfinite(frame[rule.column])
    marked = frame.assign(
        method_label=_labels(frame),
        score=frame[rule.column].where(usable),
        counts=frame["status"] != STOPPED,
        fraction=fraction,
        rule=rule.words,
    ).sort_values(["dataset", "score", "counts", "trial_id"], ascending=[True, True, False, True], ignore_index=True)
    groups = marked.groupby(["dataset", "method_label"])
    marked["rank"] = groups.cumcount() + 1
    marked["n"] = groups["counts"].transform("sum")
    marked["k"] = -(-marked["n"] * exact.numerator // exact.denominator)
    marked["top"] = (marked["rank"] <= marked["k"]) & marked["score"].notna()
    worst = marked["score"].where(marked["top"]).groupby(marked["dataset"]).transform("max")
    marked["above"] = (worst > 0) & (marked["score"] > ABOVE_AXIS * worst)
    return marked.drop(columns="counts")


def top_table(marked: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and method, in the order of the paper's Figure 1, from the rows of `top_fraction`.

    Returns:
        dataset, method (its label), trials (n), k, scored (trials of the top k that have a score), diverged, failed,
        stopped (not in n), median, q1, q3 (of the top k, linear interpolation; NaN where scored is 0), best,
        best_setting, best_trial_id (None where scored is 0), above (the figure's axis), score_label, fraction.
    """
    rows = [
        _summary(str(dataset), label, marked[(marked["dataset"] == dataset) & (marked["method_label"] == label)])
        for dataset, labels in marked.groupby("dataset")["method_label"]
        for label in sorted(labels.unique(), key=place)
    ]
    return pd.DataFrame(rows)


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
        "score_label": score_label(first["extractor"], first["weights_sha256"]),
        "fraction": first["fraction"],
    }


def setting(trial: "pd.Series[Any]") -> str:
    """The searched hyperparameters of a row, as text: `lr=1e-3 β=(0.5, 0.9) n_dis=5 λ=10`."""
    mantissa, exponent = f"{trial['learning_rate']:.2e}".split("e")
    text = f"lr={float(mantissa):g}e{int(exponent)} β=({trial['beta1']:g}, {trial['beta2']:g}) n_dis={trial['n_dis']}"
    return text if pd.isna(trial["penalty_weight"]) else f"{text} λ={trial['penalty_weight']:g}"


def top_caption(marked: pd.DataFrame) -> str:
    """What a reader must know beside the figure or table of `marked`: rule, pool, protocol, and what did not finish.

    One sentence per line.
    """
    first = marked.iloc[0]
    split = "; but GP is n_dis 1, GP 5 is n_dis 5" if marked["penalty"].isin(SPLIT_BY_N_DIS).any() else ""
    lines = [
        (
            f"Box: the best {100 * first['fraction']:g} % (k, rounded up) of a method's n trials, by {first['rule']}; "
            "diverged, failed and unscored trials rank last."
        ),
        f"Pool: settings and seeds of a method, whatever their n_dis{split}.",
    ]
    for dataset, rows in marked.groupby("dataset"):
        row, status = rows.iloc[0], rows["status"]
        unscored, stopped = int(((status == FINISHED) & rows["score"].isna()).sum()), int((status == STOPPED).sum())
        lines.append(
            f"{dataset}: {len(rows) - stopped} trials, {(status == DIVERGED).sum()} diverged, "
            f"{(status == FAILED).sum()} failed{f', {unscored} finished without a score' if unscored else ''}; "
            f"{score_label(row['extractor'], row['weights_sha256'])}, protocol {row['protocol_id']} "
            f"({describe_protocol(row)})."
        )
        if stopped:
            lines.append(f"{stopped} more were stopped early and are left out, so that the others are a selection.")
    return "\n".join([*lines, abbreviations(marked["method"].unique()) + "."])


def _labels(frame: pd.DataFrame) -> "pd.Series[str]":
    """The box that each trial belongs to: what is pooled are hyperparameters and seeds, and nothing else.

    Where trials of one dataset differ in architecture or training, their labels say in what.
    """
    labels = frame["method"].map({name: method_label(name) for name in frame["method"].unique()})
    split = frame["penalty"].isin(SPLIT_BY_N_DIS) & (frame["n_dis"] != 1)
    labels = labels.where(~split, labels + " " + frame["n_dis"].astype(str))
    return with_context(labels, frame)


def with_context(labels: "pd.Series[str]", frame: pd.DataFrame) -> "pd.Series[str]":
    """The labels of rows, with their architecture and training wherever a dataset has more than one of it."""
    for column in ("architecture", *field_names(Training)):
        if frame.groupby("dataset")[column].nunique().max() < 2:
            continue
        varies = frame.groupby("dataset")[column].transform("nunique") > 1
        word = "" if column == "architecture" else f"{column.replace('_', ' ')} "
        labels = labels.where(~varies, labels + CONTEXT + word + frame[column].astype(str))
    return labels
