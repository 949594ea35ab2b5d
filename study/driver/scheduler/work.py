"""The packs of trials that a study hands out: a fixed list, or a sequence that depends on earlier results."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from study.core.context import Context
from study.core.trial import Trial
from study.driver.planning.packs import Pack
from study.driver.planning.planned import Planned
from study.worker.outcome import Outcome


class Work(Protocol):
    """Trials to run, some of which may become known only when others have ended."""

    @property
    def contexts(self) -> Sequence[Context]:
        """The contexts of all trials."""

    def take(self) -> Pack | None:
        """The next pack; None if there is none at present. The work is over if then no trial is running either."""

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """A trial that was taken has ended, and its row is written."""


class FixedWork:
    """Packs that are all known in advance, handed out in their order."""

    def __init__(self, todo: Sequence[Pack]) -> None:
        self.contexts = list(dict.fromkeys(planned.context for pack in todo for planned in pack))
        self._left = deque(todo)

    def take(self) -> Pack | None:
        """The next pack; None when all were handed out."""
        return self._left.popleft() if self._left else None

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """Does nothing: the list does not depend on results."""


class EarlyStopping(NamedTuple):
    """Successive halving at checkpoints (ASHA; Li et al., 2020) among the trials of each group."""

    group: Callable[[Trial], str]
    """The name of a trial's group."""
    grace_steps: Callable[[Planned], int]
    """Discriminator updates before which a trial is not stopped."""
