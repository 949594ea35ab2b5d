"""Pairwise comparisons of methods at equal numbers of trainings, with simultaneous intervals."""

import itertools
from collections.abc import Iterator

import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.frames.methods.compare import HIGHER, LOWER, compare
from analysis.rows.labels import CONTEXT
from analysis.rows.scores import pools
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import interval, number
from analysis.tables.table import Block, TableKind

MOST = 120
"""Maximum number of pairs of a dataset; beyond it, each method is compared only with the first of its context."""


def compute(rows: Rows) -> pd.DataFrame:
    """`compare` of the pairs of `compared_pairs` among `rows.without_adaptive`, and score_label.

    Raises:
        NotEnough: no dataset has two methods, or no trial has a score.
    """
    rows = rows.without_adaptive
    if rows.scored["score"].isna().all():
        raise NotEnough("No trial has a score.")
    labels: dict[str, list[str]] = {}
    for dataset, label in pools(rows.scored):
        labels.setdefault(dataset, []).append(label)
    records = [
        compare(rows.scored[rows.scored["dataset"] == dataset], rows.fraction, rows.level, pairs)
        for dataset, names in labels.items()
        if (pairs := compared_pairs(names))
    ]
    if not records:
        raise NotEnough("A comparison needs two methods on a dataset, or one method in two contexts.")
    table = pd.concat(records, ignore_index=True)
    return rows.with_score_label(table)


def compared_pairs(names: list[str]) -> list[tuple[str, str]]:
    """The pairs of labels that differ either in the method or in the context (architecture, training).

    Beyond MOST pairs, only those of each method and the first of its context.

    >>> compared_pairs(["W/O, sndcgan", "SN, sndcgan", "SN, resnet19"])
    [('W/O, sndcgan', 'SN, sndcgan'), ('SN, sndcgan', 'SN, resnet19')]
    """
    parts = {name: name.partition(CONTEXT) for name in names}
    pairs = [
        (a, b) for a, b in itertools.combinations(names, 2) if parts[a][2] == parts[b][2] or parts[a][0] == parts[b][0]
    ]
    if len(pairs) <= MOST:
        return pairs
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(parts[name][2], name)
    return [(name, first[parts[name][2]]) for name in names if first[parts[name][2]] != name]


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per pair."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = rows.to_dict("records")
        cells = {
            "a": list(rows["a"]),
            "b": list(rows["b"]),
            "n": [f"{row['n_a']:,} : {row['n_b']:,}" for row in lines],
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
            "verdict": [{LOWER: "a lower", HIGHER: "b lower"}.get(row["verdict"], row["verdict"]) for row in lines],
        }
        yield f"{dataset}: {rows['score_label'].iloc[0]}, medians of the best of each method", cells


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: columns and intervals."""
    return common(
        rows,
        f"n: number of {rows.pool.name} of a and of b. Raw: median of the best {100 * rows.fraction:g} % of "
        "all of them.",
        f"At equal budgets: the same median for as many {rows.pool.name} of each method as the smaller pool has, mean "
        f"over draws; best: the share used, the smallest of at least {100 * rows.fraction:g} % that has an interval.",
        f"P(a better): probability that one of the {rows.pool.name} of a scores lower than one of b.",
        f"Simultaneous intervals for all pairs of a dataset at {100 * rows.level:g} % (Bonferroni), from the ranks of "
        "both pools. Not resolved: the interval contains zero; no interval: the pools are too small.",
        "Compared: methods with the same architecture and training, and each method across two of them; beyond "
        f"{MOST} pairs, each method is compared only with the first one of its architecture and training.",
        *(
            ["Trials that were selected by the scores of other trials are excluded."]
            if rows.without_adaptive is not rows
            else []
        ),
    )


TABLE = TableKind(name="comparisons", title="Methods at equal budgets", compute=compute, words=words, caption=caption)
