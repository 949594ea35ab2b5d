"""One trial from its definition to its part file: what a worker does, and `study train` in its own process."""

import contextlib
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from study import data
from study.checkpoint import Generator, Snapshot, Unreadable, generator_of, load_generator, save_generator, save_state
from study.context import ALL, NONE, Context
from study.continuation import continuation
from study.device import prepare_process
from study.metrics.extractors import load_extractor
from study.metrics.scoring import Scorer
from study.names import InputError
from study.patience import StudyStops, patiently
from study.record import make_record, now, reached
from study.results import (
    forget_unfinished,
    generator_at,
    generator_path,
    part_path,
    read_evaluation,
    read_part,
    rows_of,
    state_path,
    trial_folder,
    write_part,
)
from study.rows import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR, OPEN, STOPPED, Record
from study.train import Checkpoint, Diverged, Position, evaluated, train
from study.trial import Evaluation, Trial
from study.unfinished import Unfinished


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


def complain(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


def best_device() -> str:
    """Where the commands that use this process compute: on a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=2)
def load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    """The images and the scorer of a context, kept for the next trial of this process.

    Raises StudyStops where they are missing here, or differ from what the driver saw: no trial is to blame for that.
    """
    try:
        return _load(context, device)
    except InputError as error:
        raise StudyStops(f"{socket.gethostname()}: {error}") from error


def _load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    images = data.load(context.dataset, context.data_dir)
    if images.sha256 != context.dataset_sha256:
        raise InputError(
            f"{context.dataset}: its images here have hash {images.sha256[:16]}, those of the study"
            f" {context.dataset_sha256[:16]}; prepare both from the same source."
        )
    extractor = load_extractor(
        context.protocol.extractor,
        dataset=context.dataset,
        data_dir=context.data_dir,
        weights=context.extractor_weights,
        device=device,
    )
    return images, Scorer.prepare(images, extractor, context.protocol, context.data_dir, context.metrics)


def execute(
    trial: Trial,
    context: Context,
    device: str = "cpu",
    on_checkpoint: Callable[[Checkpoint, Snapshot], None] = lambda *_: None,
    *,
    kept: bool = False,
    parent: Trial | None = None,
    say: Callable[[str], None] = complain,
    last: bool = True,
) -> Outcome:
    """Train and score a trial, keep its best generator and write its part file; where `kept`, see `rescore`.

    A trial that was interrupted goes on from its latest state; a new one from that of its `parent`, the same trial with
    fewer steps, where that fits; `say` is told why one is of no use or not written. A trial that raises or diverges
    ends as a row with its status and reason; one that raises where this is not its `last` attempt leaves none.
    `on_checkpoint` is shown each checkpoint and what there is of the trial, before its state is written: what it does
    is done at least once.

    Raises StudyStops where the results cannot be written for long, or images or extractor are not those of the study.
    """
    if kept:
        return rescore(trial, context, device, say=say, last=last)
    prepare_process(deterministic=context.deterministic)
    started, clock = now(), time.perf_counter()
    so_far, status, reason = Snapshot(trial, context.conditions), FINISHED, None
    unfinished = Unfinished(context.results, so_far, say)

    def between(position: Position) -> None:
        unfinished.write_when_due(so_far._replace(position=position), shape)

    try:
        images, scorer = load(context, device)
        shape = images.train.shape[1:3]
        so_far = unfinished.read(device) or _before(trial, parent, context, device, say) or so_far
        how = {"checkpoint_every": context.checkpoint_every, "operator_norms": context.operator_norms}
        for checkpoint in train(trial, images, scorer, **how, device=device, start=so_far.position, between=between):
            so_far = so_far.after(checkpoint)
            if context.keep == ALL:
                path = generator_at(context.results, trial.id, so_far.position.step)
                generator = generator_of(trial, checkpoint)
                _patiently(partial(save_generator, path, generator, shape), context, say)
            on_checkpoint(checkpoint, so_far)
            if so_far.position.step < trial.training.discriminator_steps:
                unfinished.write(so_far, shape)
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except StudyStops:
        raise
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    if status == FINISHED:
        _keep(so_far, context, shape, say)
    record = make_record(context, status, reason, started=started, device=device, **reached(so_far))
    how = {"seconds": time.perf_counter() - clock, "say": say, "last": last}
    return _end(trial, context, record, so_far.evaluations, **how)


def _before(
    trial: Trial, parent: Trial | None, context: Context, device: str, say: Callable[[str], None]
) -> Snapshot | None:
    """What a new trial goes on from; None where it trains from the start; `say` is told why.

    Raises Unreadable where it may go on the next time.
    """
    try:
        return parent and continuation(trial, parent, context.results, context.conditions, device=device)
    except Unreadable:
        raise
    except InputError as error:
        say(f"trial {trial.id} is trained from the start: {error}")
        return None


def _patiently(write: Callable[[], object], context: Context, say: Callable[[str], None]) -> None:
    patiently(write, context.results, say, context.patience)


def _keep(finished: Snapshot, context: Context, shape: tuple[int, int], say: Callable[[str], None]) -> None:
    """Keep what was asked for of a finished trial on images of shape (channels, resolution)."""
    trial_id = finished.trial.id
    if context.keep != NONE:
        path = generator_path(context.results, trial_id)
        _patiently(partial(save_generator, path, finished.best, shape), context, say)
    if context.keep_states:
        path = state_path(context.results, trial_id)
        _patiently(partial(save_state, path, finished, shape), context, say)


def rescore(
    trial: Trial,
    context: Context,
    device: str = "cpu",
    *,
    say: Callable[[str], None] = complain,
    last: bool = True,
) -> Outcome:
    """Score the generator that a trial kept, under the context's protocol, and write that part file.

    Only the best generator under the first protocol is kept: the row has this one checkpoint, and says so by its
    `source`. Losses and diagnostics stand in the rows of the first protocol.
    """
    prepare_process(deterministic=context.deterministic)
    started, clock = now(), time.perf_counter()
    evaluations: list[Evaluation] = []
    status, reason = FINISHED, None
    try:
        _, scorer = load(context, device)
        generator = load_generator(generator_path(context.results, trial.id)).to(device)
        evaluations.append(score_generator(generator, scorer))
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except StudyStops:
        raise
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    seconds = time.perf_counter() - clock
    record = make_record(context, status, reason, started=started, device=device, last=None, trial=trial)
    record = replace(record, source=KEPT_GENERATOR, scoring_seconds=seconds)
    return _end(trial, context, record, evaluations, seconds=seconds, say=say, last=last)


def score_generator(generator: Generator, scorer: Scorer) -> Evaluation:
    """The evaluation of a kept generator; raises Diverged where its images are not finite."""
    scored = scorer.score(generator, generator.trial.training.latent_dim)
    return evaluated(generator.trial, generator.step, scorer, scored)


class Progress(NamedTuple):
    """How far a trial that still runs is, as plain values, for the driver that may stop it."""

    record: dict[str, Any]
    evaluations: list[dict[str, Any]]


def progress(trial: Trial, context: Context, device: str) -> Callable[[Snapshot], Progress]:
    """What makes a `Progress` of what there is at a checkpoint of a trial that starts now."""
    started = now()

    def made(so_far: Snapshot) -> Progress:
        step = so_far.position.step
        reason = f"stopped early at step {step} of {trial.training.discriminator_steps}, by successive halving"
        record = make_record(context, STOPPED, reason, started=started, device=device, **reached(so_far))
        return Progress(asdict(record), [asdict(evaluation) for evaluation in so_far.evaluations])

    return made


def record_stopped(trial: Trial, context: Context, reached: Progress) -> Outcome:
    """The row of a trial that was stopped there."""
    record = Record(**reached.record)
    evaluations = [read_evaluation(**evaluation) for evaluation in reached.evaluations]
    seconds = (record.training_seconds or 0) + (record.scoring_seconds or 0)
    return _end(trial, context, record, evaluations, seconds=seconds)


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
    if row["status"] in OPEN:
        return None
    told = {name: row[name] for name in ("trial_id", "dataset", "method", "status", "reason", "best_frechet_distance")}
    return Outcome(**told, seconds=(row["training_seconds"] or 0) + (row["scoring_seconds"] or 0))


def record_loss(trial: Trial, context: Context, reason: str) -> Outcome:
    """The row of a trial whose worker cannot write one any more."""
    record = make_record(context, FAILED, reason, started=now(), device="cpu", last=None, trial=trial)
    return _end(trial, context, record, [], seconds=0.0)


def _end(
    trial: Trial,
    context: Context,
    record: Record,
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
        _patiently(part, context, say)
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


def _keep_traceback(results: Path, trial_id: str) -> None:
    path = trial_folder(results, trial_id) / "traceback.txt"
    with contextlib.suppress(OSError):  # the reason stands in the row
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc())
