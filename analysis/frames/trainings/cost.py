"""The cost of trainings in seconds: by score, and per discriminator update relative to no normalisation.

Seconds are training time without scoring; other trainings may have run on the same machine at the same time. Different
machines are never pooled: a GPU is identified by its model, a CPU only by its host. Neither are packs of different
sizes: the seconds of a trial are its share of the time of its pack.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames.methods.compare import NO_INTERVAL, verdict
from analysis.rows.labels import CONTEXT, paper_order
from analysis.rows.scores import BEST, CELL, SPLIT_BY_N_DIS, SelectionRule, scored
from analysis.statistics.intervals import Array
from analysis.statistics.quantile_bounds import quantile_difference_interval
from analysis.statistics.quartiles import group_quartiles, median_places
from study.storage.schema import FINISHED, TRAINING

CPU = "cpu"
UNREGULARIZED = "none"
"""The reference method."""
BASELINE, NO_BASELINE = "baseline", "no baseline"
COMPARABLE = ["dataset", "machine", "n_dis", *(each for each in CELL if each not in ("dataset", "method", "options"))]
"""Columns that must be equal for seconds per update to be compared."""


def timed_trainings(trials: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The trainings whose time was measured on one machine, from the first to the last update.

    Excludes trainings that were interrupted, continued from another training or stopped, and kept generators.

    Args:
        trials: rows of `select`.
        rule: the score of a trial.

    Returns:
        The rows of `scored` with machine (name of the GPU, or CPU and host; also the version of torch
        and the size of packs if a machine had several) and method (its label).
    """
    rows = scored(trials, rule)
    whole = (rows["source"].fillna(TRAINING) == TRAINING) & (rows["resumptions"].fillna(0) == 0)
    rows = rows[whole & np.isfinite(rows["training_seconds"])]
    host, torch = (rows[name].astype(object).fillna("unknown") for name in ("host", "torch"))
    machine = rows["device"].where(rows["device"] != CPU, f"{CPU} of " + host)
    pack = rows["pack"].fillna(1).astype(int)
    packs = ("packs of " + pack.astype(str)).where(pack > 1, "alone")
    named = machine
    for words in ("torch " + torch, packs):
        several = words.groupby(machine).transform("nunique") > 1
        named = named.where(~several, named + CONTEXT + words)
    table: pd.DataFrame = rows.assign(machine=named, method=rows["method_label"])
    return table


def seconds_and_scores(trials: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The seconds and the score of each training.

    Returns:
        dataset, machine, method (its label), trial_id, status, seconds, score (NaN: none); the rows of
        `timed_trainings`.
    """
    rows = timed_trainings(trials, rule).rename(columns={"training_seconds": "seconds"})
    return rows[["dataset", "machine", "method", "trial_id", "status", "seconds", "score"]]


def update_cost(trials: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Milliseconds per discriminator update of each method, and the ratio to trainings without normalisation.

    Generator updates and data loading are included: training seconds / discriminator updates. A ratio compares medians
    of finished trainings that differ only in the method, seed, and hyperparameters other than n_dis; its interval
    is that of the difference of their logarithms (`quantile_difference_interval`), widened to contain
    it. The sampling unit is the training. If methods were trained one after the other, the ratio is also affected by
    other load on the machine.

    Args:
        trials: rows of `select`.
        level: simultaneous level of all ratios of a dataset: each interval has 1 - (1 - level) / m (Bonferroni), where
            m is the number of methods that have, like their baseline, enough trainings for an interval at `level`.

    Returns:
        One row per `COMPARABLE` and method: their columns; method (its label, with n_dis if a dataset has several);
        n (trainings), milliseconds (median), milliseconds_low, milliseconds_high; ratio, low, high (NaN for the
        baseline itself and where there is none); level; verdict (lower, higher, not resolved, no interval; baseline, no
        baseline).
    """
    rows = timed_trainings(trials)
    rows = rows[rows["status"] == FINISHED]
    milliseconds = 1000 * rows["training_seconds"] / rows["discriminator_steps"]
    recipe = trials.set_index("trial_id")["method"]
    rows = rows.assign(method=_with_n_dis(rows), recipe=rows["trial_id"].map(recipe), value=np.log(milliseconds))
    columns = [*COMPARABLE, "method", "n", "milliseconds", "milliseconds_low", "milliseconds_high"]
    records = [_of_dataset(each, level) for _, each in rows.groupby("dataset")]
    columns += ["ratio", "low", "high", "level", "verdict"]
    return pd.concat(records, ignore_index=True)[columns] if records else pd.DataFrame(columns=columns)


def _with_n_dis(rows: pd.DataFrame) -> "pd.Series[str]":
    several = rows.groupby("dataset")["n_dis"].transform("nunique") > 1
    labelled = rows["penalty"].isin(SPLIT_BY_N_DIS)
    return rows["method"].where(~several | labelled, rows["method"] + f"{CONTEXT}n_dis " + rows["n_dis"].astype(str))


def _of_dataset(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    keys = [*COMPARABLE, "recipe", "method"]
    sizes = rows.groupby(keys).size().rename("n").reset_index()
    beside = sizes.merge(
        sizes[sizes["recipe"] == UNREGULARIZED][[*COMPARABLE, "n"]], on=COMPARABLE, how="left", suffixes=("", "_base")
    )
    least = beside[["n", "n_base"]].min(axis=1, skipna=False)[beside["recipe"] != UNREGULARIZED].dropna()
    compared = sum(median_places(int(n), level) != (-1, int(n)) for n in least)
    corrected = 1 - (1 - level) / max(compared, 1)
    table = group_quartiles(rows, keys, None, corrected).assign(level=corrected)
    base = table[table["recipe"] == UNREGULARIZED].set_index(COMPARABLE, drop=False)
    bases = dict(zip(base.index, base.to_dict("records"), strict=True))
    values = {key: each["value"].to_numpy() for key, each in rows.groupby(keys)}
    ratios = []
    for row in table.to_dict("records"):
        of_base = bases.get(tuple(row[key] for key in COMPARABLE))
        samples = [values[tuple(each[key] for key in keys)] for each in (row, of_base) if each is not None]
        ratios.append(_ratio(row, of_base, samples, corrected))
    table[["ratio", "ratio_low", "ratio_high", "verdict"]] = pd.DataFrame(ratios, index=table.index)
    for name, column in (("milliseconds", "median"), ("milliseconds_low", "low"), ("milliseconds_high", "high")):
        table[name] = np.exp(table[column])
    table["order"] = table["method"].map(paper_order)
    table = table.sort_values(["machine", "order", "n_dis"]).drop(columns=["low", "high"])
    return table.rename(columns={"ratio_low": "low", "ratio_high": "high"})


def _ratio(
    row: dict[Any, Any], base: dict[Any, Any] | None, samples: list[Array], level: float
) -> tuple[float, float, float, str]:
    """(ratio, low, high, verdict) of two cells; medians and samples are logarithms."""
    if base is None or row["recipe"] == UNREGULARIZED:
        return math.nan, math.nan, math.nan, NO_BASELINE if base is None else BASELINE
    difference = row["median"] - base["median"]
    low, high = quantile_difference_interval(samples[0], samples[1], 0.5, level)
    low, high = min(low, difference), max(high, difference)
    few = any(median_places(each["n"], level) == (-1, each["n"]) for each in (row, base))
    outcome = NO_INTERVAL if few else verdict(low, high)
    return math.exp(difference), math.exp(low), math.exp(high), outcome
