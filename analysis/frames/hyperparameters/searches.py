"""The results of the searches of `study bo`, by round."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames.hyperparameters.random_search import NAME, QUANTILES
from analysis.frames.methods.top import ABOVE_AXIS, setting
from analysis.rows.checks import load_table
from analysis.rows.labels import method_label, paper_order
from analysis.rows.scores import with_context
from search_spaces.ranges import BO
from study.core.errors import InputError, unknown
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label

UNSCORED = "unscored"
OUTCOMES = ("scored", DIVERGED, FAILED, STOPPED, UNSCORED)
"""Outcomes of a trial; unscored: finished without a finite score."""


def search_trials(frame: pd.DataFrame, results: Path, names: Iterable[str] | None = None) -> pd.DataFrame:
    """The trials of the searches of a results folder that have a row, in the order in which they were proposed.

    Searches come in the order of the paper's Figure 1.

    Args:
        frame: rows of `select`.
        results: the folder.
        names: only these searches; None: all.

    Returns:
        The rows, once for each search that proposed them, with search (its name), sampler, label (of the method), line
        (distinguishes the search from others of the same label), round, proposed (number of trials of the round, with
        or without a row), number (of the trial in its search, from 1), score (NaN: none), outcome (scored, diverged,
        failed, stopped, unscored), best_so_far (NaN before the first score) and above (whether above the axis).

    Raises:
        InputError: no search there has a trial among the rows, or a name is unknown.
    """
    members = load_table(results, "memberships").to_pandas()
    members = members[members["space"] == BO].rename(columns={"context": "search"})
    for name in names or ():
        if not (members["search"] == name).any():
            raise unknown("search", name, members["search"].unique())
    if names is not None:
        members = members[members["search"].isin(list(names))]
    members["proposed"] = members.groupby(["search", "round"])["trial_id"].transform("size")
    members = members.sort_values(["search", "round", "order"])[["search", "round", "proposed", "trial_id"]]
    trials = members.merge(frame, on="trial_id", how="inner")
    if trials.empty:
        raise InputError(f"{results}: no search has a trial; run one with `study bo --results {results}`.")
    trials = _with_labels(trials)
    order = trials["label"].map(paper_order)
    trials = trials.assign(order=order).sort_values(["dataset", "order", "n_dis", "line", "search"], kind="stable")
    trials = trials.drop(columns="order").reset_index(drop=True)
    usable = (trials["status"] == FINISHED) & np.isfinite(trials["best_frechet_distance"])
    trials["number"] = trials.groupby("search").cumcount() + 1
    trials["score"] = trials["best_frechet_distance"].where(usable)
    trials["outcome"] = trials["status"].where(trials["status"] != FINISHED, UNSCORED).where(~usable, "scored")
    trials["best_so_far"] = trials.groupby("search")["score"].cummin().groupby(trials["search"]).ffill()
    ends = trials.groupby(["dataset", "search", "round"])["best_so_far"].last()
    worst = trials["dataset"].map(ends.groupby("dataset").max())
    trials["above"] = (worst > 0) & (trials["score"] > ABOVE_AXIS * worst)
    return trials


def _with_labels(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows with sampler, label and line; a line contains the properties in which searches differ."""
    properties = trials["search"].str.extract(NAME)
    labels = trials["method"].map({name: method_label(name) for name in trials["method"].unique()})
    line = "n_dis " + trials["n_dis"].astype(str)
    for words in (properties["sampler"], "seed " + properties["proposals"], properties["early"].fillna("").str.strip()):
        if words.nunique() > 1:
            line += (", " + words).where(words != "", "")
    labelled = trials.assign(sampler=properties["sampler"], label=with_context(labels, trials), line=line)
    same = labelled.groupby(["dataset", "label", "line"])["search"].transform("nunique") > 1
    labelled["line"] = labelled["line"].where(~same, labelled["line"] + ", " + properties["digest"])
    return labelled


def round_table(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per search and round, from the rows of `search_trials`.

    Returns:
        dataset, architecture, method, n_dis, sampler, label, line, search, round, proposed, trials (with a row),
        scored, diverged, failed, stopped, unscored (finished without a score), trials_so_far, best (of the round),
        best_so_far; NaN without any score.
    """
    rounds = trials.groupby(["search", "round"], sort=False)
    same = ["dataset", "architecture", "method", "n_dis", "sampler", "label", "line", "proposed"]
    last = ("trials_so_far", "best", "best_so_far")
    counts = {name: (trials["outcome"] == name).groupby([trials["search"], trials["round"]]).sum() for name in OUTCOMES}
    table = (
        rounds[same]
        .first()
        .assign(
            trials=rounds.size(),
            **counts,
            trials_so_far=rounds["number"].last(),
            best=rounds["score"].min(),
            best_so_far=rounds["best_so_far"].last(),
        )
    )
    return table.reset_index()[[*same[:-1], "search", "round", "proposed", "trials", *OUTCOMES, *last]]


def chosen_settings(trials: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    """One row per search: its best trial (the first one of ties), and the best of the same number of random settings.

    Args:
        trials: rows of `search_trials`.
        random: rows of `random_best`.

    Returns:
        dataset, architecture, method, n_dis, sampler, label, line, search, rounds, trials, scored, diverged, failed,
        stopped, unscored; score, score_label, setting (as text), learning_rate, beta1, beta2, penalty_weight, trial_id
        and best_step of the best trial (empty if scored is 0); pool (number of comparable random settings) and
        random_low, random_median, random_high, the best of `trials` of them (NaN if there are fewer).
    """
    comparable = {key: rows.set_index("k") for key, rows in random.groupby(["dataset", "label", "n_dis"])}
    searches = trials.groupby("search", sort=False)
    return pd.DataFrame(
        [_chosen(rows, comparable.get(tuple(rows.iloc[0][["dataset", "label", "n_dis"]]))) for _, rows in searches]
    )


def _chosen(rows: pd.DataFrame, random: pd.DataFrame | None) -> dict[str, Any]:
    first, scored = rows.iloc[0], rows[rows["score"].notna()]
    best = scored.sort_values("score", kind="stable").iloc[0] if len(scored) else None
    random_best_row = {} if random is None or len(rows) not in random.index else dict(random.loc[len(rows)])
    result = ("score", "learning_rate", "beta1", "beta2", "penalty_weight", "trial_id", "best_step")
    return {
        **{name: first[name] for name in ("dataset", "architecture", "method", "n_dis", "sampler", "label", "line")},
        "search": first["search"],
        "rounds": rows["round"].nunique(),
        "trials": len(rows),
        **{name: int((rows["outcome"] == name).sum()) for name in OUTCOMES},
        "score_label": score_label(first),
        "setting": None if best is None else setting(best),
        **{name: None if best is None else best[name] for name in result},
        "pool": 0 if random is None else int(random["pool"].iloc[0]),
        **{f"random_{name}": random_best_row.get(name, math.nan) for name in QUANTILES},
    }
