"""Memberships: which trials belong to which search space, with their definitions; written before they run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from study.core.errors import InputError
from study.core.trial import Trial
from study.storage.lock import locked_tables
from study.storage.schema import MEMBERSHIPS
from study.storage.tables import read_table, write_table


def add_memberships(folder: Path, space: str, context: str, trials: Sequence[Trial], round: int = 0) -> None:
    """Record that trials belong to a space, in this order, after the trials that belong to it already."""
    with locked_tables(folder) as tables_lock:
        members = [row["trial_id"] for row in memberships(folder, space, context) if row["round"] == round]
        known = set(members)
        new = {trial.id: trial for trial in trials if trial.id not in known}
        rows = [
            {
                "space": space,
                "context": context,
                "round": round,
                "order": order,
                "trial_id": trial_id,
                "trial": json.dumps(trial.to_dict(), sort_keys=True, allow_nan=False),
            }
            for order, (trial_id, trial) in enumerate(new.items(), len(members))
        ]
        if rows:
            added = pa.Table.from_pylist(rows, schema=MEMBERSHIPS)
            write_table(
                folder, "memberships", pa.concat_tables([read_table(folder, "memberships"), added]), tables_lock.check
            )


def memberships(folder: Path, space: str, context: str) -> list[dict[str, Any]]:
    """The rows of a space in a context, in the order in which they were recorded."""
    same = (pc.field("space") == space) & (pc.field("context") == context)
    rows: list[dict[str, Any]] = read_table(folder, "memberships").filter(same).to_pylist()
    return rows


def defined_trial(folder: Path, row: Mapping[str, Any]) -> Trial:
    """The trial that a row of memberships defines, under this or an earlier version of SEMANTICS.

    Raises InputError if its definition is not readable.
    """
    try:
        return Trial.from_dict(json.loads(row["trial"] or "")).identified(row["trial_id"])
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / 'memberships.parquet'}: {row['context']}, round {row['round']}: the definition of trial"
            f" {row['trial_id']} is not readable ({error}); restore the file from a copy, or choose another --results."
        ) from error
