"""The state that a trial goes on from: its own latest one, or the last one of the same trial with fewer steps.

Whatever is killed, an interrupted trial goes on to the same rows.

A process that lost its driver may still write here while another one runs the same trial. Files are replaced whole,
under names of each process's own, and what either writes are states of the same computation: who reads next finds one
of an earlier step or of a later one, and ends in the same rows.
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
from study.worker.checkpoint import Snapshot, Unreadable, load_state, save_state

SAVE_EVERY = 300.0
"""Seconds of training after which the state is written between two checkpoints; at checkpoints it always is."""


class Unfinished:
    """The file of one trial under one protocol.

    Args:
        results: the results folder.
        start: the trial before its first step; its conditions name the protocol.
        say: is told, in a line, what is of no use or cannot be written.
    """

    def __init__(self, results: Path, start: Snapshot, say: Callable[[str], None]) -> None:
        self._path = unfinished_path(results, start.trial.id, start.conditions["protocol_id"])
        self._start, self._say = start, say
        self._written = 0.0
        self._told = False

    def read(self, device: str = "cpu") -> Snapshot | None:
        """Where the trial was interrupted; None where it was not, or where its state is of no use.

        Raises Unreadable where it may be of use yet: a trial that started anew would overwrite it.
        """
        if not self._path.is_file():
            return None
        try:
            kept = load_state(self._path, device=device)
            if kept.trial != self._start.trial:
                raise InputError(f"{self._path}: holds the state of trial {kept.trial.id}.")
            if differing := kept.differing(self._start.conditions):
                raise InputError(f"{self._path}: was scored otherwise ({', '.join(differing)}).")
        except Unreadable:
            raise
        except InputError as error:
            self._say(f"trial {self._start.trial.id} does not go on from where it was interrupted: {error}")
            return None
        self._written = kept.position.training_seconds
        return kept._replace(resumptions=kept.resumptions + 1)

    def write_when_due(self, snapshot: Snapshot, shape: tuple[int, int]) -> None:
        """As `write`, where more than SAVE_EVERY seconds were trained since the last time."""
        if snapshot.position.training_seconds - self._written > SAVE_EVERY:
            self.write(snapshot, shape)

    def write(self, snapshot: Snapshot, shape: tuple[int, int]) -> None:
        """Replace the file, durably.

        Where that fails the trial goes on, since a full disk may be empty again when it ends: only the time since the
        last state would be lost with it. Nothing is written of a state with a parameter that is not finite: training is
        about to find that by itself, at the same step as if nothing had been looked at here.
        """
        self._written = snapshot.position.training_seconds
        try:
            save_state(self._path, snapshot, shape)
        except Diverged:
            pass
        except OSError as error:
            if not self._told:
                reason = " ".join(str(error).split())
                self._say(f"trial {self._start.trial.id} goes on, but its state cannot be kept: {reason}")
            self._told = True


def continuation(
    trial: Trial,
    parent: Trial,
    results: Path,
    conditions: Mapping[str, Any],
    *,
    device: str = "cpu",
    peek: bool = False,
) -> Snapshot | None:
    """What `trial` goes on from, so that its rows are those of training from the start; None where no state is kept.

    Args:
        parent: the same trial with fewer steps.
        conditions: under which the longer trial is scored (`study.core.context.Context.conditions`).
        peek: see `study.worker.checkpoint.load_state`.

    Raises InputError where the parent's state is damaged, another's or scored otherwise.
    """
    path = state_path(results, parent.id)
    if not path.is_file():
        return None
    kept = load_state(path, device=device, peek=peek)
    if kept.trial != parent:
        raise InputError(f"{path}: holds the state of trial {kept.trial.id}.")
    if differing := kept.differing(conditions):
        raise InputError(f"the shorter trials were scored otherwise ({', '.join(differing)}).")
    every, done = conditions["checkpoint_every"], kept.position.step
    if done != parent.training.discriminator_steps or done % every:
        raise InputError(f"the shorter trials end at step {done}, and the longer ones are scored every {every}.")
    return Snapshot(
        trial=trial,
        conditions=conditions,
        evaluations=tuple(replace(evaluation, trial_id=trial.id) for evaluation in kept.evaluations),
        best=kept.best._replace(trial=trial),
        position=kept.position,
        source=CONTINUED.format(trial_id=parent.id),
    )
