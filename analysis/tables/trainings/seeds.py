"""The variation between seeds of one setting, for each method."""

from collections.abc import Iterator

import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.figures.trainings.seeds import compute as compute_figure
from analysis.rows.view import Rows
from analysis.statistics.formatting import bounded, count, interval, number, percents
from analysis.tables.table import Block, TableKind


def compute(rows: Rows) -> pd.DataFrame:
    """`seed_table` of the settings with several seeds."""
    return compute_figure(rows)["table"]


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per method."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        yield (
            f"{dataset}: {rows['score_label'].iloc[0]}, seeds of the same setting",
            {
                "method": list(rows["method"]),
                "settings": [count(row["settings"]) for row in lines],
                "trainings": [count(row["trainings"]) for row in lines],
                "unscored": [count(row["unscored"]) for row in lines],
                "sd": [bounded(number(row["sd"]), interval(row["sd_low"], row["sd_high"])) for row in lines],
                "cv": [
                    bounded(f"{100 * row['cv']:.1f} %", percents(row["cv_low"], row["cv_high"], sign=False))
                    for row in lines
                ],
                "range": [
                    bounded(f"{100 * row['range']:.1f} %", percents(row["range_low"], row["range_high"], sign=False))
                    for row in lines
                ],
                "between settings": [
                    bounded(number(row["between"]), interval(row["between_low"], row["between_high"])) for row in lines
                ],
            },
        )


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: measures and intervals."""
    return common(
        rows,
        "sd: standard deviation between seeds of a setting, pooled; cv: the same over the setting's mean; "
        "range: (highest - lowest) / median of a setting, the median over settings.",
        "Between settings: share of the variance of ranked scores between settings, not between seeds.",
        f"Intervals of {100 * rows.level:g} %: studentised bootstraps over settings for sd and cv, order statistics "
        "for the range, Searle's for the share.",
    )


TABLE = TableKind(name="seeds", title="Seeds of one setting", compute=compute, words=words, caption=caption)
