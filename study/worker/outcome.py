"""How a trial ends: its part file first, then what the driver is told."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

from study.core.context import Context
from study.core.errors import InputError
from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.storage.layout import forget_unfinished
from study.storage.parts import part_path, read_evaluation, read_part, write_part
from study.storage.retry import write_with_retry
from study.storage.schema import FAILED, FINISHED, STOPPED, TrialRecord, is_open
from study.storage.tables import rows_of
from study.training.loop import Checkpoint
from study.worker.checkpoint import Snapshot
from study.worker.record import make_record, now, reached


def complain(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the driver is told of a trial that has ended; all of it, and more, stands in the part file."""

    trial_id: str
    dataset: str
    method: str
    status: str
    reason: str | None
    best_frechet_distance: float | None
    seconds: float
    recorded: bool = True
    """Whether its part is written; not where it failed and is to be tried again."""


def end(
    trial: Trial,
    context: Context,
    record: TrialRecord,
    evaluations: Sequence[Evaluation],
    *,
    seconds: float,
    say: Callable[[str], None] = complain,
    last: bool = True,
) -> Outcome:
    """Write the part file, then forget the latest state, then tell.

    The state of a failed trial stays: what failed for want of memory goes on from there when it is retried. It has no
    part unless this was its `last` attempt.
    """
    recorded = last or record.status != FAILED
    if recorded:
        part = partial(write_part, context.results, trial, context.protocol, record, evaluations)
        write_with_retry(part, context.results, say, context.patience)
    if record.status != FAILED:
        with contextlib.suppress(OSError):  # the next run of the study removes what is left
            forget_unfinished(context.results, trial.id, context.protocol.id)
    scores = (each.frechet_distance for each in evaluations if record.status == FINISHED)
    return Outcome(
        trial_id=trial.id,
        dataset=trial.dataset,
        method=trial.method.name,
        status=record.status,
        reason=record.reason,
        best_frechet_distance=min(scores, default=None),
        seconds=seconds,
        recorded=recorded,
    )


class Progress(NamedTuple):
    """How far a trial that still runs is, as plain values, for the driver that may stop it."""

    record: dict[str, Any]
    evaluations: list[dict[str, Any]]


def progress(context: Context, device: str) -> Callable[[Checkpoint, Snapshot], Progress]:
    """What makes a `Progress` of a checkpoint, and what there is then, of a trial that starts now and alone."""
    started = now()

    def made(checkpoint: Checkpoint, so_far: Snapshot) -> Progress:
        step, steps = so_far.position.step, so_far.trial.training.discriminator_steps
        reason = f"stopped early at step {step} of {steps}, by successive halving"
        by = {"device": device, "compiled": checkpoint.lockstep.programs.compiled}
        record = make_record(context, STOPPED, reason, started=started, **by, **reached(so_far))
        return Progress(asdict(record), [asdict(evaluation) for evaluation in so_far.evaluations])

    return made


def record_stopped(trial: Trial, context: Context, made: Progress) -> Outcome:
    """The row of a trial that was stopped there."""
    record = TrialRecord(**made.record)
    evaluations = [read_evaluation(**evaluation) for evaluation in made.evaluations]
    seconds = (record.training_seconds or 0) + (record.scoring_seconds or 0)
    return end(trial, context, record, evaluations, seconds=seconds)


def record_loss(trial: Trial, context: Context, reason: str) -> Outcome:
    """The row of a trial whose worker cannot write one any more."""
    record = make_record(context, FAILED, reason, started=now(), device="cpu", position=None, trial=trial)
    return end(trial, context, record, [], seconds=0.0)


def recorded(trial: Trial, context: Context) -> Outcome | None:
    """The outcome of a trial that has a part or a row which no later outcome replaces, whoever wrote it; else None.

    What cannot be read counts as none: the trial is run, and its first outcome stays.
    """
    key = trial.id, context.protocol.id
    try:
        with contextlib.suppress(FileNotFoundError):  # or merged into the tables meanwhile
            return _closed(read_part(part_path(context.results, *key))[0])
        rows = rows_of(context.results, "trials", key)
        return _closed(rows[0]) if rows else None
    except (OSError, InputError):
        return None


def _closed(row: Mapping[str, Any]) -> Outcome | None:
    """What a row of trials.parquet tells; None where a later outcome takes its place."""
    if is_open(row["status"]):
        return None
    told = {name: row[name] for name in ("trial_id", "dataset", "method", "status", "reason", "best_frechet_distance")}
    return Outcome(**told, seconds=(row["training_seconds"] or 0) + (row["scoring_seconds"] or 0))
