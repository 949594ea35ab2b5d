"""Searches ranges of hyperparameters round by round, for many methods at the same time.

Its only state is the results folder: the proposals of a round are written to the memberships before they run, and the
next proposals follow from the rows of earlier rounds. So a search that was killed continues with the same trials.
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
from study.core.text import plural
from study.core.trial import Hyperparameters, Method, Training, Trial, content_id
from study.driver.planning.packs import Pack, assign_packs, group_by_pack, no_packs
from study.driver.planning.plan import make_context, pending, training_of
from study.driver.planning.planned import Planned
from study.driver.request import Request, SearchOptions
from study.driver.search.samplers import Observation, propose
from study.driver.spaces.expand import expand_searches
from study.gan.model import build
from study.storage.files import DamagedFile
from study.storage.memberships import add_memberships, defined_trial, memberships
from study.storage.retry import write_with_retry
from study.storage.schema import DIVERGED, FAILED
from study.storage.tables import outcomes, set_aside_damaged
from study.worker.outcome import Outcome

SMALLEST = 1e-6
"""Lower bound for a Frechet distance, so that its logarithm is finite."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search: a method on a dataset with one n_dis."""

    method: Method
    n_dis: int
    training: Training
    block: RandomBlock = field(repr=False)
    strategy: SearchOptions
    context: Context = field(repr=False)
    shape: tuple[int, int] = field(repr=False)

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """The ranges that are searched, by hyperparameter."""
        return self.block.ranges_of(self.method.penalty)

    @cached_property
    def fixed(self) -> dict[str, float]:
        """The hyperparameters that are not searched."""
        return self.block.fixed_of(self.method.penalty)

    @cached_property
    def example(self) -> Trial:
        """One trial of the search, for cost estimates: all its trials cost the same."""
        middle = self.block.middle(self.method.penalty, self.n_dis)
        return Trial(dataset=self.context.dataset, method=self.method, hyperparameters=middle, training=self.training)

    @cached_property
    def name(self) -> str:
        """Identifies its memberships: the name contains everything that its proposals depend on."""
        settings = f"{self.context.dataset} {self.method.architecture} {self.method.name} n_dis={self.n_dis}"
        strategy = self.strategy
        options = [strategy.sampler, f"seed={strategy.seed}", *(["stop-early"] if strategy.stop_early else [])]
        rest = content_id(
            {
                "training": vars(self.training),
                "ranges": {name: [each.low, each.high, each.log] for name, each in self.ranges.items()},
                "fixed": self.fixed,
                "protocol": self.context.protocol.id,
                **({"semantics": semantics} if (semantics := self.example.semantics) > 1 else {}),  # 1 was not named
            },
            length=8,
        )
        return " ".join([settings, *options, rest])

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
        """The point of a trial; the inverse of `trial`."""
        return {name: getattr(trial.hyperparameters, name) for name in self.ranges}

    def planned(self, trial: Trial) -> Planned:
        """A trial of the search as part of a plan."""
        return Planned(trial=trial, context=self.context, shape=self.shape)

    def rounds(self) -> dict[int, list[Trial]]:
        """The trials proposed so far, by round; raises InputError if a membership does not define its trial."""
        trials: dict[int, list[Trial]] = {}
        for row in memberships(self.context.results, BO, self.name):
            trials.setdefault(row["round"], []).append(defined_trial(self.context.results, row))
        return trials

    def propose(self, round: int, before: Sequence[Trial], say: Callable[[str], Any]) -> list[Trial]:
        """Propose the trials of a round, and write their memberships.

        Args:
            round: its number, from 1.
            before: the trials of all earlier rounds.
            say: called with one line if storage fails; writing is retried (`study.storage.retry`).
        """
        observations = self.observations(before)
        observed = [point for point, _ in observations]
        points = propose(
            self.ranges,
            observations,
            self.strategy.trials_per_round,
            sampler=self.strategy.sampler,
            seed=self.strategy.seed,
            failed=[point for point in map(self.point, before) if point not in observed],
        )
        trials = list(dict.fromkeys(map(self.trial, points)))
        results = self.context.results
        record = partial(add_memberships, results, BO, self.name, trials, round=round)
        write_with_retry(record, results, say, self.context.patience)
        return trials

    def observations(self, trials: Iterable[Trial]) -> list[Observation]:
        """The points of trials that have a row, with the logarithm of their lowest score; None if they diverged.

        Failed trials are left out: a failure says something about the machine, not about the point.
        """
        proposed = {trial.id: trial for trial in trials}
        ended = outcomes(self.context.results, self.context.protocol.id, proposed)
        observations: list[Observation] = []
        for trial_id, trial in proposed.items():
            status, lowest = ended.get(trial_id, (None, None))
            if status == DIVERGED:
                observations.append((self.point(trial), None))
            elif status != FAILED and lowest is not None:
                observations.append((self.point(trial), math.log(max(lowest, SMALLEST))))
        return observations

    def missing(self, planned: Sequence[Planned], *, retry_failed: bool = False) -> list[Planned]:
        """The trials that are not done yet, see `pending`."""
        return pending(planned, self.context.results, retry_failed=retry_failed, whole=not self.strategy.stop_early)

    def left(self, *, retry_failed: bool = False) -> int:
        """The number of trials that are still to run."""
        rounds = self.rounds()
        known = {r: trials for r, trials in rounds.items() if r <= self.strategy.rounds}
        planned = [self.planned(trial) for trials in known.values() for trial in trials]
        todo = self.missing(planned, retry_failed=retry_failed)
        return len(todo) + (self.strategy.rounds - len(known)) * self.strategy.trials_per_round


