"""Which score stands for a trial, what is pooled, and what each pool is called."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.style import CONTEXT, method_label, place
from study.names import InputError
from study.rows import FINISHED, STOPPED
from study.trial import Training, field_names

SPLIT_BY_N_DIS = ("gradient_penalty",)
"""Penalties whose methods are one box per n_dis, as GP and GP5 in the paper's Figure 1. All others pool their n_dis;
of the paper's other boxes it is not known whether they do, or show n_dis 1 only."""
HYPERPARAMETERS = ("learning_rate", "beta1", "beta2", "n_dis", "penalty_weight")
CELL = ("dataset", "method", "architecture", "options", *field_names(Training))
"""What trials of one recipe have in common: all but hyperparameters and seed."""
SETTING = (*CELL, *HYPERPARAMETERS)
"""What trials have in common that differ in nothing but their seed."""


@dataclass(frozen=True)
class SelectionRule:
    """Which of a trial's scores stands for the trial."""

    name: str
    column: str
    words: str


BEST = SelectionRule("best", "best_frechet_distance", "best scored checkpoint")
"""As the study scored: the lowest score over a trial's checkpoints (LIKELY also in its figures)."""
FINAL = SelectionRule("final", "final_frechet_distance", "final score")
RULES = {rule.name: rule for rule in (BEST, FINAL)}


@dataclass(frozen=True)
class Pool:
    """What counts as one in n: every training, or every setting by the median over its seeds."""

    name: str
    words: str


TRAININGS = Pool("trainings", "trainings, each seed of a setting for itself")
SETTINGS = Pool("settings", "settings, each by its median over seeds")
"""As the paper reports its fixed grid (section 3); the seeds without a score rank last within a setting."""
POOLS = {pool.name: pool for pool in (TRAININGS, SETTINGS)}


def scored(frame: pd.DataFrame, rule: SelectionRule = BEST, pool: Pool = TRAININGS) -> pd.DataFrame:
    """The trials that count, each with its score and the label of its method.

    Diverged and failed trials, and finished ones without a finite score, stay and have none: they rank last and count
    in every denominator. Stopped trials are left out: they have no score because others did better.

    Args:
        frame: rows of `analysis.load.select`.
        rule: which of its scores stands for a trial.
        pool: SETTINGS makes one row of all seeds of a setting, with the median of their scores (none where that falls
            on a seed without one) and the other columns of the seed nearest to it.

    Returns:
        The rows with method_label, score (NaN: none), seeds (trainings in the row), rule and pool (in words).
    """
    usable = (frame["status"] == FINISHED) & np.isfinite(frame[rule.column])
    rows = frame.assign(
        method_label=labels(frame), score=frame[rule.column].where(usable), seeds=1, rule=rule.words, pool=pool.words
    )
    rows = rows[rows["status"] != STOPPED]
    return (_settings(rows) if pool == SETTINGS else rows).reset_index(drop=True)


def _settings(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: that of the seed nearest to the median, with the median for its score."""
    keys = list(SETTING)
    ranked = rows.assign(ranked=rows["score"].fillna(np.inf)).sort_values(["ranked", "trial_id"])
    groups = ranked.groupby(keys, dropna=False, sort=False)
    ranked["seeds"] = groups["seeds"].transform("size")
    ranked["place"] = groups.cumcount()
    low, high = (ranked["seeds"] - 1) // 2, ranked["seeds"] // 2
    upper = ranked[ranked["place"] == high].set_index(keys)["ranked"]
    middle = ranked[ranked["place"] == low].set_index(keys)
    median = (middle["ranked"] + upper) / 2
    middle["score"] = median.where(np.isfinite(median))
    return middle.reset_index()[[*rows.columns]]


def labels(frame: pd.DataFrame) -> "pd.Series[str]":
    """The label of each row's method: what is pooled under it are hyperparameters and seeds, and nothing else.

    Where trials of one dataset differ in architecture or training, their labels say in what.
    """
    named = frame["method"].map({name: method_label(name) for name in frame["method"].unique()})
    split = frame["penalty"].isin(SPLIT_BY_N_DIS) & (frame["n_dis"] != 1)
    return with_context(named.where(~split, named + " " + frame["n_dis"].astype(str)), frame)


def with_context(named: "pd.Series[str]", frame: pd.DataFrame) -> "pd.Series[str]":
    """The labels of rows, with their architecture and training wherever a dataset has more than one of it."""
    for column in ("architecture", *field_names(Training)):
        sizes = frame.groupby("dataset")[column].nunique()
        if sizes.max() < 2:
            continue
        varies = frame["dataset"].map(sizes) > 1
        word = "" if column == "architecture" else f"{column.replace('_', ' ')} "
        named = named.where(~varies, named + CONTEXT + word + frame[column].astype(str))
    return named


def pools(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of `scored` by (dataset, method_label), in the order of the paper's Figure 1."""
    groups = {
        (str(dataset), str(label)): group for (dataset, label), group in rows.groupby(["dataset", "method_label"])
    }
    return {key: groups[key] for key in sorted(groups, key=lambda key: (key[0], place(key[1])))}


def check_fraction(fraction: float) -> None:
    """Raise InputError unless a share of trials is in (0, 1]."""
    if not 0 < fraction <= 1:
        raise InputError(f"fraction {fraction:g}: must be above 0 and at most 1; the paper takes 0.05.")
