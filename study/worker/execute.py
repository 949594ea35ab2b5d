"""Trains and scores trials, and writes their part files: in a worker, or in the process of `study train`."""

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
from study.core.errors import InputError, StudyStops, in_one_line
from study.core.evaluation import Evaluation
from study.core.output import show_error
from study.core.trial import Trial
from study.gan.program import best_compiler
from study.metrics.extractors.menu import load_extractor
from study.metrics.scoring import Scorer
from study.storage.layout import generator_path, trial_folder
from study.storage.schema import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR
from study.training.device import check_precision, prepare_process
from study.training.lockstep import Diverged
from study.training.loop import Checkpoint, make_evaluation, train_pack
from study.worker.checkpoint import load_generator
from study.worker.outcome import Outcome, end
from study.worker.record import make_record, now
from study.worker.snapshot import KeptGenerator, Snapshot
from study.worker.trial_run import Task, TrialRun

NO_ROOM = re.compile("can't allocate memory")
"""PyTorch's message when a CPU has no memory left; its RuntimeError has no type of its own, so the text is matched."""


def best_device() -> str:
    """The device of commands that compute in this process: "cuda" if there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=2)
def load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    """The images and the scorer of a context, cached for the next trial of this process.

    Raises StudyStops if they are missing on this machine, or differ from the driver's: no trial can run here then.
    """
    try:
        return _load(context, device)
    except InputError as error:
        raise StudyStops(f"{socket.gethostname()}: {error}") from error


def _load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    images = data.load(context.dataset, context.data_dir)
    if images.sha256 != context.dataset_sha256:
        raise InputError(
            f"{context.dataset}: the images here have hash {images.sha256[:16]}, the study's"
            f" have {context.dataset_sha256[:16]}; prepare both from the same source."
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
    say: Callable[[str], None] = show_error,
    last: bool = True,
) -> Outcome:
    """`execute_pack` for one trial; `parent`, `kept` and `last` are the fields of its `Task`."""
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
    say: Callable[[str], None] = show_error,
) -> Iterator[Outcome]:
    """Train and score trials of one cell together; yield each trial's outcome when its part file is written.

    The best generator of each trial is kept. An interrupted trial resumes from its latest state; a new one continues
    from the final state of its `parent` if that is possible. A trial that diverges ends as a row with its status and
    reason, and the others continue. An exception ends all trials that are still running.

    One program trains the trials in `slots` slots, each trial in the slot of its place: rounding depends on both.
    Trials whose place is beyond the last slot wait for their turn. If the program does not fit in memory, it is
    replaced by one with half as many slots, which continues from the latest checkpoints.

    Args:
        tasks: trials of one cell, with the same context.
        context: of the study.
        device: where they are trained.
        on_checkpoint: called with each checkpoint and the trial's snapshot, before its state is written; after an
            interruption it can be called for the same checkpoint again.
        slots: number of slots of the program, from 1.
        say: called with one line if a state cannot be used or written, or if slots are halved.

    Raises:
        StudyStops: results cannot be written for `context.patience` seconds; images or extractor differ from the
            study's; the device does not support the precision; or the logger's package is missing.
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
    runs = [TrialRun(task, context, device, say) for task in tasks if not task.kept]
    reason = None
    try:
        images, scorer = load(context, device)
        channels, resolution = images.train.shape[1:3]
        for run in runs:
            run.begin((channels, resolution))
        while left := _unfinished(runs):
            turn = left[0].task.place // slots
            by_slot = {run.task.place % slots: run for run in left if run.task.place // slots == turn}
            try:
                yield from _train(by_slot, images, scorer, context, device, on_checkpoint, say, slots)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if slots == 1 or not _is_out_of_memory(error):
                    raise
                say(f"{_described(left[0].task.trial, slots)} does not fit in memory; trying half as many")
                slots //= 2
    except StudyStops:
        raise
    except Exception as error:
        reason = in_one_line(error)
        for run in _unfinished(runs):
            _save_traceback(context.results, run.task.trial.id)
    for run in _unfinished(runs):
        yield run.end(FAILED, reason, slots)


def _unfinished(runs: Iterable[TrialRun]) -> list[TrialRun]:
    return [run for run in runs if not run.ended]


def _described(trial: Trial, slots: int) -> str:
    return f"a program for {slots} trials of {trial.method.name} with n_dis {trial.hyperparameters.n_dis}"


def _train(
    runs: Mapping[int, TrialRun],
    images: data.Images,
    scorer: Scorer,
    context: Context,
    device: str,
    on_checkpoint: Callable[[Checkpoint, Snapshot], None],
    say: Callable[[str], None],
    slots: int,
) -> Iterator[Outcome]:
    """Train trials by slot, in one program with `slots` slots, until each has ended."""
    for slot, event in train_pack(
        [runs[slot].task.trial if slot in runs else None for slot in range(slots)],
        images,
        scorer,
        checkpoint_every=context.checkpoint_every,
        device=device,
        operator_norms=context.operator_norms,
        compiler=best_compiler(device),
        starts=[runs[slot].snapshot.position if slot in runs else None for slot in range(slots)],
        on_position=lambda slot, *now: runs[slot].between(*now),
    ):
        run = runs[slot]
        if isinstance(event, Diverged):
            yield run.end(DIVERGED, str(event), slots)
            continue
        run.reach(event)
        on_checkpoint(event, run.snapshot)
        run.write_state()
        if event.lockstep.refused:
            say(f"{run.task.trial.method.name}: training steps are not compiled ({event.lockstep.refused})")
        if run.over:
            yield run.end(FINISHED, None, slots)
    for run in _unfinished(runs.values()):  # they had reached their last step before they were resumed
        yield run.end(FINISHED, None, slots)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_ROOM.search(str(error)) is not None


def rescore(
    trial: Trial,
    context: Context,
    device: str = "cpu",
    *,
    say: Callable[[str], None] = show_error,
    last: bool = True,
) -> Outcome:
    """Score the kept generator of a trial under the context's protocol, and write the part file for that protocol.

    Only the best generator under the first protocol was kept, so the row has this one checkpoint, and its `source` is
    KEPT_GENERATOR. Losses and diagnostics are in the rows of the first protocol only.
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
        status, reason = FAILED, in_one_line(error)
        _save_traceback(context.results, trial.id)
    seconds = time.perf_counter() - clock
    record = make_record(context, status, reason, started=started, device=device, position=None, trial=trial)
    record = replace(record, source=KEPT_GENERATOR, scoring_seconds=seconds, pack=None)
    return end(trial, context, record, evaluations, seconds=seconds, say=say, last=last)


def score_generator(generator: KeptGenerator, scorer: Scorer) -> Evaluation:
    """The evaluation of a kept generator; raises Diverged if its images are not finite."""
    scored = scorer.score(generator.__call__, generator.trial.training.latent_dim)
    return make_evaluation(generator.trial, generator.step, scorer, scored)


def _save_traceback(results: Path, trial_id: str) -> None:
    path = trial_folder(results, trial_id) / "traceback.txt"
    with contextlib.suppress(OSError):  # the row has the reason
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
