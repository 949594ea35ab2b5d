"""TensorBoard event files of running trials: a folder per trial, with one file per scored checkpoint.

Workers write them, because one trial of Ray Tune may be a whole pack of trials. A file is named by its step, so a trial
that reaches a checkpoint again after an interruption replaces the file, and TensorBoard shows no point twice.
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
from study.worker.snapshot import Snapshot

LOSSES = ("discriminator_loss", "generator_loss", "penalty")


def run_folder(results: Path, trial: Trial, protocol_id: str) -> Path:
    """The folder of a trial's events under a protocol; its path below `tensorboard` is the run's name in TensorBoard.

    Brackets of a method's options become round: object storage reads square brackets in a path as a pattern.
    """
    numbers, method = trial.hyperparameters, trial.method.name.translate(str.maketrans("[]", "()"))
    weight = [] if numbers.penalty_weight is None else [f"lambda={numbers.penalty_weight:.3g}"]
    betas = [f"beta1={numbers.beta1:.3g}", f"beta2={numbers.beta2:.3g}"]
    settings = [f"lr={numbers.learning_rate:.3g}", *betas, f"n_dis={numbers.n_dis}", *weight, f"seed={trial.seed}"]
    return results / TENSORBOARD / trial.dataset / method / ",".join([*settings, f"{trial.id}-{protocol_id}"])


class EventFiles:
    """The event files of one trial. If they cannot be written, training continues, and `say` gets one line, once."""

    def __init__(self, trial: Trial, context: Context, say: Callable[[str], None]) -> None:
        self._trial, self._say, self._warned = trial, say, False
        self._folder = run_folder(context.results, trial, context.protocol.id)

    def begin(self, snapshot: Snapshot) -> None:
        """The trial starts or resumes: write the missing files of earlier checkpoints, delete those of later ones."""
        earlier = {_name(each.discriminator_step): each for each in snapshot.evaluations}
        with self._errors_reported():
            present = {path.name for path in list_files(self._folder, "*.tfevents.*")}
            for name in present - {_name(0), *earlier}:
                remove(self._folder / name)
            if _name(0) not in present:
                self._put(0, _settings(self._trial))
            for name in earlier.keys() - present:
                self._put(earlier[name].discriminator_step, _scalars(earlier[name]))

    def add(self, checkpoint: Checkpoint) -> None:
        """Write the file of a checkpoint."""
        seconds = {"training": checkpoint.training_seconds, "scoring": checkpoint.scoring_seconds}
        with self._errors_reported():
            self._put(checkpoint.evaluation.discriminator_step, _scalars(checkpoint.evaluation, seconds))

    def _put(self, step: int, summary: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        events = version, Event(wall_time=time.time(), step=step, summary=summary)
        write_file(self._folder / _name(step), b"".join(_framed(event.SerializeToString()) for event in events))

    @contextlib.contextmanager
    def _errors_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                reason = error.strerror or " ".join(str(error).split())
                self._say(f"training continues, but TensorBoard files cannot be written ({reason})")
            self._warned = True


def _name(step: int) -> str:
    """The file name of a step; step 0 has the settings. TensorBoard reads files in the order of their names."""
    return f"events.out.tfevents.{step:09}"


def _scalars(evaluation: Evaluation, seconds: dict[str, float] | None = None) -> Any:
    """The scalars of a checkpoint, tagged "group/name"; those without a value are left out."""
    from tensorboardX.proto.summary_pb2 import Summary

    groups = {
        "scores": {"frechet_distance": evaluation.frechet_distance, **asdict(evaluation.scores)},
        "losses": {name: getattr(evaluation, name) for name in LOSSES},
        "diagnostics": asdict(evaluation.diagnostics),
        "seconds": seconds or {},
    }
    numbers = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    scalars = {tag: value for tag, value in numbers.items() if isinstance(value, int | float)}
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()])


def _settings(trial: Trial) -> Any:
    """The trial's settings for TensorBoard's table of hyperparameters."""
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
    """An event as a TFRecord: length, checksum of the length, bytes, checksum of the bytes."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(event))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), event, struct.pack("<I", masked_crc32c(event))))
