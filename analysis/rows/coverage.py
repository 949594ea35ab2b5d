"""Planned, completed and missing trials of a study, and the reasons of divergences and failures."""

import re

import pandas as pd

from analysis.rows.scores import labels
from analysis.rows.view import Rows
from study.storage.files import list_files
from study.storage.schema import DIVERGED, FAILED, STATUSES

OTHER, BEGUN, MISSING = "other_protocol", "begun", "missing"
PLACES = (*STATUSES, OTHER, BEGUN, MISSING)
"""States of a planned trial; each trial has exactly one."""
_STATE = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}\.pt")
_STEP = r" at step (\d+)"
_NUMBER = r"0x[0-9a-f]+|\d+(?:\.\d+)?"


def coverage(rows: Rows) -> pd.DataFrame:
    """How many planned trials of each space have a row under the selected protocol.

    Contexts of datasets that `rows` excludes are excluded; contexts of datasets without any row are included.

    Returns:
        One row per space and context (the dataset; in `bo` the search), in recorded order: space, context, planned
        (number of trials), and how many of these are finished, diverged, failed, stopped, other_protocol (a row only
        under another protocol), begun (a training state but no row: running or interrupted) and missing (not started).
        Empty if no plan was recorded.
    """
    if rows.members.empty:
        return pd.DataFrame(columns=["space", "context", "planned", *PLACES])
    excluded = set(rows.everything["dataset"]) - set(rows.trials["dataset"])
    members = rows.members[~rows.members["context"].str.partition(" ")[0].isin(excluded)]
    state_of = members["trial_id"].map(rows.trials.set_index("trial_id")["status"]).astype(object)
    elsewhere = members["trial_id"].isin(rows.everything["trial_id"])
    state = members["trial_id"].isin(_with_state(rows))
    state_of = state_of.where(state_of.notna() | ~elsewhere, OTHER)
    state_of = state_of.where(state_of.notna() | ~state, BEGUN).fillna(MISSING)
    places = pd.DataFrame({place: state_of == place for place in PLACES})
    counts_by_state = pd.concat([members[["space", "context"]].assign(planned=1), places], axis=1)
    return counts_by_state.groupby(["space", "context"], sort=False, as_index=False).sum()


def count_without_row(rows: Rows) -> int:
    """Number of distinct planned trials that have no row under any protocol."""
    return int((~rows.members["trial_id"].drop_duplicates().isin(rows.everything["trial_id"])).sum())


def _with_state(rows: Rows) -> set[str]:
    if rows.folder is None:
        return set()
    names = (path.name for path in list_files(rows.folder / "unfinished", "*.pt"))
    return {match[1] for name in names if (match := _STATE.fullmatch(name))}


def failure_reasons(rows: Rows) -> pd.DataFrame:
    """Diverged and failed trials by reason; reasons that differ only in numbers (bytes, steps, addresses) are grouped.

    Returns:
        dataset, status, reason (of the first trial, without its step), trials (number), first_step and last_step (range
        of the steps in the reasons; NaN if none), methods (labels with counts, most frequent first), trial_id (the
        first). Failures first, then by number. Empty if no trial diverged or failed.
    """
    wrong = rows.trials[rows.trials["status"].isin((DIVERGED, FAILED))]
    named = labels(rows.trials).reindex(wrong.index)
    reason = wrong["reason"].fillna("no reason was recorded")
    wrong = wrong.assign(
        label=named,
        kind=reason.str.replace(_NUMBER, "#", regex=True),
        step=pd.to_numeric(reason.str.extract(_STEP)[0]),
        reason=reason.str.replace(_STEP, "", regex=True),
    )
    keys = ["dataset", "status", "kind"]
    records = wrong.groupby(keys).agg(
        reason=("reason", "first"),
        trials=("trial_id", "size"),
        first_step=("step", "min"),
        last_step=("step", "max"),
        trial_id=("trial_id", "first"),
    )
    counts = wrong.groupby(keys)["label"].value_counts().reset_index()
    counts["text"] = counts["label"] + " " + counts["count"].astype(str)
    records["methods"] = counts.groupby(keys)["text"].agg(", ".join)
    records = records.reset_index().assign(failed=lambda frame: frame["status"] == FAILED)
    ordered = records.sort_values(["dataset", "failed", "trials"], ascending=[True, False, False], kind="stable")
    columns = ["dataset", "status", "reason", "trials", "first_step", "last_step", "methods", "trial_id"]
    return ordered[columns].reset_index(drop=True)
