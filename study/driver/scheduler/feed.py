"""Between the work and Ray Tune: which trials run next, which are retried, and when the study ends."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from study.core.text import plural
from study.driver.planning.packs import Pack
from study.driver.planning.planned import Planned
from study.driver.scheduler.messages import Assignment, Halving
from study.driver.scheduler.retries import LOSSES, Attempts
from study.driver.scheduler.work import EarlyStopping, Work
from study.worker.outcome import Outcome, record_loss, recorded
from study.worker.trial_run import Task


class Feed:
    """Hands out packs of the work, up to the number that fits, and records what becomes of each trial.

    The caller names each running pack by a `tag`.

    A pack that lost its node continues before anything new starts, as the same pack. A trial that failed, or whose
    worker died, is retried when there is nothing else to hand out. If its worker died at every attempt, its row is
    written here, because no worker can write it. A trial whose part file was written before its worker died has ended,
    and is not run again.

    In a pack, no single trial can be blamed for a failure, and the pack itself may have needed too much memory. So
    failures and deaths in a pack are not counted, and each trial that has not ended is retried alone.

    Args:
        work: the packs.
        attempts: counts the failures.
        room: returns the number of packs that can run at the same time.
        on_end: called with each trial that has ended.
        say: called with one line for the user.
        stopping: how trials are stopped early; None if they are not.
    """

    def __init__(
        self,
        work: Work,
        attempts: Attempts,
        room: Callable[[], int],
        on_end: Callable[[Planned, Outcome], None],
        say: Callable[[str], None],
        stopping: EarlyStopping | None,
    ) -> None:
        self.work = work
        self.error: Exception | None = None  # kept here, because Ray Tune may wrap it in an error of its own
        self._attempts, self._room, self._on_end, self._say = attempts, room, on_end, say
        self._stopping = stopping
        self._running: dict[str, Pack] = {}  # the trials of each pack that have not ended
        self._lost: deque[Pack] = deque()
        self._retries: deque[Pack] = deque()
        self._said: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether the study is over; valid only after `next` has returned None."""
        return not self._running

    def next(self, tag: str) -> Assignment | None:
        """The next pack, which now runs under `tag`; None if others must end first, or none are left."""
        pack = self._next_pack()
        if pack is None:
            return None
        self._running[tag] = pack
        return Assignment(
            context=self.work.contexts.index(pack[0].context),
            slots=len(pack[0].together),
            tasks=tuple(self._task(planned) for planned in pack),
            halving=self._halving(pack[0]),
        )

    def _next_pack(self) -> Pack | None:
        if len(self._running) >= self._room():
            return None
        if self._lost:
            return self._lost.popleft()
        pack = self.work.take()
        return self._retries.popleft() if pack is None and self._retries else pack

    def _task(self, planned: Planned) -> Task:
        return Task(
            trial=planned.trial,
            parent=planned.parent,
            kept=planned.kept,
            place=planned.together.index(planned.trial.id),
            last=not planned.pack and self._attempts.spent(planned) >= self._attempts.max_failures,
        )

    def _halving(self, planned: Planned) -> Halving | None:
        if self._stopping is None:
            return None
        return Halving(
            group=self._stopping.group(planned.trial),
            grace_steps=self._stopping.grace_steps(planned),
            steps=planned.trial.training.discriminator_steps,
        )

    def running(self, tag: str) -> Pack:
        """The trials that run under a tag and have not ended."""
        return self._running.get(tag, ())

    def say(self, line: str) -> None:
        """Pass a line on to the user, once: many workers may report the same."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def stop(self, error: Exception) -> NoReturn:
        """End the whole study; `launch` raises the error."""
        self.error = error
        raise error

    def end(self, tag: str, outcome: Outcome) -> None:
        """A trial has ended and its part file is written, or it failed and is retried."""
        planned = self._remove(tag, outcome.trial_id)
        try:
            if not outcome.recorded:
                if not planned.pack:
                    self._attempts.failed(planned)
                self._retry(planned, f"failed, {outcome.reason}")
                return
            self._on_end(planned, outcome)
            self.work.ended(planned, outcome)
        except Exception as error:
            self.stop(error)

    def _remove(self, tag: str, trial_id: str) -> Planned:
        pack = self._running.pop(tag)
        (removed,) = (planned for planned in pack if planned.trial.id == trial_id)
        left = tuple(planned for planned in pack if planned is not removed)
        if left:
            self._running[tag] = left
        return removed

    def lost(self, tag: str) -> None:
        """A pack's node is gone. Its trials are not to blame, unless this happens many times without progress."""
        pack = self._unrecorded(tag)
        excused = [self._attempts.lost(planned) for planned in pack]
        if not all(excused):
            self._count_death(tag, f"its node was lost, after {LOSSES} earlier losses")
        elif pack:
            self._lost.append(self._running.pop(tag))
            for planned in pack:
                self._say(f"{planned.trial.id}: its node was lost; it continues on another one")

    def died(self, tag: str, why: str) -> None:
        """A pack's worker process is gone. It was not an exception of a trial: the worker records these as rows."""
        self._unrecorded(tag)
        self._count_death(tag, why)

    def _unrecorded(self, tag: str) -> Pack:
        """The trials of a pack whose worker is gone, without those whose part files show that they had ended."""
        for planned in self.running(tag):
            if outcome := recorded(planned.trial, planned.context):
                self.end(tag, outcome)
        return self.running(tag)

    def _count_death(self, tag: str, why: str) -> None:
        for planned in self.running(tag):
            if planned.pack or self._attempts.died(planned):
                self._remove(tag, planned.trial.id)
                self._retry(planned, f"its worker died ({why})")
            else:
                self._give_up(tag, planned, why)

    def _give_up(self, tag: str, planned: Planned, why: str) -> None:
        times = self._attempts.spent(planned)
        try:
            outcome = record_loss(
                planned.trial, planned.context, f"its worker died ({why}); it failed {times} {plural(times, 'time')}"
            )
        except Exception as error:
            self.stop(error)
        self.end(tag, outcome)

    def _retry(self, planned: Planned, why: str) -> None:
        self._retries.append((replace(planned, pack=()),))
        if planned.pack:
            self._say(f"{planned.trial.id}: {why}; it is retried alone, outside its pack")
        else:
            count = f"{self._attempts.spent(planned)} of {self._attempts.max_failures}"
            self._say(f"{planned.trial.id}: {why}; it is retried ({count})")
