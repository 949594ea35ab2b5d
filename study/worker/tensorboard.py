"""What TensorBoard shows of trials while they run: for each a folder, in it a file for each scored checkpoint.

Workers write them, since one trial of Ray Tune's may be a pack of ours. A file is named by its step: a trial that comes
to a checkpoint again replaces what was told of it, and nothing is shown twice.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study.core.context import TENSORBOARD, Context
from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.storage.files import list_files, remove, write_file
from study.training.loop import Checkpoint
from study.worker.checkpoint import Snapshot

LOSSES = ("discriminator_loss", "generator_loss", "penalty")


def run_folder(results: Path, trial: Trial, protocol_id: str) -> Path:
    """Where the events of a trial under a protocol are; TensorBoard shows its path below `tensorboard` as its name.

    The brackets of a method's options are round there: object storage takes square ones in a path for a pattern.
    """
    numbers, method = trial.hyperparameters, trial.method.name.translate(str.maketrans("[]", "()"))
    weight = [] if numbers.penalty_weight is None else [f"lambda={numbers.penalty_weight:.3g}"]
    betas = [f"beta1={numbers.beta1:.3g}", f"beta2={numbers.beta2:.3g}"]
    settings = [f"lr={numbers.learning_rate:.3g}", *betas, f"n_dis={numbers.n_dis}", *weight, f"seed={trial.seed}"]
    return results / TENSORBOARD / trial.dataset / method / ",".join([*settings, f"{trial.id}-{protocol_id}"])


class Events:
    """The files of one trial. Where they cannot be written the trial goes on all the same, and `say` is told once."""

    def __init__(self, trial: Trial, context: Context, say: Callable[[str], None]) -> None:
        self._trial, self._say, self._told = trial, say, False
        self._folder = run_folder(context.results, trial, context.protocol.id)

    def begin(self, so_far: Snapshot) -> None:
        """The trial starts, or goes on: what lacks of its past is told, and nothing stays of what is beyond it."""
        past = {_name(each.discriminator_step): each for each in so_far.evaluations}
        with self._telling():
            there = {path.name for path in list_files(self._folder, "*.tfevents.*")}
            for name in there - {_name(0), *past}:
                remove(self._folder / name)
            if _name(0) not in there:
                self._put(0, _settings(self._trial))
            for name in past.keys() - there:
                self._put(past[name].discriminator_step, _scalars(past[name]))

    def add(self, checkpoint: Checkpoint) -> None:
        """It has come to a checkpoint."""
        seconds = {"training": checkpoint.training_seconds, "scoring": checkpoint.scoring_seconds}
        with self._telling():
            self._put(checkpoint.evaluation.discriminator_step, _scalars(checkpoint.evaluation, seconds))

    def _put(self, step: int, summary: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        events = version, Event(wall_time=time.time(), step=step, summary=summary)
        write_file(self._folder / _name(step), b"".join(_framed(event.SerializeToString()) for event in events))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._told:
                reason = error.strerror or " ".join(str(error).split())
                self._say(f"trials go on, but TensorBoard is not told of all of them ({reason})")
            self._told = True


def _name(step: int) -> str:
    """Of the file of a step, 0 for what is known before the first; TensorBoard reads them in the order of names."""
    return f"events.out.tfevents.{step:09}"


def _scalars(evaluation: Evaluation, seconds: dict[str, float] | None = None) -> Any:
    """All single numbers of a checkpoint, by group; what has no value is left out."""
    from tensorboardX.proto.summary_pb2 import Summary

    groups = {
        "scores": {"frechet_distance": evaluation.frechet_distance, **asdict(evaluation.scores)},
        "losses": {name: getattr(evaluation, name) for name in LOSSES},
        "diagnostics": asdict(evaluation.diagnostics),
        "seconds": seconds or {},
    }
    numbers = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    told = {tag: value for tag, value in numbers.items() if isinstance(value, int | float)}
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in told.items()])


def _settings(trial: Trial) -> Any:
    """What TensorBoard's table of hyperparameters shows of a trial."""
    from tensorboardX.summary import hparams

    settings = {
        "dataset": trial.dataset,
        "architecture": trial.method.architecture,
        "method": trial.method.name,
        **asdict(trial.hyperparameters),
        "discriminator_steps": trial.training.discriminator_steps,
        "seed": trial.seed,
    }
    _, start, _ = hparams(settings, {})
    return start


def _framed(event: bytes) -> bytes:
    """A record of TensorFlow's: length, its checksum, the bytes, their checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(event))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), event, struct.pack("<I", masked_crc32c(event))))
