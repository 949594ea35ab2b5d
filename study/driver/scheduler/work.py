"""What a study hands out: packs of trials, as a list or as they unfold, and how often a trial is tried."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from study.core.context import Context
from study.core.trial import Trial
from study.driver.planning.packs import Pack
from study.driver.planning.planned import Planned
from study.worker.outcome import Outcome


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
