"""One trial in a worker, from its files on disk to its part file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from study.core.context import ALL, NONE, Context
from study.core.errors import InputError
from study.core.trial import Trial
from study.storage.layout import generator_at, generator_path, state_path
from study.storage.retry import write_with_retry
from study.storage.schema import FINISHED
from study.training.lockstep import Position
from study.training.loop import Checkpoint
from study.worker.checkpoint import Unreadable, save_generator, save_state
from study.worker.outcome import Outcome, end
from study.worker.record import now, snapshot_record
from study.worker.resume import StateFile, continuation
from study.worker.snapshot import Snapshot, generator_of
from study.worker.tensorboard import EventFiles


@dataclass(frozen=True, kw_only=True)
class Task:
    """A trial as it is handed to a worker; it can be pickled.

    Attributes:
        trial: what is trained and scored.
        parent: the same trial with fewer steps, from whose final state training continues if that is possible.
        kept: whether the trial is not trained, but its kept generator is scored; see `rescore`.
        last: whether this is the last attempt: an error then ends the trial as failed, with a part file.
        place: index of the trial in its pack, from 0.
    """

    trial: Trial
    parent: Trial | None = None
    kept: bool = False
    last: bool = True
    place: int = 0


class TrialRun:
    """A trial from its latest state to its end.

    Args:
        task: the trial, which is trained and not only scored.
        context: of the study.
        device: where it is trained.
        say: called with one line if a state cannot be used or written.
    """

    def __init__(self, task: Task, context: Context, device: str, say: Callable[[str], None]) -> None:
        self.task, self.snapshot, self.ended = task, Snapshot(task.trial, context.conditions), False
        self._context, self._device, self._say = context, device, say
        self._state = StateFile(context.results, self.snapshot, say)
        self._events = EventFiles(task.trial, context, say) if context.logger else None
        self._compiled: str | None = None
        self._started, self._clock = now(), time.perf_counter()

    def begin(self, shape: tuple[int, int]) -> None:
        """Load the trial's latest state, or else its parent's; images are (channels, resolution).

        Raises Unreadable if a state cannot be read now, but may be readable at the next attempt.
        """
        self._shape = shape
        self.snapshot = self._state.read(self._device) or self._parent_state() or self.snapshot
        if self._events:
            self._events.begin(self.snapshot)

    def _parent_state(self) -> Snapshot | None:
        """The parent's final state as a state of this trial; None if training starts from the beginning."""
        trial, parent, context = self.task.trial, self.task.parent, self._context
        if parent is None:
            return None
        try:
            return continuation(trial, parent, context.results, context.conditions, device=self._device)
        except Unreadable:
            raise
        except InputError as error:
            self._say(f"trial {trial.id} is trained from the start: {error}")
            return None

    def between(self, training_seconds: float, position: Callable[[], Position]) -> None:
        """The trial has reached a position between two checkpoints: save its state if that is due."""
        if self._state.due(training_seconds):
            self._state.write(self.snapshot._replace(position=position()), self._shape)

    def reach(self, checkpoint: Checkpoint) -> None:
        """The trial has reached a checkpoint: record it, and keep its generator if all are kept."""
        self.snapshot = self.snapshot.after(checkpoint)
        self._compiled = checkpoint.lockstep.backend
        if self._events:
            self._events.add(checkpoint)
        if self._context.keep == ALL:
            path = generator_at(self._context.results, self.task.trial.id, checkpoint.evaluation.discriminator_step)
            self._write(partial(save_generator, path, generator_of(self.task.trial, checkpoint), self._shape))

    def write_state(self) -> None:
        """Write the latest state, unless the last checkpoint was reached."""
        if not self.over:
            self._state.write(self.snapshot, self._shape)

    @property
    def over(self) -> bool:
        """Whether the last checkpoint was reached."""
        position = self.snapshot.position
        return position is not None and position.step >= self.task.trial.training.discriminator_steps

    def end(self, status: str, reason: str | None, pack: int) -> Outcome:
        """Save what a finished trial keeps, and write the part file; `pack`: as in `TrialRecord`."""
        self.ended = True
        if status == FINISHED:
            self._keep()
        record = snapshot_record(
            self._context,
            self.snapshot,
            status,
            reason,
            started=self._started,
            device=self._device,
            pack=pack,
            compiled=self._compiled,
        )
        return end(
            self.task.trial,
            self._context,
            record,
            self.snapshot.evaluations,
            seconds=time.perf_counter() - self._clock,
            say=self._say,
            last=self.task.last,
        )

    def _keep(self) -> None:
        """Save the best generator and the final state of a finished trial, as far as the study keeps them."""
        results, trial_id = self._context.results, self.task.trial.id
        if self._context.keep != NONE:
            path = generator_path(results, trial_id)
            self._write(partial(save_generator, path, self.snapshot.best_generator, self._shape))
        if self._context.keep_states:
            self._write(partial(save_state, state_path(results, trial_id), self.snapshot, self._shape))

    def _write(self, write: Callable[[], object]) -> None:
        write_with_retry(write, self._context.results, self._say, self._context.patience)
