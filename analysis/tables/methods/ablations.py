"""Paired ablations: pairs of trainings that differ in one factor."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.figures.methods.ablation import compute as compute_figure
from analysis.rows.labels import in_words
from analysis.rows.scores import TRAININGS
from analysis.rows.view import Rows
from analysis.statistics.formatting import count, percent, percents
from analysis.tables.table import Block, TableKind


def compute(rows: Rows) -> pd.DataFrame:
    """`paired_ablations`, and score_label."""
    return compute_figure(rows)["table"]


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per change."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        yield (
            f"{dataset}: change of {rows['score_label'].iloc[0]} when one factor changes",
            {
                "factor": [in_words(str(row["factor"])) for row in lines],
                "from": [str(row["from"]) for row in lines],
                "to": [str(row["to"]) for row in lines],
                "pairs": [count(row["pairs"]) for row in lines],
                "unscored": [count(row["unscored"]) for row in lines],
                "median change": [percent(row["median"]) for row in lines],
                "interval": [percents(row["low"], row["high"]) for row in lines],
                "improved": [f"{100 * row['improved']:.0f} %" for row in lines],
                "verdict": [row["verdict"] for row in lines],
            },
        )


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: pairs and intervals."""
    return common(
        replace(rows, pool=TRAININGS),
        "Pairs: trainings that are equal in everything but the factor, including seed and hyperparameters; below 0 is "
        "better; improved: the share of pairs below 0.",
        f"Interval of the median change: order statistics, simultaneous for a dataset at {100 * rows.level:g} % "
        "(Bonferroni). A training without a score ranks last; a pair of two such trainings is a tie.",
    )


TABLE = TableKind(name="ablations", title="One change at a time", compute=compute, words=words, caption=caption)
