"""Captions of figures and tables: selection rule, pool, unfinished trials, and the metric protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames.hyperparameters.searches import UNSCORED
from analysis.rows.labels import abbreviations, in_words
from analysis.rows.load import describe_protocol
from analysis.rows.scores import SPLIT_BY_N_DIS, most_frequent_training
from analysis.rows.view import Rows
from study.core.text import plural
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label

OUTCOMES_IN_WORDS = {
    DIVERGED: "diverged",
    FAILED: "failed",
    STOPPED: "stopped early and so without a score",
    UNSCORED: "finished without a score",
}


def rule_and_pool(rows: Rows) -> str:
    """The selection rule and the pool, as a sentence."""
    return f"Score: {rows.rule.words}; pool: {rows.pool.words}."


def adaptive(rows: Rows) -> list[str]:
    """A sentence if some trials were selected by the scores of others; else none."""
    count = int(rows.adaptive.sum())
    trials = f"{count} {plural(count, 'trial was', 'trials were')}"
    return [f"{trials} chosen by the scores of others: adaptive, not exchangeable."] if count else []


def dataset_sentences(trials: pd.DataFrame) -> list[str]:
    """One or two sentences per dataset: outcomes of trials, score and protocol."""
    lines = []
    for dataset, rows in trials.groupby("dataset"):
        status = rows["status"]
        scored = np.isfinite(rows["best_frechet_distance"])
        unscored, stopped = int(((status == FINISHED) & ~scored).sum()), int((status == STOPPED).sum())
        whole = len(rows) - stopped
        lines.append(
            f"{dataset}: {whole} {plural(whole, 'trial')}, {(status == DIVERGED).sum()} diverged, "
            f"{(status == FAILED).sum()} failed{f', {unscored} finished without a score' if unscored else ''}; "
            f"{scoring_and_training(rows)}"
        )
        if stopped:
            more = plural(stopped, "was stopped early and is", "were stopped early and are")
            lines.append(f"{stopped} more {more} left out, so that the others are a selection.")
    return lines


def scoring_and_training(rows: pd.DataFrame) -> str:
    """The score, protocol and default training of the trials of one dataset; the end of a sentence."""
    row, (usual,) = rows.iloc[0], most_frequent_training(rows).values()
    return f"{score_label(row)}, protocol {row['protocol_id']} ({describe_protocol(row)}){training_defaults(usual)}."


def training_defaults(values: Mapping[str, Any]) -> str:
    """The training of the trials of a dataset whose labels do not state another one; "" if training does not vary.

    >>> training_defaults({"discriminator_steps": 500}), training_defaults({})
    ('; discriminator steps 500 unless a label says otherwise', '')
    """
    parts = ", ".join(f"{in_words(column)} {value}" for column, value in values.items())
    return f"; {parts} unless a label says otherwise" if parts else ""


def common(rows: Rows, *first: str) -> str:
    """The figure's own sentences `first`, followed by those that all figures of methods need; one per line."""
    lines = [
        *first,
        rule_and_pool(rows),
        *adaptive(rows),
        *dataset_sentences(rows.trials),
        *_abbreviations(rows.trials),
    ]
    return "\n".join(lines)


def _abbreviations(trials: pd.DataFrame) -> list[str]:
    """The sentence about the abbreviations in the methods' labels; empty if there are none."""
    known = abbreviations(trials["method"].unique())
    return [f"{known}."] if known else []


def top_caption(marked: pd.DataFrame) -> str:
    """The caption of the figure or table of `marked`: rule, pool, protocol, and unfinished trials.

    One sentence per line.
    """
    first = marked.iloc[0]
    split = ", except GP (n_dis 1) and GP 5 (n_dis 5)" if marked["penalty"].isin(SPLIT_BY_N_DIS).any() else ""
    lines = [
        (
            f"Box: the best {100 * first['fraction']:g} % (k, rounded up) of a method's n trials, by {first['rule']}; "
            "diverged, failed and unscored trials rank last."
        ),
        f"Pool: {first['pool']}; all n_dis of a method together{split}.",
    ]
    lines += dataset_sentences(marked)
    return "\n".join([*lines, *_abbreviations(marked)])


def round_caption(trials: pd.DataFrame, random: pd.DataFrame) -> str:
    """The caption of the figure or tables of `trials` and `random`; one sentence per line."""
    lines = [
        "Best so far: over the trials of a search that have a row, in the order in which they were proposed; all "
        "trials of a round are proposed together.",
        "Bayesian trials are adaptive, not exchangeable: their spread is not an error bar, and the best of many noisy "
        "trainings is optimistically biased.",
    ]
    if len(random):
        sizes = sorted(random["pool"].unique())
        pool = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        lines.append(
            f"Random search: the best of the same number of settings, drawn without replacement from {pool} random "
            "settings of the same method, n_dis and training; median and 5-95 % band, exact. Diverged, failed and "
            "unscored settings rank last: there is no line where the median falls on one of them, and the band is open "
            "above where its upper end does. The band narrows as the number of settings approaches the pool size."
        )
    for dataset, rows in trials.groupby("dataset"):
        counts = rows["outcome"].value_counts()
        parts = [f"{counts[name]} {words}" for name, words in OUTCOMES_IN_WORDS.items() if name in counts]
        lines.append(
            f"{dataset}: {', '.join([f'{len(rows)} trials', *parts])}; searches: {rows['search'].nunique()}; "
            f"{scoring_and_training(rows)}"
        )
    return "\n".join([*lines, *_abbreviations(trials)])
