"""The best few per cent of each method: the median, and the best trial with its setting."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.figures.drawing.captions import adaptive, top_caption
from analysis.frames.methods.top import marked_top, top_table
from analysis.rows.view import Rows
from analysis.statistics.formatting import number
from analysis.tables.table import Block, TableKind


def compute(rows: Rows) -> pd.DataFrame:
    """`top_table`; it has rows even if no trial has a score."""
    return top_table(marked_top(rows))


def words(table: pd.DataFrame) -> Iterator[Block]:
    """(title, column -> cells) per dataset of a table of `top_table`, as text.

    The median of a single trial is shown without quartiles.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        cells = {
            "method": list(rows["method"]),
            "trials": [f"{n}" for n in rows["trials"]],
            "diverged": [f"{n}" for n in rows["diverged"]],
            "failed": [f"{n}" for n in rows["failed"]],
            **({"stopped": [f"{n}" for n in rows["stopped"]]} if rows["stopped"].any() else {}),
            "k": [f"{k}" if k == n else f"{k} ({n} scored)" for k, n in zip(rows["k"], rows["scored"], strict=True)],
            "top-k median [q1, q3]": [_median(row) for _, row in rows.iterrows()],
            "best": [number(score) for score in rows["best"]],
            "best setting": list(rows["best_setting"].fillna("no trial has a score")),
        }
        first = rows.iloc[0]
        title = f"{dataset}: {first['score_label']}, top {100 * first['fraction']:g} % of each method"
        yield title, cells


def _median(row: "pd.Series[Any]") -> str:
    quartiles = f" [{number(row['q1'])}, {number(row['q3'])}]" if row["scored"] > 1 else ""
    return f"{number(row['median'])}{quartiles}"


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption of the figure `top`, for all trials of any pool."""
    shared = top_caption(rows.trials.assign(fraction=rows.fraction, rule=rows.rule.words, pool=rows.pool.words))
    return "\n".join([shared, *adaptive(rows)])


TABLE = TableKind(name="best", title="Best and median of each method", compute=compute, words=words, caption=caption)
