"""Shows the progress of a running study: a live table on a terminal, otherwise plain lines."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.core.context import Context
from study.core.output import show
from study.core.text import duration, plural, printable
from study.core.trial import Trial
from study.driver.cost.estimate import by_method
from study.driver.planning.planned import Planned
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label
from study.worker.outcome import Outcome

LINE_EVERY = 15.0
"""Seconds between progress lines if the output is not a terminal."""


class ProgressDisplay:
    """Shows the progress of a run. Use it as a context manager, and `add` the outcome of each trial that ends.

    Args:
        total: number of trials to run, by dataset and group.
        contexts: one or more contexts per dataset; they give the name of the score.
        group: the name of the row of the table that a trial is counted in.
        packs: number of trials of each pack, by the ids of its trials. The trials of a pack end at the same time.
    """

    def __init__(
        self,
        total: Mapping[tuple[str, str], int],
        contexts: Iterable[Context],
        group: Callable[[Trial], str],
        packs: Mapping[tuple[str, ...], int] | None = None,
    ) -> None:
        self._total, self._group, self._remaining = Counter(total), group, Counter(packs)
        protocols = {context.dataset: context.protocol for context in contexts}
        self._labels = {name: score_label(vars(p)) for name, p in protocols.items()}
        # By dataset and group. Another thread draws the table while these change, so it iterates over copies.
        self._states: dict[tuple[str, str], Counter[str]] = {key: Counter() for key in self._total}
        self._best: dict[tuple[str, str], float] = {}
        self._started = self._last_line = time.monotonic()
        self._training_since: float | None = None  # without the time that Ray and its workers need to start
        terminal = sys.stdout.isatty()
        self._live = Live(get_renderable=self._render, refresh_per_second=2, console=Console()) if terminal else None

    @classmethod
    def for_trials(cls, todo: Sequence[Planned]) -> "ProgressDisplay":
        """The display of a run whose trials are all known before it starts."""
        group = by_method(planned.trial.method for planned in todo)
        total = Counter((planned.trial.dataset, group(planned.trial)) for planned in todo)
        packs = Counter(planned.together for planned in todo)
        return cls(total, (planned.context for planned in todo), group, packs)

    def __enter__(self) -> "ProgressDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def add(self, planned: Planned, outcome: Outcome) -> None:
        """Count a trial that has ended; print a line at once if it failed or diverged."""
        now = time.monotonic()
        if self._training_since is None:
            self._training_since = max(self._started, now - outcome.seconds)
        group = self._group(planned.trial)
        key, score = (outcome.dataset, group), outcome.best_frechet_distance
        self._states.setdefault(key, Counter())[outcome.status] += 1
        if score is not None:
            self._best[key] = min(score, self._best.get(key, score))
        if outcome.status not in (FINISHED, STOPPED):
            self.print_line(f"{group} {outcome.trial_id}: {outcome.status}, {outcome.reason}")
        self._remaining[planned.together] -= 1
        if self._remaining[planned.together] > 0:
            return  # within a pack, the estimate of the remaining time would be too long
        if not self._live and (now - self._last_line >= LINE_EVERY or self._done() == self._total.total()):
            self._last_line = now
            show(self._summary())

    def print_line(self, line: str) -> None:
        """Print a line; on a terminal it appears above the live table."""
        if self._live:
            self._live.console.print(Text(printable(line)), soft_wrap=True)
        else:
            show(line)

    def _done(self) -> int:
        return sum(states.total() for states in list(self._states.values()))

    def _summary(self) -> str:
        done, total = self._done(), self._total.total()
        now = time.monotonic()
        elapsed, training = now - self._started, now - (self._training_since or self._started)
        parts = [f"{done}/{total} {plural(total, 'trial')}"]
        for dataset, label in self._labels.items():
            if scored := [(best, group) for (name, group), best in list(self._best.items()) if name == dataset]:
                best, group = min(scored)
                where = f"{group}, {dataset}" if len(self._labels) > 1 else group
                parts.append(f"best {label} {best:.2f} ({where})")
        counters = list(self._states.values())
        states = {state: sum(counts[state] for counts in counters) for state in (DIVERGED, FAILED, STOPPED)}
        parts += [f"{states[state]} {state}" for state in states if states[state]]
        if 0 < done < total:
            parts.append(f"about {duration(training / done * (total - done))} left")
        return ", ".join([*parts, f"{duration(elapsed)} so far"])

    def _render(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("dataset", "method"):
            table.add_column(column)
        for column in ("done", "best", "diverged", "failed"):
            table.add_column(column, justify="right")
        for (dataset, group), total in self._total.items():
            states, lowest = self._states[dataset, group], self._best.get((dataset, group))
            best = "-" if lowest is None else f"{lowest:.2f}"
            names = (Text(printable(name)) for name in (dataset, group))
            table.add_row(*names, f"{states.total()}/{total}", best, f"{states[DIVERGED]}", f"{states[FAILED]}")
        below = Table.grid()  # because a bar alone does not end its line
        below.add_row(ProgressBar(total=self._total.total(), completed=self._done(), width=60))
        below.add_row(Text(printable(self._summary()) if self._done() else "starting the workers"))
        return Group(table, below)
