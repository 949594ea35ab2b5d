"""How a trial ends: its part file is written first, then the driver gets its `Outcome`."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from study.core.context import Context
from study.core.errors import InputError
from study.core.evaluation import Evaluation
from study.core.output import show_error
from study.core.trial import Trial
from study.storage.layout import forget_unfinished
from study.storage.parts import part_path, read_part, write_part
from study.storage.retry import write_with_retry
from study.storage.schema import FAILED, FINISHED, STOPPED, TrialRecord, is_open
from study.storage.tables import rows_of
from study.worker.record import make_record, now, snapshot_record
from study.worker.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the driver needs to know about a trial that has ended; the part file has more."""

    trial_id: str
    dataset: str
    method: str
    status: str
    reason: str | None
    best_frechet_distance: float | None
    seconds: float
    recorded: bool = True
    """Whether its part file is written; False if it failed and will be retried."""


def end(
    trial: Trial,
    context: Context,
    record: TrialRecord,
    evaluations: Sequence[Evaluation],
    *,
    seconds: float,
    say: Callable[[str], None] = show_error,
    last: bool = True,
) -> Outcome:
    """Write the part file, then delete the latest state, then return the outcome.

    The state of a failed trial is kept, because a retry resumes from it, for example after a lack of memory. A failed
    trial gets a part file only on its `last` attempt.

    Args:
        trial, context, record, evaluations: what the part file holds.
        seconds: wall-clock time since the trial started in this process.
        say: called with one line if storage fails; writing is retried (`study.storage.retry`).
        last: whether a failed trial will not be retried.

    Raises:
        StudyStops: the part file could not be written for `context.patience` seconds.
    """
    recorded = last or record.status != FAILED
    if recorded:
        part = partial(write_part, context.results, trial, context.protocol, record, evaluations)
        write_with_retry(part, context.results, say, context.patience)
    if record.status != FAILED:
        with contextlib.suppress(OSError):  # the next run of the study removes the state
            forget_unfinished(context.results, trial.id, context.protocol.id)
    scores = [each.frechet_distance for each in evaluations if each.frechet_distance is not None]
    return Outcome(
        trial_id=trial.id,
        dataset=trial.dataset,
        method=trial.method.name,
        status=record.status,
        reason=record.reason,
        best_frechet_distance=min(scores) if scores and record.status == FINISHED else None,
        seconds=seconds,
        recorded=recorded,
    )


@dataclass(frozen=True, kw_only=True)
class PartialResult:
    """What the part file of a running trial would hold if the driver stopped the trial now."""

    record: TrialRecord
    evaluations: tuple[Evaluation, ...]


def partial_result(
    context: Context, snapshot: Snapshot, *, started: str, device: str, compiled: str | None
) -> PartialResult:
    """The partial result of a trial that is trained alone and has reached a checkpoint.

    Args:
        context: of the trial.
        snapshot: its progress, with a position.
        started: when its training started in this process (ISO 8601, UTC).
        device, compiled: see `study.worker.record.make_record`.
    """
    step, steps = snapshot.reached.step, snapshot.trial.training.discriminator_steps
    reason = f"stopped early at step {step} of {steps}, by successive halving"
    record = snapshot_record(context, snapshot, STOPPED, reason, started=started, device=device, compiled=compiled)
    return PartialResult(record=record, evaluations=snapshot.evaluations)


def record_stopped(trial: Trial, context: Context, result: PartialResult) -> Outcome:
    """Write the part file of a trial that the driver stopped at a checkpoint."""
    seconds = (result.record.training_seconds or 0) + (result.record.scoring_seconds or 0)
    return end(trial, context, result.record, result.evaluations, seconds=seconds)


def record_loss(trial: Trial, context: Context, reason: str) -> Outcome:
    """Write the part file of a trial whose worker process is gone, as failed with this reason."""
    record = make_record(context, FAILED, reason, started=now(), device="cpu", position=None, trial=trial)
    return end(trial, context, record, [], seconds=0.0)


def recorded(trial: Trial, context: Context) -> Outcome | None:
    """The outcome of a trial that has a final part file or row, whoever wrote it; None if it has none.

    A file that cannot be read counts as none: the trial is then run again, and its first outcome stays.
    """
    key = trial.id, context.protocol.id
    try:
        with contextlib.suppress(FileNotFoundError):  # it may have been merged into the tables in the meantime
            return _final_outcome(read_part(part_path(context.results, *key))[0])
        rows = rows_of(context.results, "trials", key)
        return _final_outcome(rows[0]) if rows else None
    except (OSError, InputError):
        return None


def _final_outcome(row: Mapping[str, Any]) -> Outcome | None:
    """The outcome in a row of trials.parquet; None if a later outcome may replace the row."""
    if is_open(row["status"]):
        return None
    return Outcome(
        trial_id=row["trial_id"],
        dataset=row["dataset"],
        method=row["method"],
        status=row["status"],
        reason=row["reason"],
        best_frechet_distance=row["best_frechet_distance"],
        seconds=(row["training_seconds"] or 0) + (row["scoring_seconds"] or 0),
    )
