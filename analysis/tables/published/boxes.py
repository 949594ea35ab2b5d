"""The medians of our best 5 % compared with those of the paper's Figures 1 to 4."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.frames.methods.top import marked_top, top_table
from analysis.paper import BOX, boxes
from analysis.paper.comparison import paired_boxes
from analysis.rows.scores import pools
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import count, interval, number
from analysis.statistics.intervals import quantile_interval
from analysis.tables.table import Block, TableKind

COMPARED, MISSING, OFF_PLOT, NO_SCORE = "compared", "missing", "off the paper's plot", "no score"
FRACTION = 0.05
"""The paper's share of a method's models (section 3, item 1)."""


def compute(rows: Rows) -> pd.DataFrame:
    """One row per box of the paper on the datasets of the rows, including boxes without a method of ours.

    Returns:
        figure, dataset, architecture, label (the paper's), method (our label; missing if none); the paper's
        box with at_least, error, certainty, source and note; trials, k, median_ours, low, high (the interval of that
        median, by order statistics at the level of `rows`); difference (ours - the paper's, NaN if not
        comparable), status (compared, missing, no score, off the paper's plot, or the reason), training (differences of
        ours) and score_label.

    Raises:
        NotEnough: none of the datasets is in the paper's figures.
    """
    marked = marked_top(rows)
    beside = paired_boxes(marked)
    if beside.empty:
        known = ", ".join(boxes()["dataset"].unique())
        raise NotEnough(f"The paper's Figures 1 to 4 show {known}; none of them is in these rows.")
    ours = top_table(marked)[["dataset", "method", "trials", "k", "median"]].merge(_intervals(rows))
    table = beside.drop(columns="method").rename(columns={"method_label": "method"})
    table = table.merge(ours, on=["dataset", "method"], how="left", suffixes=("", "_ours"))
    table["status"] = [_status(row, rows.fraction) for _, row in table.iterrows()]
    difference = table["median_ours"] - table["median"]
    table["difference"] = difference.where(table["status"] == COMPARED)
    table = rows.with_score_label(table)
    names = [
        "figure",
        "dataset",
        "architecture",
        "label",
        "method",
        *BOX,
        "at_least",
        "error",
        "certainty",
        "source",
        "note",
    ]
    result = ["trials", "k", "median_ours", "low", "high", "difference", "status", "training", "score_label"]
    return table[[*names, *result]].sort_values("dataset", kind="stable", ignore_index=True)


def _intervals(rows: Rows) -> pd.DataFrame:
    """The interval of the median of the best `fraction` of each method: the quantile at fraction / 2."""
    result = [
        (dataset, label, *quantile_interval(pool["score"], rows.fraction / 2, rows.level))
        for (dataset, label), pool in pools(rows.scored).items()
    ]
    return pd.DataFrame(result, columns=["dataset", "method", "low", "high"])


def _status(row: "pd.Series[Any]", fraction: float) -> str:
    if pd.isna(row["method"]):
        return MISSING
    if row["protocol"]:
        return f"not comparable: {row['protocol']}"
    if fraction != FRACTION:
        return f"not comparable: the best {100 * fraction:g} %, the paper's {100 * FRACTION:g} %"
    if np.isnan(row["median"]):
        return OFF_PLOT
    return NO_SCORE if np.isnan(row["median_ours"]) else COMPARED


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per box of the paper."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        cells = {
            "figure": [f"{row['figure']}" for row in lines],
            "paper's label": list(rows["label"]),
            "networks": list(rows["architecture"]),
            "median [q1, q3]": [_box(row) for row in lines],
            "+-": [f"{row['error']:g}" for row in lines],
            "method": list(rows["method"].fillna("-")),
            "trials": [count(row["trials"]) for row in lines],
            "k": [count(row["k"]) for row in lines],
            "our median": [number(row["median_ours"]) for row in lines],
            "interval": ["-" if np.isnan(row["median_ours"]) else interval(row["low"], row["high"]) for row in lines],
            "difference": [f"{row['difference']:+.1f}" if row["status"] == COMPARED else "-" for row in lines],
            "status": [_status_text(row) for row in lines],
        }
        label = rows["score_label"].iloc[0]
        yield f"{dataset}: the paper's FID, and our {label}; the best of each method", cells


def _box(row: dict[Any, Any]) -> str:
    """The median and the quartiles; > marks a lower bound, where the plot ends."""
    q1, median, q3 = (f"{'>' if row['at_least'] == name else ''}{row[name]:g}" for name in ("q1", "median", "q3"))
    return "-" if np.isnan(row["median"]) else f"{median} [{q1}, {q3}]"


def _status_text(row: dict[Any, Any]) -> str:
    """The status, and the differences of the training if there is a comparison."""
    return f"{row['status']}; {row['training']}" if row["status"] == COMPARED and row["training"] else row["status"]


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: sources and columns."""
    return common(
        rows,
        f"Paper: boxes of Figures 1 to 4 (Kurach et al., 2019), {', '.join(sorted(set(table['certainty'])))}: read off "
        "the plots, with an error of about +-; the pool size is not known (120 to 264 settings). GP5 etc.: n_dis 5.",
        f"Ours: the median of the best {100 * rows.fraction:g} % of a method's trials; interval: of that median, "
        f"{100 * rows.level:g} % each, by order statistics; the paper's boxes have no intervals, so there is "
        "no verdict.",
        "A difference is given only for FIDs under the paper's metric protocol. Missing: we have no such trials.",
    )


TABLE = TableKind(
    name="paper", title="Comparison with the paper's Figures 1 to 4", compute=compute, words=words, caption=caption
)
