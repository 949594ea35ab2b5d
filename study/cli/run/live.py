"""What a person sees while a study is planned and run: live on a terminal, plain lines elsewhere."""

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
from study.core.text import duration
from study.core.trial import Trial
from study.driver.cost.estimate import by_method
from study.driver.planning.planned import Planned
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED, score_label
from study.worker.outcome import Outcome

LINE_EVERY = 15.0
"""Seconds between lines where the output is no terminal."""


class Watch:
    """Shows how a run goes. Use it as a context; `add` each outcome as it ends.

    Args:
        total: how many trials there will be, by dataset and group.
        contexts: what they are run in.
        group: the line of the table that a trial belongs to, in words.
        packs: how many trials of each pack there will be; they end at one moment.
    """

    def __init__(
        self,
        total: Mapping[tuple[str, str], int],
        contexts: Iterable[Context],
        group: Callable[[Trial], str],
        packs: Mapping[tuple[str, ...], int] | None = None,
    ) -> None:
        self._total, self._group, self._awaited = Counter(total), group, Counter(packs)
        protocols = {context.dataset: context.protocol for context in contexts}
        self._labels = {name: score_label(vars(p)) for name, p in protocols.items()}
        # By dataset and group. Another thread draws meanwhile: it reads copies, and whole at once.
        self._states: dict[tuple[str, str], Counter[str]] = {key: Counter() for key in self._total}
        self._best: dict[tuple[str, str], float] = {}
        self._started = self._last_line = time.monotonic()
        self._training_since: float | None = None  # which excludes the start of Ray and its workers
        terminal = sys.stdout.isatty()
        self._live = Live(get_renderable=self._render, refresh_per_second=2, console=Console()) if terminal else None

    @classmethod
    def of(cls, todo: Sequence[Planned]) -> "Watch":
        """A watch of trials that are known beforehand."""
        group = by_method(planned.trial.method for planned in todo)
        total = Counter((planned.trial.dataset, group(planned.trial)) for planned in todo)
        packs = Counter(planned.together for planned in todo)
        return cls(total, (planned.context for planned in todo), group, packs)

    def __enter__(self) -> "Watch":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def add(self, planned: Planned, outcome: Outcome) -> None:
        """A trial has ended."""
        now = time.monotonic()
        if self._training_since is None:
            self._training_since = max(self._started, now - outcome.seconds)
        group = self._group(planned.trial)
        key, score = (outcome.dataset, group), outcome.best_frechet_distance
        self._states.setdefault(key, Counter())[outcome.status] += 1
        if score is not None:
            self._best[key] = min(score, self._best.get(key, score))
        if outcome.status not in (FINISHED, STOPPED):
            self.say(f"{group} {outcome.trial_id}: {outcome.status}, {outcome.reason}")
        self._awaited[planned.together] -= 1
        if self._awaited[planned.together] > 0:
            return  # amid a pack there would seem to be more time left than there is
        if not self._live and (now - self._last_line >= LINE_EVERY or self._done() == self._total.total()):
            self._last_line = now
            print(self._summary(), flush=True)

    def say(self, line: str) -> None:
        """Tell a line, above what is live."""
        if self._live:
            self._live.console.print(line, soft_wrap=True, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def _done(self) -> int:
        return sum(states.total() for states in list(self._states.values()))

    def _summary(self) -> str:
        done, total = self._done(), self._total.total()
        now = time.monotonic()
        elapsed, training = now - self._started, now - (self._training_since or self._started)
        parts = [f"{done}/{total} trials"]
        for dataset, label in self._labels.items():
            if scored := [(best, group) for (of, group), best in list(self._best.items()) if of == dataset]:
                best, group = min(scored)
                where = f"{group}, {dataset}" if len(self._labels) > 1 else group
                parts.append(f"best {label} {best:.2f} ({where})")
        each = list(self._states.values())
        states = {state: sum(counts[state] for counts in each) for state in (DIVERGED, FAILED, STOPPED)}
        parts += [f"{states[state]} {state}" for state in states if states[state]]
        if 0 < done < total:
            parts.append(f"about {duration(training / done * (total - done))} left")
        return ", ".join([*parts, f"{duration(elapsed)} so far"])

    def _render(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column, justify in (("dataset", "left"), ("method", "left"), ("done", "right"), ("best", "right")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        table.add_column("diverged", justify="right")
        table.add_column("failed", justify="right")
        for (dataset, group), total in self._total.items():
            states, lowest = self._states[dataset, group], self._best.get((dataset, group))
            best = "-" if lowest is None else f"{lowest:.2f}"
            table.add_row(dataset, group, f"{states.total()}/{total}", best, f"{states[DIVERGED]}", f"{states[FAILED]}")
        below = Table.grid()  # a bar by itself does not end its line
        below.add_row(ProgressBar(total=self._total.total(), completed=self._done(), width=60))
        below.add_row(Text(self._summary() if self._done() else "starting the workers"))
        return Group(table, below)
