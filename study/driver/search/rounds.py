"""Searches ranges of hyperparameters round by round, for many methods at once.

All that it knows stands in the results folder: a round's proposals are in the memberships before they run, and what is
proposed next follows from the rows of the rounds before. So a search that is killed goes on with the same trials.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from search_spaces import SearchSpace
from search_spaces.blocks import RandomBlock
from search_spaces.draws import Range
from search_spaces.ranges import BO
from study import data
from study.core.context import Context
from study.core.trial import Hyperparameters, Method, Training, Trial, content_id
from study.driver.planning.packs import Pack, alone, grouped, packed
from study.driver.planning.plan import make_context, pending, training_of
from study.driver.planning.planned import Planned
from study.driver.request import Request, SearchOptions
from study.driver.search.samplers import propose
from study.driver.spaces.expand import expand_searches
from study.gan.model import build
from study.storage.files import DamagedFile
from study.storage.memberships import add_memberships, defined_trial, memberships
from study.storage.retry import write_with_retry
from study.storage.schema import DIVERGED, FAILED
from study.storage.tables import outcomes, set_aside_damaged
from study.worker.outcome import Outcome

SMALLEST = 1e-6
"""A Frechet distance below this is taken as this, so that it has a logarithm."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search: a method on a dataset at one n_dis."""

    method: Method
    n_dis: int
    training: Training
    block: RandomBlock = field(repr=False)
    strategy: SearchOptions
    context: Context = field(repr=False)
    shape: tuple[int, int] = field(repr=False)

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """What is searched, by hyperparameter."""
        return self.block.ranges_of(self.method.penalty)

    @cached_property
    def fixed(self) -> dict[str, float]:
        """What is not."""
        return self.block.fixed_of(self.method.penalty)

    @cached_property
    def like(self) -> Trial:
        """A trial of the search: all of them cost the same."""
        middle = self.block.middle(self.method.penalty, self.n_dis)
        return Trial(dataset=self.context.dataset, method=self.method, hyperparameters=middle, training=self.training)

    @cached_property
    def name(self) -> str:
        """What tells its memberships from those of other searches: all that its proposals depend on."""
        words = f"{self.context.dataset} {self.method.architecture} {self.method.name} n_dis={self.n_dis}"
        strategy = self.strategy
        how = [strategy.sampler, f"seed={strategy.seed}", *(["stop-early"] if strategy.stop_early else [])]
        rest = content_id(
            {
                "training": vars(self.training),
                "ranges": {name: [each.low, each.high, each.log] for name, each in self.ranges.items()},
                "fixed": self.fixed,
                "protocol": self.context.protocol.id,
            },
            length=8,
        )
        return " ".join([words, *how, rest])

    def trial(self, point: Mapping[str, float]) -> Trial:
        """The trial of a proposal."""
        return Trial(
            dataset=self.context.dataset,
            method=self.method,
            hyperparameters=Hyperparameters(n_dis=self.n_dis, **self.fixed, **point),
            training=self.training,
            seed=self.strategy.seed,
        )

    def point(self, trial: Trial) -> dict[str, float]:
        """The inverse of `trial`."""
        return {name: getattr(trial.hyperparameters, name) for name in self.ranges}

    def planned(self, trial: Trial) -> Planned:
        """A trial, to be run."""
        return Planned(trial=trial, context=self.context, shape=self.shape)

    def rounds(self) -> dict[int, list[Trial]]:
        """What was proposed so far, by round; raises InputError where the memberships do not tell."""
        found: dict[int, list[Trial]] = {}
        for row in memberships(self.context.results, BO, self.name):
            found.setdefault(row["round"], []).append(defined_trial(self.context.results, row))
        return found

    def propose(self, round: int, before: Sequence[Trial], say: Callable[[str], Any]) -> list[Trial]:
        """The trials of a round after those of the rounds before it, and their memberships.

        Storage that cannot take these is waited for, and `say` told of it.
        """
        told = self.told(before)
        known = [point for point, _ in told]
        untold = [point for point in map(self.point, before) if point not in known]
        how = {"sampler": self.strategy.sampler, "seed": self.strategy.seed}
        points = propose(self.ranges, told, self.strategy.trials_per_round, **how, untold=untold)
        trials = list(dict.fromkeys(map(self.trial, points)))
        results = self.context.results
        record = partial(add_memberships, results, BO, self.name, trials, round=round)
        write_with_retry(record, results, say, self.context.patience)
        return trials

    def told(self, trials: Iterable[Trial]) -> list[tuple[dict[str, float], float | None]]:
        """The points of trials that have a row, with the logarithm of their lowest score; None for diverged ones.

        A failed trial tells of its machine and not of its point, and is left out.
        """
        tried = {trial.id: trial for trial in trials}
        found = outcomes(self.context.results, self.context.protocol.id, tried)
        told: list[tuple[dict[str, float], float | None]] = []
        for trial_id, trial in tried.items():
            status, lowest = found.get(trial_id, (None, None))
            if status == DIVERGED:
                told.append((self.point(trial), None))
            elif status != FAILED and lowest is not None:
                told.append((self.point(trial), math.log(max(lowest, SMALLEST))))
        return told

    def missing(self, planned: Sequence[Planned], *, retry_failed: bool = False) -> list[Planned]:
        """Those of its trials that have no row."""
        return pending(planned, self.context.results, retry_failed=retry_failed, whole=not self.strategy.stop_early)

    def left(self, *, retry_failed: bool = False) -> int:
        """How many trials are still to be run."""
        rounds = self.rounds()
        known = {r: trials for r, trials in rounds.items() if r <= self.strategy.rounds}
        planned = [self.planned(trial) for trials in known.values() for trial in trials]
        todo = self.missing(planned, retry_failed=retry_failed)
        return len(todo) + (self.strategy.rounds - len(known)) * self.strategy.trials_per_round


