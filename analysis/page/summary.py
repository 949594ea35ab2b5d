"""The first section of the report: trials, leading methods, and unresolved comparisons."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.claims import judge
from analysis.figures.drawing.captions import adaptive
from analysis.frames.methods.overview import dataset_overview
from analysis.page.document import Item, KeyNumbers, Section, Text
from analysis.rows.coverage import count_without_row
from analysis.rows.labels import CONTEXT
from analysis.rows.provenance import times
from analysis.rows.scores import TRAININGS
from analysis.rows.view import Rows
from analysis.statistics.formatting import interval, number
from study.core.text import duration, plural

NAMED = 6
"""Maximum number of methods that a sentence names."""


def summary_section(rows: Rows, at_work: Sequence[str]) -> Section:
    """The summary section.

    Args:
        rows: the rows.
        at_work: descriptions of processes that are running trials of the folder.
    """
    result = dataset_overview(rows)
    items: list[Item] = [*_unfinished(rows, at_work), KeyNumbers(pairs=_facts(rows, result))]
    for _, row in result.iterrows():
        items.append(Text(paragraphs=[*_of_dataset(row, rows)]))
    note = " They are excluded from the comparison of methods." if rows.without_adaptive is not rows else ""
    items.append(Text(paragraphs=[*(f"{sentence}{note}" for sentence in adaptive(rows)), _of_claims(rows)]))
    return Section(name="summary", title="Summary", items=items)


def _unfinished(rows: Rows, at_work: Sequence[str]) -> list[Item]:
    """A notice if the study is not finished."""
    missing = count_without_row(rows)
    if not missing and not at_work:
        return []
    sentences = []
    if missing:
        trials, has = ("trial", "has") if missing == 1 else ("trials", "have")
        sentences.append(f"This study is not finished: {missing:,} planned {trials} {has} no row yet.")
    if at_work:
        sentences.append(f"It is running now ({'; '.join(at_work)}).")
    sentences.append("The report covers the trials that have ended, and may change.")
    return [Text(paragraphs=[" ".join(sentences)], note=True)]


def _facts(rows: Rows, result: pd.DataFrame) -> list[tuple[str, str]]:
    planned = rows.members["trial_id"].nunique()
    trials = int(result["trials"].sum())
    stopped = [("stopped early", f"{result['stopped'].sum():,}")] if result["stopped"].any() else []
    return [
        ("trials", f"{trials:,} of {planned:,}" if count_without_row(rows) else f"{trials:,}"),
        ("methods" if len(result) == 1 else "methods a dataset", " / ".join(f"{n}" for n in result["methods"])),
        ("datasets", f"{len(result)}"),
        ("diverged", f"{result['diverged'].sum():,}"),
        ("failed", f"{result['failed'].sum():,}"),
        *stopped,
        ("of training", duration(float(str(times(rows)["training_seconds"])))),
    ]


def _of_dataset(row: "pd.Series[Any]", rows: Rows) -> list[str]:
    """One paragraph about the leading method, and one about its comparisons."""
    head = f"On {row['dataset']}, by {row['score_label']}:"
    if pd.isna(row.get("leader")):
        trials, diverged, failed = (row[name] for name in ("trials", "diverged", "failed"))
        counts = f"{trials:,} {plural(trials, 'trial')}, {diverged:,} diverged, {failed:,} failed"
        return [f"{head} no trial has a score ({counts})."]
    unit = "trainings" if rows.pool == TRAININGS else "settings"
    share, confidence = f"{100 * rows.fraction:g} %", f"{100 * rows.level:g} %"
    bounds = f" {interval(row['low'], row['high'])}"
    leads = (
        f"{row['leader']} leads: the best {share} (k = {row['k']:.0f}) of its {row['n']:.0f} {unit} have the lowest "
        f"median, {number(row['median'])}{bounds if row['interval_fraction'] == rows.fraction else ''}."
    )
    return [
        f"{head} {leads} {_wider(row, rows, unit, confidence)}".strip(),
        f"{_against(row, confidence)} The best single trial is one of {row['best_method']}: {number(row['best'])} "
        f"at {row['best_setting']} (trial {row['best_trial_id']}); the best of many noisy trainings is "
        "optimistically biased.",
    ]


def _wider(row: "pd.Series[Any]", rows: Rows, unit: str, confidence: str) -> str:
    """A sentence about the interval, which is for a larger fraction if the pool is too small."""
    if row["interval_fraction"] == rows.fraction:
        return f"In brackets: the interval at {confidence}, by order statistics."
    few = f"{row['n']:.0f} {unit} are too few for an interval of that median"
    if pd.isna(row["interval_fraction"]):
        return f"{few}, or of any."
    wider = f"{100 * row['interval_fraction']:.3g} %"
    value, bounds = number(row["interval_median"]), interval(row["low"], row["high"])
    return f"{few}; for their best {wider} it is {value} {bounds} at {confidence}."


def _against(row: "pd.Series[Any]", confidence: str) -> str:
    """A sentence about the methods that the leader is significantly better than, and the unresolved ones."""
    if not (row["better_than"] or row["not_resolved"]):
        return "There is only one method, so no comparison."
    better = (
        f"better than {_list_in_words(row['better_than'])}" if row["better_than"] else "better than no other method"
    )
    unresolved = ""
    if row["not_resolved"]:
        unresolved = f". Not resolved: the comparisons with {_list_in_words(row['not_resolved'])}"
    return f"At equal numbers of trainings it is {better}, simultaneously for all pairs at {confidence}{unresolved}."


def _list_in_words(labels: Sequence[str]) -> str:
    """Names as a list in a sentence, shortened if long; labels may contain commas."""
    if len(labels) > NAMED + 1:
        return f"{'; '.join(labels[:NAMED])}; and {len(labels) - NAMED} more"
    *first, last = labels
    between = "; " if any(CONTEXT in label for label in labels) else ", "
    return f"{between.join(first)} and {last}" if first else str(last)


def _of_claims(rows: Rows) -> str:
    counts = judge(rows)["verdict"].value_counts()
    return f"The paper's claims: {'; '.join(f'{verdict} {n}' for verdict, n in counts.items())}."
