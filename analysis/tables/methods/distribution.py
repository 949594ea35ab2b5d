"""Quantiles of the scores of each method."""

from collections.abc import Iterator

import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.frames.methods.distribution import distribution_table
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import bounded, count, interval, number, percents
from analysis.tables.table import Block, TableKind


def compute(rows: Rows) -> pd.DataFrame:
    """`distribution_table`."""
    if rows.scored["score"].isna().all():
        raise NotEnough("No trial has a score.")
    return distribution_table(rows.scored, rows.level)


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per method."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        yield (
            f"{dataset}: {rows['score_label'].iloc[0]}, all scores of each method",
            {
                "method": list(rows["method"]),
                "n": [count(row["n"]) for row in lines],
                "diverged": [count(row["diverged"]) for row in lines],
                "failed": [count(row["failed"]) for row in lines],
                "best": [number(row["best"]) for row in lines],
                "q1": [number(row["q1"]) for row in lines],
                "median": [bounded(number(row["median"]), interval(row["low"], row["high"])) for row in lines],
                "q3": [number(row["q3"]) for row in lines],
                "within twice the best": [
                    bounded(f"{100 * row['close']:.0f} %", percents(row["close_low"], row["close_high"], sign=False))
                    for row in lines
                ],
            },
        )


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: columns and intervals."""
    return common(
        rows,
        "Trainings without a score rank last and count in n; a dash means that a quantile falls on one of them.",
        "Within twice the best: share of a method's trainings with a score of at most twice the dataset's best.",
        f"Intervals of {100 * rows.level:g} %: order statistics for the median, Clopper and Pearson for the share.",
    )


TABLE = TableKind(name="distribution", title="All scores of each method", compute=compute, words=words, caption=caption)