def searches(request: Request, space: SearchSpace, strategy: SearchOptions) -> list[Search]:
    """A search for each dataset, method of the space and n_dis; raises InputError if a trial could not run."""
    made = []
    for dataset in request.datasets:
        declared = data.get(dataset, request.data_dir)
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
            for method, n_dis, block in expand_searches(space, declared, request.selection)
        ]
    for search in made:
        build(search.example, *search.shape)
    return made


def as_plan(searches: Sequence[Search], *, retry_failed: bool = False) -> tuple[list[Planned], list[Planned]]:
    """All trials of the searches and those still to run, for cost estimates: each is its search's example trial."""
    planned, todo = [], []
    for search in searches:
        one = search.planned(search.example)
        planned += [one] * (search.strategy.trials)
        todo += [one] * search.left(retry_failed=retry_failed)
    return planned, todo


class Rounds:
    """The work of all searches (`study.driver.scheduler.work.Work`). Each search waits only for its own rounds.

    Args:
        searches: at least one.
        say: called with one line for the user.
        pack_limit: the maximum number of trials in a trial's pack (`study.driver.planning.packs.pack_limit`). A pack
            has trials of one round, and depends on the round's proposals only. Trials that may be stopped early are
            trained alone.
        retry_failed: whether failed trials run again, once.
    """

    def __init__(
        self,
        searches: Sequence[Search],
        say: Callable[[str], Any],
        *,
        pack_limit: Callable[[Planned], int] = no_packs,
        retry_failed: bool = False,
    ) -> None:
        self.contexts = list(dict.fromkeys(search.context for search in searches))
        self._say, self._pack_limit, self._retry_failed = say, pack_limit, retry_failed
        self._searches = {search.example.cell: search for search in searches}
        self._round = dict.fromkeys(self._searches, 0)
        self._waiting: dict[Any, deque[Pack]] = {key: deque() for key in self._searches}
        self._running: dict[Any, set[str]] = {key: set() for key in self._searches}
        self._handed_out: set[str] = set()
        for key in self._searches:
            self._advance(key)

    def take(self) -> Pack | None:
        """The next pack of the search with the earliest round."""
        ready = [key for key, waiting in self._waiting.items() if waiting]
        if not ready:
            return None
        key = min(ready, key=self._round.__getitem__)
        pack = self._waiting[key].popleft()
        self._running[key] |= {planned.trial.id for planned in pack}
        return pack

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """A search continues when the last trial of its round has ended."""
        key = planned.trial.cell
        self._running[key].discard(planned.trial.id)
        if self._running[key] or self._waiting[key]:
            return
        try:
            self._advance(key)
        except DamagedFile:  # a file was damaged in the meantime; the next run repeats the trials that it held
            for path in set_aside_damaged(planned.context.results):
                self._say(f"set aside a damaged file as {path}")
            self._advance(key)

    def _advance(self, key: Any) -> None:
        """Queue the missing trials of the earliest incomplete round; if there is none, propose the next round."""
        search = self._searches[key]
        rounds = search.rounds()
        total = search.strategy.rounds
        last = next(number for number in itertools.count() if number == total or number + 1 not in rounds)
        todo = self._missing(search, [(number, rounds[number]) for number in range(1, last + 1)])
        while not todo and last < total:
            if last and not search.observations(rounds[last]):
                self._say(f"{search.name}: all trials of round {last} failed; the search ends")
                return
            before = [trial for number in range(1, last + 1) for trial in rounds[number]]
            last += 1
            rounds[last] = rounds.get(last) or search.propose(last, before, self._say)
            todo = self._missing(search, [(last, rounds[last])])
        if not todo:
            return
        number = min(todo)
        if max(rounds) > number:
            n = len(todo[number])
            trials = f"{n} {plural(n, 'trial')} of round {number} {plural(n, 'has', 'have')} no row"
            self._say(f"{search.name}: {trials} and {plural(n, 'runs', 'run')} again")
        self._handed_out |= {planned.trial.id for planned in todo[number]}
        self._round[key] = number
        self._waiting[key].extend(group_by_pack(todo[number]))

    def _missing(self, search: Search, rounds: Sequence[tuple[int, Sequence[Trial]]]) -> dict[int, list[Planned]]:
        """The trials that are still to run, by round; the rows are read once for all rounds."""
        number_of = {trial.id: number for number, trials in rounds for trial in trials}
        limit = no_packs if search.strategy.stop_early else self._pack_limit
        whole = [one for _, trials in rounds for one in assign_packs([search.planned(t) for t in trials], limit)]
        todo: dict[int, list[Planned]] = {}
        for planned in search.missing(whole, retry_failed=self._retry_failed):
            if planned.trial.id not in self._handed_out:
                todo.setdefault(number_of[planned.trial.id], []).append(planned)
        return todo
