"""One trial from its definition to its part file: what a worker does, and `study train` in its own process."""

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from study import data
from study.checkpoint import Generator, Snapshot, generator_of, load_generator, save_generator, save_state
from study.context import ALL, NONE, Context
from study.continuation import continuation
from study.metrics.extractors import load_extractor
from study.metrics.scoring import Scorer
from study.names import InputError
from study.record import make_record, now, reached
from study.results import (
    forget_unfinished,
    generator_at,
    generator_path,
    read_evaluation,
    state_path,
    trial_folder,
    write_part,
)
from study.rows import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR, STOPPED, Record
from study.train import Checkpoint, Diverged, Position, score, train
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
    told: tuple[str, ...] = ()
    """What its worker had to say beside."""


def complain(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


def best_device() -> str:
    """Where the commands that use this process compute: on a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=2)
def load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    """The images and the scorer of a context, kept for the next trial of this process.

    Raises InputError where they are missing here, or differ from what the driver saw.
    """
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
) -> Outcome:
    """Train and score a trial, keep its best generator and write its part file; where `kept`, see `rescore`.

    A trial that was interrupted goes on from its latest state; a new one from that of its `parent`, the same trial with
    fewer steps, where that fits; `say` is told why one is of no use or not written. A trial that raises or diverges
    ends as a row with its status and reason. `on_checkpoint` is shown each checkpoint and what there is of the trial,
    before its state is written: what it does is done at least once.
    """
    if kept:
        return rescore(trial, context, device)
    torch.set_num_threads(1)  # rounding depends on the number of threads, and a core belongs to one trial
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
        for last in train(trial, images, scorer, **how, device=device, start=so_far.position, between=between):
            so_far = so_far.after(last)
            if context.keep == ALL:
                path = generator_at(context.results, trial.id, so_far.position.step)
                save_generator(path, generator_of(trial, last), shape)
            on_checkpoint(last, so_far)
            if so_far.position.step < trial.training.discriminator_steps:
                unfinished.write(so_far, shape)
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    if status == FINISHED:
        _keep(so_far, context, shape)
    record = make_record(context, status, reason, started=started, device=device, **reached(so_far))
    return _end(trial, context, record, so_far.evaluations, seconds=time.perf_counter() - clock)


def _before(
    trial: Trial, parent: Trial | None, context: Context, device: str, say: Callable[[str], None]
) -> Snapshot | None:
    """What a new trial goes on from; None where it trains from the start; `say` is told why."""
    try:
        return parent and continuation(trial, parent, context.results, context.conditions, device=device)
    except InputError as error:
        say(f"trial {trial.id} is trained from the start: {error}")
        return None


def _keep(finished: Snapshot, context: Context, shape: tuple[int, int]) -> None:
    """Keep what was asked for of a finished trial on images of shape (channels, resolution)."""
    if context.keep != NONE:
        save_generator(generator_path(context.results, finished.trial.id), finished.best, shape)
    if context.keep_states:
        save_state(state_path(context.results, finished.trial.id), finished, shape)


def rescore(trial: Trial, context: Context, device: str = "cpu") -> Outcome:
    """Score the generator that a trial kept, under the context's protocol, and write that part file.

    Only the best generator under the first protocol is kept: the row has this one checkpoint, and says so by its
    `source`. Losses and diagnostics stand in the rows of the first protocol.
    """
    torch.set_num_threads(1)
    started, clock = now(), time.perf_counter()
    evaluations: list[Evaluation] = []
    status, reason = FINISHED, None
    try:
        _, scorer = load(context, device)
        generator = load_generator(generator_path(context.results, trial.id)).to(device)
        evaluations.append(score_generator(generator, scorer))
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    seconds = time.perf_counter() - clock
    record = make_record(context, status, reason, started=started, device=device, last=None, trial=trial)
    record = replace(record, source=KEPT_GENERATOR, scoring_seconds=seconds)
    return _end(trial, context, record, evaluations, seconds=seconds)


def score_generator(generator: Generator, scorer: Scorer) -> Evaluation:
    """The evaluation of a kept generator; raises Diverged where its images are not finite."""
    return score(generator.trial, generator.step, scorer, generator)


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


def record_loss(trial: Trial, context: Context, reason: str) -> Outcome:
    """The row of a trial whose worker cannot write one any more."""
    record = make_record(context, FAILED, reason, started=now(), device="cpu", last=None, trial=trial)
    return _end(trial, context, record, [], seconds=0.0)


def _end(
    trial: Trial, context: Context, record: Record, evaluations: Sequence[Evaluation], *, seconds: float
) -> Outcome:
    """Write the part file, then forget the latest state, then tell.

    The state of a failed trial stays: what failed for want of memory or disk goes on from there when it is retried.
    """
    write_part(context.results, trial, context.protocol, record, evaluations)
    if record.status != FAILED:
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
    )


def _keep_traceback(results: Path, trial_id: str) -> None:
    path = trial_folder(results, trial_id) / "traceback.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc())
