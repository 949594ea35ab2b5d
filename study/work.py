"""What a study hands out: packs of trials, as a list or as they unfold, and how often a trial is tried."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from study.context import Context
from study.outcome import Outcome
from study.packs import Pack
from study.plan import Planned
from study.results import unfinished_path
from study.trial import Trial


class Work(Protocol):
    """Trials to be run, some of them known only when others have ended."""

    contexts: Sequence[Context]
    """What the trials are run in."""

    def take(self) -> Pack | None:
        """The next trials; None where there are none now. When none are running then either, the work is over."""

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """A trial that was taken has ended, and its row is written."""


class Listed:
    """Work that is known beforehand."""

    def __init__(self, todo: Sequence[Pack]) -> None:
        self.contexts = list(dict.fromkeys(planned.context for pack in todo for planned in pack))
        self._left = deque(todo)

    def take(self) -> Pack | None:
        """In the order of the list."""
        return self._left.popleft() if self._left else None

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """Nothing follows from a result."""


class EarlyStopping(NamedTuple):
    """Successive halving at the checkpoints (ASHA: Li et al., 2020), among the trials of one `group`."""

    group: Callable[[Trial], str]
    first: Callable[[Planned], int]
    """The D updates that any trial gets."""


LOSSES = 10
"""Nodes that a trial may lose before it gets further: machines that are reclaimed go more often than they are at fault,
but a trial that makes its machine fail would take one after another, for ever."""


class Attempts:
    """How often each trial failed in this run, of the `most` times after which it is still tried again.

    A trial fails when it raises. When its worker dies, that counts as a failure too, but only since the trial last got
    further: one that goes on from death to death comes to its end some day. The loss of its node counts only when
    LOSSES others came before it, since the trial last got further. What befalls a pack of trials is another matter, see
    `study.feed`.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._failures: Counter[tuple[str, str]] = Counter()
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._losses: Counter[tuple[str, str]] = Counter()
        self._reached: dict[tuple[str, str], int | None] = {}

    def spent(self, planned: Planned) -> int:
        """How many failures count."""
        return self._failures[planned.key] + self._deaths[planned.key]

    def failed(self, planned: Planned) -> bool:
        """Count a failure; returns whether the trial is tried again."""
        self._failures[planned.key] += 1
        return self.spent(planned) <= self.most

    def died(self, planned: Planned) -> bool:
        """Count the death of its worker; returns whether the trial is tried again."""
        self._look(planned)
        self._deaths[planned.key] += 1
        return self.spent(planned) <= self.most

    def lost(self, planned: Planned) -> bool:
        """Count the loss of its node; returns whether that is no death of the trial's."""
        self._look(planned)
        self._losses[planned.key] += 1
        return self._losses[planned.key] <= LOSSES

    def _look(self, planned: Planned) -> None:
        """Forget deaths and losses where the trial got further."""
        before, now = self._reached.get(planned.key), _reached(planned)
        if now != before:
            self._deaths[planned.key] = self._losses[planned.key] = 0
        self._reached[planned.key] = now


def _reached(planned: Planned) -> int | None:
    """When the latest state of a trial was written, in nanoseconds; None where there is none."""
    context = planned.context
    try:
        return unfinished_path(context.results, planned.trial.id, context.protocol.id).stat().st_mtime_ns
    except OSError:
        return None
