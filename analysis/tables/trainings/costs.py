"""The time per discriminator update of each method."""

from collections.abc import Iterator

import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.figures.trainings.cost import compute as compute_figure
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import bounded, count, interval, number
from analysis.tables.table import Block, TableKind


def compute(rows: Rows) -> pd.DataFrame:
    """`update_cost`; raises NotEnough if no training was timed to its end."""
    table = compute_figure(rows)["updates"]
    if table.empty:
        raise NotEnough("The cost of an update needs a finished training on one machine without interruption.")
    return table


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset and machine, a line per method."""
    for (dataset, machine), rows in table.groupby(["dataset", "machine"], sort=False):
        lines = rows.to_dict("records")
        yield (
            f"{dataset}: milliseconds per discriminator update on {machine}",
            {
                "method": list(rows["method"]),
                "trainings": [count(row["n"]) for row in lines],
                "ms": [
                    bounded(number(row["milliseconds"]), interval(row["milliseconds_low"], row["milliseconds_high"]))
                    for row in lines
                ],
                "over W/O": [bounded(number(row["ratio"]), interval(row["low"], row["high"])) for row in lines],
                "verdict": [row["verdict"] for row in lines],
            },
        )


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: measurements and ratios."""
    return common(
        rows,
        "Seconds of training, without scoring, per discriminator update, including generator updates; medians of "
        "trainings that ran on one machine without interruption.",
        "Over W/O: the ratio to otherwise equal trainings without any normalisation or penalty; simultaneous intervals "
        f"at {100 * rows.level:g} % (order statistics of logarithms). Other load on the machine affects all numbers.",
    )


TABLE = TableKind(name="costs", title="What an update costs", compute=compute, words=words, caption=caption)
