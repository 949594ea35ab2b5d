"""Trials from their definitions to their part files: what a worker does, and `study train` in its own process."""

import contextlib
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from study import data
from study.core.context import Context, check_logger
from study.core.errors import InputError, StudyStops
from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.gan.program import best_compiler
from study.metrics.extractors.menu import load_extractor
from study.metrics.scoring import Scorer
from study.storage.layout import generator_path, trial_folder
from study.storage.schema import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR
from study.training.device import check_precision, prepare_process
from study.training.lockstep import Diverged
from study.training.loop import Checkpoint, make_evaluation, train_pack
from study.worker.checkpoint import Generator, Snapshot, load_generator
from study.worker.outcome import Outcome, complain, end
from study.worker.record import make_record, now
from study.worker.trial_run import Running, Task

NO_ROOM = re.compile("can't allocate memory")
"""What PyTorch says of a CPU's memory, in a RuntimeError."""


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
    """`execute_pack` of one trial alone; `parent`, `kept` and `last` are those of its `Task`."""
    task = Task(trial=trial, parent=parent, kept=kept, last=last)
    (outcome,) = execute_pack([task], context, device, on_checkpoint, say=say)
    return outcome


def execute_pack(
    tasks: Sequence[Task],
    context: Context,
    device: str = "cpu",
    on_checkpoint: Callable[[Checkpoint, Snapshot], None] = lambda *_: None,
    *,
    slots: int = 1,
    say: Callable[[str], None] = complain,
) -> Iterator[Outcome]:
    """Train and score trials of one cell together, and yield the outcome of each as it ends, its part file written.

    For each its best generator is kept. One that was interrupted goes on from its latest state; a new one from that of
    its `parent` where that fits; `say` is told why one is of no use or not written. One that diverges ends as a row
    with its status and reason, and the others go on. An error is one of all that have not ended. `on_checkpoint` is
    shown each checkpoint and what there is of the trial, before its state is written: what it does is done at least
    once.

    They are trained by a program of so many `slots`, each in that of its place: rounding depends on both. Those whose
    places are beyond take turns with the others. Where there is no memory for so many, half as many are tried, from the
    latest checkpoints, and `say` is told.

    Raises StudyStops where the results cannot be written for long, where images or extractor are not those of the
    study, where the device does not compute in the trials' precision, and where the logger's package is missing.
    """
    prepare_process(deterministic=context.deterministic)
    try:
        check_precision(tasks[0].trial.training.precision, device)
        check_logger(context.logger)
    except InputError as error:
        raise StudyStops(f"{socket.gethostname()}: {error}") from error
    for task in tasks:
        if task.kept:
            yield rescore(task.trial, context, device, say=say, last=task.last)
    running = [Running(task, context, device, say) for task in tasks if not task.kept]
    reason = None
    try:
        images, scorer = load(context, device)
        for one in running:
            one.begin(images.train.shape[1:3])
        while left := _left(running):
            turn = left[0].task.place // slots
            some = {one.task.place % slots: one for one in left if one.task.place // slots == turn}
            try:
                yield from _train(some, images, scorer, context, device, on_checkpoint, say, slots)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if slots == 1 or not _is_of_memory(error):
                    raise
                say(f"{_described(left[0].task.trial, slots)} does not fit in memory; half as many are tried")
                slots //= 2
    except StudyStops:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        for one in _left(running):
            _keep_traceback(context.results, one.task.trial.id)
    for one in _left(running):
        yield one.end(FAILED, reason, slots)


def _left(running: Iterable[Running]) -> list[Running]:
    """Those that have not ended."""
    return [one for one in running if not one.ended]


def _described(trial: Trial, slots: int) -> str:
    return f"a program for {slots} trials of {trial.method.name} with n_dis {trial.hyperparameters.n_dis}"


def _train(
    running: Mapping[int, Running],
    images: data.Images,
    scorer: Scorer,
    context: Context,
    device: str,
    on_checkpoint: Callable[[Checkpoint, Snapshot], None],
    say: Callable[[str], None],
    slots: int,
) -> Iterator[Outcome]:
    """Train by a program of so many slots until each of those in them has ended."""
    for slot, told in train_pack(
        [running[slot].task.trial if slot in running else None for slot in range(slots)],
        images,
        scorer,
        checkpoint_every=context.checkpoint_every,
        device=device,
        operator_norms=context.operator_norms,
        compiler=best_compiler(device),
        starts=[running[slot].so_far.position if slot in running else None for slot in range(slots)],
        on_position=lambda slot, position: running[slot].between(position),
    ):
        one = running[slot]
        if isinstance(told, Diverged):
            yield one.end(DIVERGED, str(told), slots)
            continue
        one.reach(told)
        on_checkpoint(told, one.so_far)
        one.write()
        if told.lockstep.refused:
            say(f"{one.task.trial.method.name}: its steps are not compiled ({told.lockstep.refused})")
        if one.over:
            yield one.end(FINISHED, None, slots)
    for one in _left(running.values()):  # which stood at their last steps when they began
        yield one.end(FINISHED, None, slots)


def _is_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_ROOM.search(str(error)) is not None


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
    record = make_record(context, status, reason, started=started, device=device, position=None, trial=trial)
    record = replace(record, source=KEPT_GENERATOR, scoring_seconds=seconds, pack=None)
    return end(trial, context, record, evaluations, seconds=seconds, say=say, last=last)


def score_generator(generator: Generator, scorer: Scorer) -> Evaluation:
    """The evaluation of a kept generator; raises Diverged where its images are not finite."""
    scored = scorer.score(generator, generator.trial.training.latent_dim)
    return make_evaluation(generator.trial, generator.step, scorer, scored)


def _keep_traceback(results: Path, trial_id: str) -> None:
    path = trial_folder(results, trial_id) / "traceback.txt"
    with contextlib.suppress(OSError):  # the reason stands in the row
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc())
