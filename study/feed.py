"""Between work and what runs it: which trial is next, which is tried again, and what ends a study."""

from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from study.execute import Outcome, record_loss, recorded
from study.plan import Planned
from study.work import LOSSES, Attempts, EarlyStopping, Work


class Feed:
    """Hands out the trials of some work, as many as there is room for, and is told what became of each.

    Whoever runs them names each by a `tag`.

    A trial that lost its node goes on before new ones start. One that failed, or whose worker died, is tried again when
    nothing else is left to hand out; one that loses its worker each time gets its row here, since no worker is left to
    write it. One whose part was written before its worker was gone has ended, and is not run again.
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
        self._running: dict[str, Planned] = {}
        self._lost: deque[Planned] = deque()
        self._again: deque[Planned] = deque()
        self._said: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing is left; asked when `next` has nothing."""
        return not self._running

    def next(self, tag: str) -> dict[str, Any] | None:
        """The next trial, and how it is run, in plain values; None while others must end first or there are no more."""
        planned = self._next()
        if planned is None:
            return None
        self._running[tag] = planned
        how: dict[str, Any] = {
            "context": self.work.contexts.index(planned.context),
            "kept": planned.kept,
            "parent": planned.parent and planned.parent.to_dict(),
            "last": self._attempts.spent(planned) >= self._attempts.most,
        }
        if self._stopping:
            how["early"] = {"group": self._stopping.group(planned.trial), "first": self._stopping.first(planned)}
        return {"trial": planned.trial.to_dict(), **how}

    def _next(self) -> Planned | None:
        if len(self._running) >= self._room():
            return None
        if self._lost:
            return self._lost.popleft()
        planned = self.work.take()
        return self._again.popleft() if planned is None and self._again else planned

    def running(self, tag: str) -> Planned | None:
        """What runs under a tag, unless it has ended."""
        return self._running.get(tag)

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
        planned = self._running.pop(tag)
        try:
            if not outcome.recorded:
                self._attempts.failed(planned)
                self._try_again(planned, f"failed, {outcome.reason}")
                return
            self._on_end(planned, outcome)
            self.work.ended(planned, outcome)
        except Exception as error:
            self.stop(error)

    def lost(self, tag: str) -> None:
        """A trial's node is gone, which is no fault of the trial's, unless that happens to it again and again."""
        planned = self._unended(tag)
        if planned is None:
            return
        if not self._attempts.lost(planned):
            self._died(tag, planned, f"its node was lost, as {LOSSES} others before it")
            return
        self._forget(tag)
        self._lost.append(planned)
        self._say(f"{planned.trial.id}: its node was lost; it goes on where there is room")

    def died(self, tag: str, why: str) -> None:
        """A trial's worker is gone: what the trial itself raises is caught there and ends as a row."""
        if planned := self._unended(tag):
            self._died(tag, planned, why)

    def _unended(self, tag: str) -> Planned | None:
        """What ran under a tag whose worker is gone; None where it had ended before, if only in its part."""
        planned = self.running(tag)
        if planned and (outcome := recorded(planned.trial, planned.context)):
            self.end(tag, outcome)
            return None
        return planned

    def _died(self, tag: str, planned: Planned, why: str) -> None:
        if self._attempts.died(planned):
            self._forget(tag)
            self._try_again(planned, f"its worker died ({why})")
            return
        times = self._attempts.spent(planned)
        try:
            outcome = record_loss(planned.trial, planned.context, f"its worker died ({why}); it failed {times} times")
        except Exception as error:
            self.stop(error)
        self.end(tag, outcome)

    def _forget(self, tag: str) -> None:
        self._running.pop(tag)

    def _try_again(self, planned: Planned, what: str) -> None:
        self._again.append(planned)
        count = f"{self._attempts.spent(planned)} of {self._attempts.most}"
        self._say(f"{planned.trial.id}: {what}; it is tried again ({count})")
