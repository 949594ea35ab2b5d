"""The score of a trial, pools of scores, and the label of each pool."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows.labels import CONTEXT, in_words, method_label, paper_order
from study.core.errors import InputError
from study.core.trial import Training, field_names
from study.storage.schema import FINISHED, STOPPED

SPLIT_BY_N_DIS = ("gradient_penalty",)
"""Penalties with one pool per n_dis, as GP and GP5 in the paper's Figure 1. All other methods pool their n_dis; it is
not known whether the paper's other boxes do so, or show n_dis 1 only."""
HYPERPARAMETERS = ("learning_rate", "beta1", "beta2", "n_dis", "penalty_weight")
CELL = ("dataset", "method", "architecture", "options", *field_names(Training))
"""Columns that identify a method and its training: everything but hyperparameters and seed."""
SETTING = (*CELL, *HYPERPARAMETERS)
"""Columns that identify a setting: everything but the seed."""
LABELLED = ("dataset", "method", "penalty", "n_dis", "architecture", *field_names(Training))
"""Columns that `labels` uses."""


@dataclass(frozen=True)
class SelectionRule:
    """Which of a trial's scores is the score of the trial."""

    name: str
    column: str
    words: str


BEST = SelectionRule("best", "best_frechet_distance", "best scored checkpoint")
"""As in the study: the lowest score over a trial's checkpoints (LIKELY also in its figures)."""
FINAL = SelectionRule("final", "final_frechet_distance", "final score")
RULES = {rule.name: rule for rule in (BEST, FINAL)}


@dataclass(frozen=True)
class Pool:
    """The unit that is counted in n: each training, or each setting with the median over its seeds."""

    name: str
    words: str


TRAININGS = Pool("trainings", "trainings, each seed of a setting for itself")
SETTINGS = Pool("settings", "settings, each by its median over seeds")
"""As the paper reports its fixed grid (section 3); seeds without a score rank last within a setting."""
POOLS = {pool.name: pool for pool in (TRAININGS, SETTINGS)}


def scored(frame: pd.DataFrame, rule: SelectionRule = BEST, pool: Pool = TRAININGS) -> pd.DataFrame:
    """The trials that count, each with its score and the label of its method.

    Diverged and failed trials, and finished trials without a finite score, are kept without a score: they rank last and
    count in every denominator. Stopped trials are excluded: they have no score because other trials did better.

    Args:
        frame: rows of `select`.
        rule: which score of a trial counts.
        pool: SETTINGS merges all seeds of a setting into one row, with the median of their scores (NaN if the median
            falls on a seed without a score) and the other columns of the seed nearest to it.

    Returns:
        The rows with method_label, score (NaN: none), seeds (trainings in the row), rule and pool (in words).
    """
    usable = (frame["status"] == FINISHED) & np.isfinite(frame[rule.column])
    rows = frame.assign(
        method_label=labels(frame), score=frame[rule.column].where(usable), seeds=1, rule=rule.words, pool=pool.words
    )
    stopped = rows["status"] == STOPPED
    rows = (rows[~stopped] if stopped.any() else rows).reset_index(drop=True)
    return _settings(rows).reset_index(drop=True) if pool == SETTINGS else rows


def _settings(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: the row of the seed nearest to the median, with the median as its score."""
    which = rows.groupby(list(SETTING), dropna=False, sort=False).ngroup()
    ranked = pd.DataFrame({"which": which, "score": rows["score"].fillna(np.inf), "trial_id": rows["trial_id"]})
    ranked = ranked.sort_values(["which", "score", "trial_id"])
    seeds = ranked.groupby("which").size().to_numpy()
    first = np.cumsum(seeds) - seeds
    scores, low = ranked["score"].to_numpy(), first + (seeds - 1) // 2
    median = (scores[low] + scores[first + seeds // 2]) / 2
    return rows.loc[ranked.index[low]].assign(score=np.where(np.isfinite(median), median, np.nan), seeds=seeds)


def labels(frame: pd.DataFrame) -> "pd.Series[str]":
    """The label of each row's method; trials with the same label differ only in hyperparameters and seed.

    If trials of one dataset differ in architecture or training, the labels contain the difference (`with_context`).
    """
    method_labels = frame["method"].map({name: method_label(name) for name in frame["method"].unique()})
    split = frame["penalty"].isin(SPLIT_BY_N_DIS) & (frame["n_dis"] != 1)
    if split.any():
        method_labels = method_labels.where(~split, method_labels + " " + frame["n_dis"].astype(str))
    return with_context(method_labels, frame)


def with_context(method_labels: "pd.Series[str]", frame: pd.DataFrame, *, all_values: bool = False) -> "pd.Series[str]":
    """The labels of rows, with the architecture and training if a dataset has more than one.

    Of the training, only values other than `most_frequent_training` are added, since captions state the most frequent
    ones; `all_values`: add all.
    """
    several = frame.groupby("dataset")["architecture"].transform("nunique") > 1
    method_labels = method_labels.where(~several, method_labels + CONTEXT + frame["architecture"].astype(str))
    for dataset, values in most_frequent_training(frame).items():
        for column, usual in values.items():
            has_value = (frame["dataset"] == dataset) & (all_values | (frame[column] != usual))
            method_labels = method_labels.where(
                ~has_value, method_labels + CONTEXT + in_words(column) + " " + frame[column].astype(str)
            )
    return method_labels


def most_frequent_training(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By dataset, the most frequent value of each field of training that varies; the lowest one of ties."""
    varying = [column for column in field_names(Training) if frame[column].nunique() > 1]
    return {
        str(dataset): {column: rows[column].mode().iloc[0] for column in varying if rows[column].nunique() > 1}
        for dataset, rows in frame[["dataset", *varying]].groupby("dataset")
    }


def pools(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of `scored` by (dataset, method_label), in the order of the paper's Figure 1."""
    groups = {
        (str(dataset), str(label)): group for (dataset, label), group in rows.groupby(["dataset", "method_label"])
    }
    return {key: groups[key] for key in sorted(groups, key=lambda key: (key[0], paper_order(key[1])))}


def check_fraction(fraction: float) -> None:
    """Raise InputError unless a fraction of trials is in (0, 1]."""
    if not 0 < fraction <= 1:
        raise InputError(f"fraction {fraction:g}: must be above 0 and at most 1; the paper uses 0.05.")