def searches(request: Request, space: SearchSpace, strategy: SearchOptions) -> list[Search]:
    """A search for each dataset, method of the space and n_dis; raises InputError for whatever cannot run."""
    made = []
    for dataset in request.datasets:
        declared = data.get(dataset, request.data_dir)
        found = expand_searches(space, declared, request.selection)
        context, shape = make_context(request, declared, space)
        training = training_of(request, declared, space)
        made += [
            Search(
                method=method,
                n_dis=n_dis,
                block=block,
                training=training,
                strategy=strategy,
                context=context,
                shape=shape,
            )
            for method, n_dis, block in found
        ]
    for search in made:
        build(search.like, *search.shape)
    return made


def as_plan(searches: Sequence[Search], *, retry_failed: bool = False) -> tuple[list[Planned], list[Planned]]:
    """All trials of the searches and those still to run, each stood for by one of its search that costs the same."""
    planned, todo = [], []
    for search in searches:
        one = search.planned(search.like)
        planned += [one] * (search.strategy.trials)
        todo += [one] * search.left(retry_failed=retry_failed)
    return planned, todo


class Rounds:
    """The work of all searches (`study.driver.scheduler.work.Work`): each goes on when its own round has ended.

    Args:
        searches: at least one.
        say: is told, in a line, what was found to be missing.
        most: the largest pack that a trial may be in (`study.driver.planning.packs.sizes`). Packs are of one round, and
            follow from its proposals alone. Trials that may be stopped early are trained each alone.
        retry_failed: whether failed trials are run again, once.
    """

    def __init__(
        self,
        searches: Sequence[Search],
        say: Callable[[str], Any],
        *,
        most: Callable[[Planned], int] = alone,
        retry_failed: bool = False,
    ) -> None:
        self.contexts = list(dict.fromkeys(search.context for search in searches))
        self._say, self._most, self._retry_failed = say, most, retry_failed
        self._searches = {search.like.cell: search for search in searches}
        self._round = dict.fromkeys(self._searches, 0)
        self._waiting: dict[Any, deque[Pack]] = {key: deque() for key in self._searches}
        self._running: dict[Any, set[str]] = {key: set() for key in self._searches}
        self._seen: set[str] = set()
        for key in self._searches:
            self._go_on(key)

    def take(self) -> Pack | None:
        """The next pack of the search that is farthest behind."""
        ready = [key for key, waiting in self._waiting.items() if waiting]
        if not ready:
            return None
        key = min(ready, key=lambda one: self._round[one])
        pack = self._waiting[key].popleft()
        self._running[key] |= {planned.trial.id for planned in pack}
        return pack

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """The search goes on when this was the last of what it waited for."""
        key = planned.trial.cell
        self._running[key].discard(planned.trial.id)
        if self._running[key] or self._waiting[key]:
            return
        try:
            self._go_on(key)
        except DamagedFile:  # meanwhile: what was in it has no row at the end, and the next run makes it
            for path in set_aside_damaged(planned.context.results):
                self._say(f"set aside a damaged file as {path}")
            self._go_on(key)

    def _go_on(self, key: Any) -> None:
        """Hand out what the earliest round lacks; the next round is proposed when nothing is lacking."""
        search = self._searches[key]
        rounds = search.rounds()
        most = search.strategy.rounds
        last = next(number for number in itertools.count() if number == most or number + 1 not in rounds)
        todo = self._lacking(search, [(number, rounds[number]) for number in range(1, last + 1)])
        while not todo and last < most:
            if last and not search.told(rounds[last]):
                self._say(f"{search.name}: every trial of round {last} failed, so the search ends there")
                return
            before = [trial for number in range(1, last + 1) for trial in rounds[number]]
            last += 1
            rounds[last] = rounds.get(last) or search.propose(last, before, self._say)
            todo = self._lacking(search, [(last, rounds[last])])
        if not todo:
            return
        number = min(todo)
        if max(rounds) > number:
            self._say(f"{search.name}: {len(todo[number])} trials of round {number} have no row; they are run again")
        self._seen |= {planned.trial.id for planned in todo[number]}
        self._round[key] = number
        self._waiting[key].extend(grouped(todo[number]))

    def _lacking(self, search: Search, rounds: Sequence[tuple[int, Sequence[Trial]]]) -> dict[int, list[Planned]]:
        """What is still to be run, by round; the rows are read once for all of them."""
        number_of = {trial.id: number for number, trials in rounds for trial in trials}
        most = alone if search.strategy.stop_early else self._most
        whole = [one for _, trials in rounds for one in packed([search.planned(t) for t in trials], most)]
        todo: dict[int, list[Planned]] = {}
        for planned in search.missing(whole, retry_failed=self._retry_failed):
            if planned.trial.id not in self._seen:
                todo.setdefault(number_of[planned.trial.id], []).append(planned)
        return todo
