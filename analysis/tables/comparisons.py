"""Methods against each other at equal numbers of trainings, with intervals that hold together."""

from collections.abc import Iterator

import pandas as pd

from analysis.captions import common
from analysis.compare import HIGHER, LOWER, compare
from analysis.figures.kind import NotEnough
from analysis.ink import score_name
from analysis.rows import Rows
from analysis.scores import pools
from analysis.tables.formats import interval, number
from analysis.tables.kind import Block, TableKind

MOST = 15
"""Methods of a dataset of which all pairs are compared; of more each is compared with the first alone."""


def compute(rows: Rows) -> pd.DataFrame:
    """`analysis.compare.compare` and score_label; of more than 15 methods of a dataset the pairs with its first.

    Raises:
        NotEnough: no dataset has two methods, or nothing was scored.
    """
    if rows.scored["score"].isna().all():
        raise NotEnough("No trial has a score.")
    labels: dict[str, list[str]] = {}
    for dataset, label in pools(rows.scored):
        labels.setdefault(dataset, []).append(label)
    made = []
    for dataset, names in labels.items():
        pairs = None if len(names) <= MOST else [(name, names[0]) for name in names[1:]]
        here = rows.scored[rows.scored["dataset"] == dataset]
        made.append(compare(here, rows.fraction, rows.level, pairs))
    table = pd.concat([each for each in made if len(each)] or made, ignore_index=True)
    if table.empty:
        raise NotEnough("A comparison needs two methods on a dataset; these rows have one.")
    return table.assign(score_label=table["dataset"].map(score_name(rows.trials)))


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per pair."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        cells = {
            "a": list(rows["a"]),
            "b": list(rows["b"]),
            "trainings": [f"{row['n_a']:,} : {row['n_b']:,}" for row in lines],
            "raw": [f"{number(row['raw_a'])} : {number(row['raw_b'])}" for row in lines],
            "best": [f"{100 * row['fraction']:.3g} %" for row in lines],
            "of each": [f"{row['budget']:,}" for row in lines],
            "at equal budgets": [f"{number(row['equal_a'])} : {number(row['equal_b'])}" for row in lines],
            "a - b": [number(row["difference"]) for row in lines],
            "interval": [interval(row["low"], row["high"]) for row in lines],
            "P(a better)": [
                f"{row['improvement']:.2f} [{row['improvement_low']:.2f}, {row['improvement_high']:.2f}]"
                for row in lines
            ],
            "verdict": [_verdict(row["verdict"], row["a"], row["b"]) for row in lines],
        }
        yield f"{dataset}: {rows['score_label'].iloc[0]}, medians of the best of each method", cells


def _verdict(verdict: str, a: str, b: str) -> str:
    return {LOWER: f"{a} lower", HIGHER: f"{b} lower"}.get(verdict, verdict)


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """How they are compared."""
    first = table.groupby("dataset")["b"].nunique().eq(1) & table.groupby("dataset").size().gt(MOST - 1)
    return common(
        rows,
        f"Raw: the median of the best {100 * rows.fraction:g} % of all trainings of a and of b.",
        "At equal budgets: the same of as many trainings of each, those of the smaller pool, its mean over all draws; "
        f"best: of which share, the least of {100 * rows.fraction:g} % or more that has an interval there.",
        "P(a better): the chance that a training of a is lower than one of b.",
        f"Intervals hold together with {100 * rows.level:g} % for all pairs of a dataset (Bonferroni); order "
        "statistics and MOVER. Not resolved: the interval spans zero; no interval: too few trainings for any.",
        *(f"{dataset}: more than {MOST} methods, each against the first alone." for dataset in first.index[first]),
    )


TABLE = TableKind(name="comparisons", title="Methods at equal budgets", compute=compute, words=words, caption=caption)
