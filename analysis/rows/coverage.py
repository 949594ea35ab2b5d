"""What of a study's plan is there, what is missing, and why trials have no score."""

import re

import pandas as pd

from analysis.rows.scores import labels
from analysis.rows.view import Rows
from study.storage.files import listed
from study.storage.schema import DIVERGED, FAILED, STATUSES

OTHER, BEGUN, MISSING = "other_protocol", "begun", "missing"
PLACES = (*STATUSES, OTHER, BEGUN, MISSING)
"""Where a planned trial can stand; each stands in one."""
_STATE = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}\.pt")
_STEP = r" at step (\d+)"
_NUMBER = r"0x[0-9a-f]+|\d+(?:\.\d+)?"


def coverage(rows: Rows) -> pd.DataFrame:
    """How much of what each space planned has a row under the protocol that is looked at.

    Contexts of datasets that `rows` leaves out are left out; those of datasets that have no row yet are not.

    Returns:
        One row per space and context (the dataset; in `bo` the search), as recorded: space, context, planned, and of
        them those finished, diverged, failed, stopped; other_protocol (a row under another protocol only), begun (no
        row, but a state: they run, or were interrupted) and missing (nothing yet). Empty where no plan was recorded.
    """
    if rows.members.empty:
        return pd.DataFrame(columns=["space", "context", "planned", *PLACES])
    left_out = set(rows.everything["dataset"]) - set(rows.trials["dataset"])
    members = rows.members[~rows.members["context"].str.partition(" ")[0].isin(left_out)]
    stands = members["trial_id"].map(rows.trials.set_index("trial_id")["status"]).astype(object)
    elsewhere = members["trial_id"].isin(rows.everything["trial_id"])
    state = members["trial_id"].isin(_with_state(rows))
    stands = stands.where(stands.notna() | ~elsewhere, OTHER)
    stands = stands.where(stands.notna() | ~state, BEGUN).fillna(MISSING)
    places = pd.DataFrame({place: stands == place for place in PLACES})
    told = pd.concat([members[["space", "context"]].assign(planned=1), places], axis=1)
    return told.groupby(["space", "context"], sort=False, as_index=False).sum()


def count_without_row(rows: Rows) -> int:
    """Planned trials, each once, that have no row under any protocol."""
    return int((~rows.members["trial_id"].drop_duplicates().isin(rows.everything["trial_id"])).sum())


def _with_state(rows: Rows) -> set[str]:
    if rows.folder is None:
        return set()
    names = (path.name for path in listed(rows.folder / "unfinished", "*.pt"))
    return {match[1] for name in names if (match := _STATE.fullmatch(name))}


def failure_reasons(rows: Rows) -> pd.DataFrame:
    """What diverged or failed, by reason; reasons that differ in numbers alone (bytes, steps, addresses) are one.

    Returns:
        dataset, status, reason (of the first; without its step where reasons name one), trials, first_step and
        last_step (the range of those steps; NaN where none is named), methods (labels with their counts, the most
        frequent first), trial_id (the first). Failures first, then by number. Empty where nothing went wrong.
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
    made = wrong.groupby(keys).agg(
        reason=("reason", "first"),
        trials=("trial_id", "size"),
        first_step=("step", "min"),
        last_step=("step", "max"),
        trial_id=("trial_id", "first"),
    )
    counts = wrong.groupby(keys)["label"].value_counts().reset_index()
    counts["text"] = counts["label"] + " " + counts["count"].astype(str)
    made["methods"] = counts.groupby(keys)["text"].agg(", ".join)
    made = made.reset_index().assign(failed=lambda frame: frame["status"] == FAILED)
    ordered = made.sort_values(["dataset", "failed", "trials"], ascending=[True, False, False], kind="stable")
    columns = ["dataset", "status", "reason", "trials", "first_step", "last_step", "methods", "trial_id"]
    return ordered[columns].reset_index(drop=True)
