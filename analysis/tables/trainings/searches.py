"""Results of the searches of `study bo`: the best score so far by round, and the best settings."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.figures.drawing.captions import round_caption
from analysis.frames.hyperparameters.random_search import random_best
from analysis.frames.hyperparameters.searches import chosen_settings, round_table, search_trials
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import number
from analysis.tables.table import Block, TableKind
from search_spaces.ranges import BO
from study.core.text import plural

AFTER = "best_after_round_"


def compute(rows: Rows) -> pd.DataFrame:
    """One row per search: `chosen_settings`, and best_after_round_R for each round R."""
    _, rounds, chosen, _ = _frames(rows)
    best = rounds.pivot(index="search", columns="round", values="best_so_far").add_prefix(AFTER)
    return chosen.merge(best, left_on="search", right_index=True)


def _frames(rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """trials, rounds, chosen, random; as `SearchReport`. Its rule is the best scored checkpoint."""
    proposed = rows.members["trial_id"][rows.members["space"] == BO]
    if rows.folder is None or not rows.trials["trial_id"].isin(proposed).any():
        raise NotEnough("No search has a trial among these rows; run one with `study bo --results DIR`.")
    trials = search_trials(rows.trials, rows.folder)
    random = random_best(trials, rows.trials, rows.folder)
    return trials, round_table(trials), chosen_settings(trials, random), random


def words(table: pd.DataFrame) -> Iterator[Block]:
    """The blocks of `search_words`."""
    names = [name for name in table.columns if str(name).startswith(AFTER)]
    rounds = table.melt(["dataset", "search"], names, "round", "best_so_far")
    rounds["round"] = rounds["round"].str.removeprefix(AFTER).astype(int)
    return search_words(rounds, table)


def search_words(rounds: pd.DataFrame, chosen: pd.DataFrame) -> Iterator[Block]:
    """The text of `round_table` and `chosen_settings`: two blocks per dataset.

    Rounds at powers of two and the last round are shown.
    """
    for dataset, rows in chosen.groupby("dataset", sort=False):
        names = [f"{row['label']}, {row['line']}" for _, row in rows.iterrows()]
        best = rounds[rounds["dataset"] == dataset].pivot(index="search", columns="round", values="best_so_far")
        best = best.ffill(axis=1).loc[rows["search"]]
        last = rounds["round"].max()
        shown = [after for after in best.columns.astype(int) if after == last or after.bit_count() == 1]
        cells = {"search": names, **{f"{after}": [number(score) for score in best[after]] for after in shown}}
        if rows["pool"].any():
            cells["random search [5, 95 %]"] = [_random(row) for _, row in rows.iterrows()]
        yield f"{dataset}: best {rows['score_label'].iloc[0]} so far, by round", cells
        counts = ("trials", "diverged", "failed", *(["stopped"] if rows["stopped"].any() else []))
        cells = {"search": names, **{name: [f"{n}" for n in rows[name]] for name in counts}}
        cells["chosen setting"] = list(rows["setting"].fillna("no trial has a score"))
        cells["trial"] = list(rows["trial_id"].fillna("-"))
        yield f"{dataset}: the chosen settings", cells


def _random(row: "pd.Series[Any]") -> str:
    if row["pool"] < row["trials"]:
        return f"only {row['pool']} {plural(row['pool'], 'setting')}" if row["pool"] else "-"
    low, median, high = (number(row[f"random_{name}"]) for name in ("low", "median", "high"))
    return f"{median} [{low}, {high}]"


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption of the figure `bo`, without its legend."""
    trials, _, _, random = _frames(rows)
    return round_caption(trials, random)


TABLE = TableKind(
    name="searches", title="What the Bayesian searches found", compute=compute, words=words, caption=caption
)
