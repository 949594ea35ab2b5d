"""Between work and what runs it: which trials are next, which are tried again, and what ends a study."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from study.driver.planning.packs import Pack
from study.driver.planning.planned import Planned
from study.driver.scheduler.retries import LOSSES, Attempts
from study.driver.scheduler.work import EarlyStopping, Work
from study.worker.outcome import Outcome, record_loss, recorded


class Feed:
    """Hands out the packs of some work, as many as there is room for, and is told what became of each trial.

    Whoever runs them names each pack by a `tag`.

    What lost its node goes on before anything new starts, as the same pack. What failed, or whose worker died, is tried
    again when nothing else is left to hand out; one that loses its worker each time gets its row here, since no worker
    is left to write it. One whose part was written before its worker was gone has ended, and is not run again.

    In a pack it is not known whose fault it was, and memory may have been short because of the pack. So there failures
    and deaths count for none of its trials, and each that has not ended is tried again alone.
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
        self.error: Exception | None = None  # which whoever runs the trials may wrap in one of its own
        self._attempts, self._room, self._on_end, self._say = attempts, room, on_end, say
        self._stopping = stopping
        self._running: dict[str, Pack] = {}  # of each what has not ended
        self._lost: deque[Pack] = deque()
        self._again: deque[Pack] = deque()
        self._said: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing is left; asked when `next` has nothing."""
        return not self._running

    def next(self, tag: str) -> dict[str, Any] | None:
        """The next trials, and how they are run, in plain values; None while others must end first or none are left."""
        pack = self._next()
        if pack is None:
            return None
        self._running[tag] = pack
        first = pack[0]
        how: dict[str, Any] = {
            "context": self.work.contexts.index(first.context),
            "slots": len(first.together),
            "tasks": [self._task(planned) for planned in pack],
        }
        if self._stopping:
            how["early"] = {"group": self._stopping.group(first.trial), "first": self._stopping.first(first)}
        return how

    def _task(self, planned: Planned) -> dict[str, Any]:
        """The fields of a `study.worker.trial_run.Task`, in plain values."""
        return {
            "trial": planned.trial.to_dict(),
            "parent": planned.parent and planned.parent.to_dict(),
            "kept": planned.kept,
            "place": planned.together.index(planned.trial.id),
            "last": not planned.pack and self._attempts.spent(planned) >= self._attempts.most,
        }

    def _next(self) -> Pack | None:
        if len(self._running) >= self._room():
            return None
        if self._lost:
            return self._lost.popleft()
        pack = self.work.take()
        return self._again.popleft() if pack is None and self._again else pack

    def running(self, tag: str) -> Pack:
        """What runs under a tag and has not ended."""
        return self._running.get(tag, ())

    def say(self, line: str) -> None:
        """Tell a line, once: many workers may have the same to say."""
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def stop(self, error: Exception) -> NoReturn:
        """Ends the whole study: `launch` raises the error."""
        self.error = error
        raise error

    def end(self, tag: str, outcome: Outcome) -> None:
        """A trial has ended and its part is written, or it failed and is tried again."""
        planned = self._take_off(tag, outcome.trial_id)
        try:
            if not outcome.recorded:
                if not planned.pack:
                    self._attempts.failed(planned)
                self._try_again(planned, f"failed, {outcome.reason}")
                return
            self._on_end(planned, outcome)
            self.work.ended(planned, outcome)
        except Exception as error:
            self.stop(error)

    def _take_off(self, tag: str, trial_id: str) -> Planned:
        (planned,) = (one for one in self._running[tag] if one.trial.id == trial_id)
        left = tuple(one for one in self._running.pop(tag) if one is not planned)
        if left:
            self._running[tag] = left
        return planned

    def lost(self, tag: str) -> None:
        """A pack's node is gone, which is no fault of its trials, unless that happens to it again and again."""
        pack = self._unended(tag)
        excused = [self._attempts.lost(planned) for planned in pack]
        if not all(excused):
            self._died(tag, f"its node was lost, as {LOSSES} others before it")
        elif pack:
            self._lost.append(self._running.pop(tag))
            for planned in pack:
                self._say(f"{planned.trial.id}: its node was lost; it goes on where there is room")

    def died(self, tag: str, why: str) -> None:
        """A pack's worker is gone: what a trial itself raises is caught there and ends as a row."""
        self._unended(tag)
        self._died(tag, why)

    def _unended(self, tag: str) -> Pack:
        """What ran under a tag whose worker is gone, without those that had ended before, if only in their parts."""
        for planned in self.running(tag):
            if outcome := recorded(planned.trial, planned.context):
                self.end(tag, outcome)
        return self.running(tag)

    def _died(self, tag: str, why: str) -> None:
        for planned in self.running(tag):
            if planned.pack or self._attempts.died(planned):
                self._take_off(tag, planned.trial.id)
                self._try_again(planned, f"its worker died ({why})")
            else:
                self._give_up(tag, planned, why)

    def _give_up(self, tag: str, planned: Planned, why: str) -> None:
        times = self._attempts.spent(planned)
        try:
            outcome = record_loss(planned.trial, planned.context, f"its worker died ({why}); it failed {times} times")
        except Exception as error:
            self.stop(error)
        self.end(tag, outcome)

    def _try_again(self, planned: Planned, what: str) -> None:
        self._again.append((replace(planned, pack=()),))
        if planned.pack:
            self._say(f"{planned.trial.id}: {what}; it is tried again by itself, out of its pack")
        else:
            count = f"{self._attempts.spent(planned)} of {self._attempts.most}"
            self._say(f"{planned.trial.id}: {what}; it is tried again ({count})")
