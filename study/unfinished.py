"""The latest state of a trial that is not finished: whatever is killed, the trial goes on from there to the same rows.

A process that lost its driver may still write here while another one runs the same trial. Files are replaced whole,
under names of each process's own, and what either writes are states of the same computation: who reads next finds one
of an earlier step or of a later one, and ends in the same rows.
"""

from collections.abc import Callable
from pathlib import Path

from study.checkpoint import Snapshot, Unreadable, load_state, save_state
from study.lockstep import Diverged
from study.names import InputError
from study.results import unfinished_path

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
