"""The state that a trial resumes from: its own latest one, or the final one of the same trial with fewer steps.

An interrupted trial ends in the same rows as an uninterrupted one, whatever was killed.

A process that lost its driver may still write here while another process runs the same trial. Files are replaced
atomically, through temporary names that differ between processes, and both processes write states of the same
computation. So a reader finds a state of an earlier or a later step, and ends in the same rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from study.core.errors import InputError
from study.core.trial import Trial
from study.storage.layout import state_path, unfinished_path
from study.storage.schema import CONTINUED
from study.training.lockstep import Diverged
from study.worker.checkpoint import Unreadable, load_state, save_state
from study.worker.snapshot import Snapshot

SAVE_EVERY = 300.0
"""Seconds of training after which the state is written between two checkpoints; at checkpoints it is always written."""


class StateFile:
    """The file with the latest state of one unfinished trial under one protocol.

    Args:
        results: the results folder.
        start: the trial before its first step; its conditions name the protocol.
        say: called with one line if the file cannot be used or written.
    """

    def __init__(self, results: Path, start: Snapshot, say: Callable[[str], None]) -> None:
        self._path = unfinished_path(results, start.trial.id, start.conditions["protocol_id"])
        self._start, self._say = start, say
        self._written_at = 0.0  # in seconds of training
        self._warned = False

    def read(self, device: str = "cpu") -> Snapshot | None:
        """The state in which the trial was interrupted, on `device`; None if there is none, or it cannot be used.

        Raises Unreadable if a later attempt may read it: a trial that starts from the beginning would overwrite it.
        """
        if not self._path.is_file():
            return None
        try:
            snapshot = load_state(self._path, device=device)
            if snapshot.trial != self._start.trial:
                raise InputError(f"{self._path}: holds the state of trial {snapshot.trial.id}.")
            if differing := snapshot.differing(self._start.conditions):
                raise InputError(f"{self._path}: was scored under other conditions ({', '.join(differing)}).")
        except Unreadable:
            raise
        except InputError as error:
            self._say(f"trial {self._start.trial.id} is trained from the start, its state cannot be used: {error}")
            return None
        self._written_at = snapshot.reached.training_seconds
        return snapshot._replace(resumptions=snapshot.resumptions + 1)

    def due(self, training_seconds: float) -> bool:
        """Whether more than SAVE_EVERY seconds of training have passed since the last `write`."""
        return training_seconds - self._written_at > SAVE_EVERY

    def write(self, snapshot: Snapshot, shape: tuple[int, int]) -> None:
        """Replace the file, durably; images are (channels, resolution).

        If storage fails, training continues: a full disk may have room again when the trial ends, and only a crash
        before that would cost the time since the last state. A state with a parameter that is not finite is not
        written: training finds this itself, at the same step as without this check.
        """
        self._written_at = snapshot.reached.training_seconds
        try:
            save_state(self._path, snapshot, shape)
        except Diverged:
            pass
        except OSError as error:
            if not self._warned:
                reason = " ".join(str(error).split())
                self._say(f"trial {self._start.trial.id} continues, but its state cannot be saved: {reason}")
            self._warned = True


def continuation(
    trial: Trial,
    parent: Trial,
    results: Path,
    conditions: Mapping[str, Any],
    *,
    device: str = "cpu",
    peek: bool = False,
) -> Snapshot | None:
    """The final state of `parent` as a state of `trial`, which then gets the same rows as if trained from the start.

    Args:
        trial: the longer trial.
        parent: the same trial with fewer steps.
        results: the results folder.
        conditions: how the longer trial is scored (`study.core.context.Context.conditions`).
        device: where the tensors are put.
        peek: see `study.worker.checkpoint.load_state`.

    Returns:
        The state; None if the parent kept none.

    Raises:
        InputError: the parent's state is damaged, of another trial, or was scored under other conditions.
    """
    path = state_path(results, parent.id)
    if not path.is_file():
        return None
    snapshot = load_state(path, device=device, peek=peek)
    if snapshot.trial != parent:
        raise InputError(f"{path}: holds the state of trial {snapshot.trial.id}.")
    if differing := snapshot.differing(conditions):
        raise InputError(f"the shorter trials were scored under other conditions ({', '.join(differing)}).")
    interval, step = conditions["checkpoint_every"], snapshot.reached.step
    if step != parent.training.discriminator_steps or step % interval:
        raise InputError(f"the shorter trials end at step {step}, but the longer ones are scored every {interval}.")
    return Snapshot(
        trial=trial,
        conditions=conditions,
        evaluations=tuple(replace(evaluation, trial_id=trial.id) for evaluation in snapshot.evaluations),
        best=snapshot.best_generator._replace(trial=trial),
        position=snapshot.position,
        source=CONTINUED.format(trial_id=parent.id),
    )
