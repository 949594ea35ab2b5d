"""TODO."""

from collections import Counter

from study.driver.planning.planned import Planned
from study.storage.layout import unfinished_path

LOSSES = 10
"""Nodes that a trial may lose before it gets further: machines that are reclaimed go more often than they are at fault,
but a trial that makes its machine fail would take one after another, for ever."""


class Attempts:
    """How often each trial failed in this run, of the `most` times after which it is still tried again.

    A trial fails when it raises. When its worker dies, that counts as a failure too, but only since the trial last got
    further: one that goes on from death to death comes to its end some day. The loss of its node counts only when
    LOSSES others came before it, since the trial last got further. What befalls a pack of trials is another matter, see
    `study.driver.scheduler.feed`.
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
