"""How often a trial is retried after failures, deaths of its worker and losses of its node."""

from collections import Counter

from study.driver.planning.planned import Planned
from study.storage.layout import unfinished_path

LOSSES = 10
"""Node losses of a trial without progress that do not count as failures. Usually a node is not lost through a fault of
the trial, but a trial that crashes its nodes must not crash one after another for ever."""


class Attempts:
    """Counts the failures of each trial in this run; a trial is retried at most `max_failures` times.

    An exception of the trial counts as a failure. The death of its worker counts too, but only deaths since the trial
    last made progress: a trial that makes progress between deaths does end. The loss of its node counts only after
    LOSSES earlier losses without progress. Trials in packs are treated differently, see `study.driver.scheduler.feed`.
    """

    def __init__(self, max_failures: int) -> None:
        self.max_failures = max_failures
        self._failures: Counter[tuple[str, str]] = Counter()
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._losses: Counter[tuple[str, str]] = Counter()
        self._state_times: dict[tuple[str, str], int | None] = {}

    def spent(self, planned: Planned) -> int:
        """Number of failures that count."""
        return self._failures[planned.key] + self._deaths[planned.key]

    def failed(self, planned: Planned) -> bool:
        """Count a failure; returns whether the trial is retried."""
        self._failures[planned.key] += 1
        return self.spent(planned) <= self.max_failures

    def died(self, planned: Planned) -> bool:
        """Count the death of its worker; returns whether the trial is retried."""
        self._reset_after_progress(planned)
        self._deaths[planned.key] += 1
        return self.spent(planned) <= self.max_failures

    def lost(self, planned: Planned) -> bool:
        """Count the loss of its node; returns whether the loss is excused, that is, not counted as a death."""
        self._reset_after_progress(planned)
        self._losses[planned.key] += 1
        return self._losses[planned.key] <= LOSSES

    def _reset_after_progress(self, planned: Planned) -> None:
        """Forget deaths and losses if the trial has written a newer state since they were counted."""
        before, now = self._state_times.get(planned.key), _state_time(planned)
        if now != before:
            self._deaths[planned.key] = self._losses[planned.key] = 0
        self._state_times[planned.key] = now


def _state_time(planned: Planned) -> int | None:
    """When the latest state of a trial was written, in nanoseconds since the epoch; None if there is no state."""
    context = planned.context
    try:
        return unfinished_path(context.results, planned.trial.id, context.protocol.id).stat().st_mtime_ns
    except OSError:
        return None
