"""A trial in a worker, from what there is of it on disk to its part file."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from study.core.context import ALL, NONE, Context
from study.core.errors import InputError
from study.core.trial import Trial
from study.storage.layout import generator_at, generator_path, state_path
from study.storage.retry import write_with_retry
from study.storage.schema import FINISHED
from study.training.lockstep import Position
from study.training.loop import Checkpoint
from study.worker.checkpoint import Snapshot, Unreadable, generator_of, save_generator, save_state
from study.worker.outcome import Outcome, end
from study.worker.record import make_record, now, reached
from study.worker.resume import Unfinished, continuation
from study.worker.tensorboard import Events


@dataclass(frozen=True, kw_only=True)
class Task:
    """A trial as it is handed to a worker.

    Attributes:
        trial: what is trained and scored.
        parent: the same trial with fewer steps, from whose state a new one goes on where that fits.
        kept: whether it is only scored, see `rescore`.
        last: whether it is not tried again where it raises: only then that leaves a row.
        place: in its pack, from 0.
    """

    trial: Trial
    parent: Trial | None = None
    kept: bool = False
    last: bool = True
    place: int = 0

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Task":
        """The task in plain values: its fields by name, each trial as of `Trial.to_dict`."""
        trials = {name: content[name] and Trial.from_dict(content[name]) for name in ("trial", "parent")}
        return cls(**{**content, **trials})


class Running:
    """A trial from what there is of it to its end.

    Args:
        task: the trial; not one that is only scored.
        context: of the study.
        device: where it computes.
        say: is told why a state is of no use or not written.
    """

    def __init__(self, task: Task, context: Context, device: str, say: Callable[[str], None]) -> None:
        self.task, self.so_far, self.ended = task, Snapshot(task.trial, context.conditions), False
        self._context, self._device, self._say = context, device, say
        self._unfinished = Unfinished(context.results, self.so_far, say)
        self._events = Events(task.trial, context, say) if context.logger else None
        self._compiled: str | None = None
        self._started, self._clock = now(), time.perf_counter()

    def begin(self, shape: tuple[int, int]) -> None:
        """Go on from its latest state, or from its parent's, where that fits; images are (channels, resolution).

        Raises Unreadable where it may go on the next time.
        """
        self._shape = shape
        self.so_far = self._unfinished.read(self._device) or self._inherited() or self.so_far
        if self._events:
            self._events.begin(self.so_far)

    def _inherited(self) -> Snapshot | None:
        """What a new trial goes on from; None where it trains from the start."""
        trial, parent, context = self.task.trial, self.task.parent, self._context
        try:
            return parent and continuation(trial, parent, context.results, context.conditions, device=self._device)
        except Unreadable:
            raise
        except InputError as error:
            self._say(f"trial {trial.id} is trained from the start: {error}")
            return None

    def between(self, position: Position) -> None:
        """It has come to a position between two checkpoints."""
        self._unfinished.write_when_due(self.so_far._replace(position=position), self._shape)

    def reach(self, checkpoint: Checkpoint) -> None:
        """It has come to a checkpoint."""
        self.so_far = self.so_far.after(checkpoint)
        self._compiled = checkpoint.lockstep.programs.compiled
        if self._events:
            self._events.add(checkpoint)
        if self._context.keep == ALL:
            path = generator_at(self._context.results, self.task.trial.id, self.so_far.position.step)
            self._patiently(partial(save_generator, path, generator_of(self.task.trial, checkpoint), self._shape))

    def write(self) -> None:
        """Its latest state is written, unless it has come to its last checkpoint."""
        if not self.over:
            self._unfinished.write(self.so_far, self._shape)

    @property
    def over(self) -> bool:
        """Whether it has come to its last checkpoint."""
        position = self.so_far.position
        return position is not None and position.step >= self.task.trial.training.discriminator_steps

    def end(self, status: str, reason: str | None, pack: int) -> Outcome:
        """Keep what is kept of a trial that has ended, and write its part file; `pack`: as in its `TrialRecord`."""
        self.ended = True
        if status == FINISHED:
            self._keep()
        by = {"device": self._device, "pack": pack, "compiled": self._compiled}
        record = make_record(self._context, status, reason, started=self._started, **by, **reached(self.so_far))
        how = {"seconds": time.perf_counter() - self._clock, "say": self._say, "last": self.task.last}
        return end(self.task.trial, self._context, record, self.so_far.evaluations, **how)

    def _keep(self) -> None:
        """Keep what was asked for of a finished trial."""
        results, trial_id = self._context.results, self.task.trial.id
        if self._context.keep != NONE:
            path = generator_path(results, trial_id)
            self._patiently(partial(save_generator, path, self.so_far.best, self._shape))
        if self._context.keep_states:
            self._patiently(partial(save_state, state_path(results, trial_id), self.so_far, self._shape))

    def _patiently(self, write: Callable[[], object]) -> None:
        write_with_retry(write, self._context.results, self._say, self._context.patience)
