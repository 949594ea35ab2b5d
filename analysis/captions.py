"""What a reader must know beside any figure or table: rule, pool, what did not finish, and the metric protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.load import describe_protocol
from analysis.rows import Rows
from analysis.scores import usual_training
from analysis.style import abbreviations, in_words
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label


def rule_and_pool(rows: Rows) -> str:
    """Which score stands for a trial, and what counts as one."""
    return f"Score: {rows.rule.words}; pool: {rows.pool.words}."


def adaptive(rows: Rows) -> list[str]:
    """A sentence, where some of the trials are there for the scores of others."""
    count = int(rows.adaptive.sum())
    return [f"{count} trials were chosen by the scores of others: adaptive, not exchangeable."] if count else []


def of_datasets(trials: pd.DataFrame) -> list[str]:
    """A sentence or two per dataset: trials by how they ended, score and protocol."""
    lines = []
    for dataset, rows in trials.groupby("dataset"):
        status = rows["status"]
        scored = np.isfinite(rows["best_frechet_distance"])
        unscored, stopped = int(((status == FINISHED) & ~scored).sum()), int((status == STOPPED).sum())
        lines.append(
            f"{dataset}: {len(rows) - stopped} trials, {(status == DIVERGED).sum()} diverged, "
            f"{(status == FAILED).sum()} failed{f', {unscored} finished without a score' if unscored else ''}; "
            f"{measured(rows)}"
        )
        if stopped:
            lines.append(f"{stopped} more were stopped early and are left out, so that the others are a selection.")
    return lines


def measured(rows: pd.DataFrame) -> str:
    """How the trials of one dataset were scored, and trained where no label says otherwise; ends a sentence."""
    row, (usual,) = rows.iloc[0], usual_training(rows).values()
    return f"{score_label(row)}, protocol {row['protocol_id']} ({describe_protocol(row)}){said_of_usual(usual)}."


def said_of_usual(values: Mapping[str, Any]) -> str:
    """What goes for the trials of a dataset whose labels say nothing else; "" where labels have nothing to say.

    >>> said_of_usual({"discriminator_steps": 500}), said_of_usual({})
    ('; discriminator steps 500 unless a label says otherwise', '')
    """
    told = ", ".join(f"{in_words(column)} {value}" for column, value in values.items())
    return f"; {told} unless a label says otherwise" if told else ""


def common(rows: Rows, *first: str) -> str:
    """The sentences `first`, which are the figure's own, and those that all figures of methods need; one per line."""
    known = abbreviations(rows.trials["method"].unique())
    lines = [*first, rule_and_pool(rows), *adaptive(rows), *of_datasets(rows.trials), *([known + "."] if known else [])]
    return "\n".join(lines)
