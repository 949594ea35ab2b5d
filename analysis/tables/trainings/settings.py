"""The best settings of each method by the median over seeds, with the spread of their seeds."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.rows.labels import paper_order
from analysis.rows.scores import HYPERPARAMETERS, SETTING, scored
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import count, interval, number
from analysis.tables.table import Block, TableKind

SHOWN = 3
"""Number of settings per method in the table."""


def compute(rows: Rows) -> pd.DataFrame:
    """The best three settings of each method, for any pool of `rows`.

    Returns:
        One row per dataset, method (its label) and setting: dataset, method, settings (number of the method), place
        (from 1), the hyperparameters, seeds (trainings), scored (of them), median (over the seeds; seeds without a
        score rank last), low, high (the lowest and highest score of a seed), spread (their difference; NaN for
        fewer than two scores), score_label.

    Raises:
        NotEnough: no setting has a median.
    """
    trials = scored(rows.trials, rows.rule)
    trials = trials.assign(ranked=trials["score"].fillna(np.inf))
    keys = list(SETTING)
    table = trials.groupby(["method_label", *keys], dropna=False, sort=False).agg(
        seeds=("score", "size"),
        scored=("score", "count"),
        median=("ranked", "median"),
        low=("score", "min"),
        high=("score", "max"),
    )
    table = table.reset_index().rename(columns={"method": "recipe", "method_label": "method"})
    table["median"] = table["median"].where(np.isfinite(table["median"]))
    table["spread"] = (table["high"] - table["low"]).where(table["scored"] > 1)
    if table["median"].isna().all():
        raise NotEnough("No setting has a median, since fewer than half of the seeds of each have a score.")
    order = {label: number for number, label in enumerate(sorted(table["method"].unique(), key=paper_order))}
    table = table.assign(order=table["method"].map(order)).sort_values(
        ["dataset", "order", "median", "learning_rate", "beta1"], ignore_index=True
    )
    methods = table.groupby(["dataset", "method"])
    table["place"], table["settings"] = methods.cumcount() + 1, methods["seeds"].transform("size")
    table = rows.with_score_label(table)
    columns = ["dataset", "method", "settings", "place", *HYPERPARAMETERS, "seeds", "scored", "median", "low", "high"]
    return table.loc[table["place"] <= SHOWN, [*columns, "spread", "score_label"]].reset_index(drop=True)


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset; a method is named once."""
    for dataset, rows in table.groupby("dataset", sort=False):
        first = rows["place"] == 1
        seeds = [f"{n}" if n == m else f"{n} ({m} scored)" for n, m in zip(rows["seeds"], rows["scored"], strict=True)]
        cells = {
            "method": list(rows["method"].where(first, "")),
            "settings": [f"{n:,}" if shown else "" for n, shown in zip(rows["settings"], first, strict=True)],
            "learning rate": [f"{value:.3g}" for value in rows["learning_rate"]],
            "β1": [f"{value:.3g}" for value in rows["beta1"]],
            "β2": [f"{value:.4g}" for value in rows["beta2"]],
            "n_dis": [count(value) for value in rows["n_dis"]],
            "λ": ["-" if pd.isna(value) else f"{value:.3g}" for value in rows["penalty_weight"]],
            "seeds": seeds,
            "median": [number(value) for value in rows["median"]],
            "over seeds": [
                interval(low, high) if n > 1 else "-"
                for low, high, n in zip(rows["low"], rows["high"], rows["scored"], strict=True)
            ],
            "spread": [number(value) for value in rows["spread"]],
        }
        yield f"{dataset}: {rows['score_label'].iloc[0]}, the best settings of each method", cells


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: columns."""
    return common(
        rows,
        f"The best {SHOWN} settings of each method, by the median over their seeds; seeds without a score rank last.",
        "Over seeds: the lowest and highest score; spread: their difference; not a confidence interval.",
        "The best of many noisy settings is optimistically biased, more so with fewer seeds.",
    )


TABLE = TableKind(name="settings", title="Best settings of each method", compute=compute, words=words, caption=caption)
