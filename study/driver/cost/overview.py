"""The cost of experiments before they run: number of trials, trials that are already done, disk space, and time.

It needs no prepared images and no weights, only declarations of datasets and the rows of a results folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc

import search_spaces
from search_spaces import SearchSpace
from search_spaces.ranges import BO
from study import data
from study.core.context import ALL, NONE
from study.core.errors import InputError
from study.core.trial import Training, Trial
from study.driver.cost.estimate import by_method
from study.driver.cost.flops import (
    CostCase,
    Rates,
    count_cases,
    kept_bytes,
    operations_per_update,
    scored_steps,
    state_bytes,
    total_seconds,
)
from study.driver.cost.timings import MeasuredTimes
from study.driver.planning.plan import checkpoint_interval, training_of, trials_of
from study.driver.request import KeepOptions, Request, SearchBudget
from study.driver.spaces.expand import SearchedMethod, expand_searches
from study.storage.files import DamagedFile
from study.storage.memberships import defined_trial
from study.storage.schema import DIVERGED, FINISHED
from study.storage.tables import read_table, statuses

MAIN_TEXT = ("regularization", "losses", "architectures", "combinations")
"""Experiments of the paper's main text."""
OPTIMISED = MAIN_TEXT[:3]
"""The experiments whose methods are also optimised; the fourth has random settings instead (section 3.3)."""
APPENDICES = ("cifar", "resnet-ablation", "long-training", "published")


@dataclass(frozen=True, kw_only=True)
class OverviewLine:
    """The cost of one group of trials of one experiment on one dataset.

    Attributes:
        space, dataset: the experiment and the dataset.
        group: name of the group; empty for a whole experiment.
        trials: number of trials.
        shared: of these, trials that an earlier line has already counted.
        present: of the rest, trials that are already trained, under any protocol.
        seconds: time on one device for the trials that are left.
        measured: number of left trials whose time is known from measured trials.
        bytes: disk space that the left trials keep.
        concurrent: maximum number of left trials that can run at the same time: all of them, but one round of a search.
        state: largest size in bytes of a running trial's latest state.
        updates: the different numbers of floating-point operations per D update of the left trials.
    """

    space: str
    dataset: str
    group: str
    trials: int
    shared: int
    present: int
    seconds: float
    measured: int
    bytes: int
    concurrent: int
    state: int
    updates: frozenset[float]

    @property
    def left(self) -> int:
        """Number of trials still to run."""
        return self.trials - self.shared - self.present


class Overview:
    """Counts experiments one after the other; a trial that several experiments share is counted once.

    Args:
        request: the options for each experiment; its `datasets` are not used.
        device: "cpu" or "gpu".
        budget: the size of each search.
        rates: measured speed of the networks on the device.

    Attributes:
        lines: the experiments counted so far.
        left_out: by experiment and dataset, the error of experiments of the paper that do not fit the request.
    """

    def __init__(
        self, request: Request, device: str, *, budget: SearchBudget = SearchBudget(), rates: Rates | None = None
    ) -> None:
        self.lines: list[OverviewLine] = []
        self.left_out: dict[str, InputError] = {}
        self.device, self.rates = device, rates or {}
        self._request = request
        self._budget = budget
        self._measured = MeasuredTimes(request.results)
        self._done = {i for (i, _), status in statuses(request.results).items() if status in (FINISHED, DIVERGED)}
        self._counted: set[object] = set()

    def main_text(self, datasets: Sequence[str]) -> None:
        """Count the experiments of the paper's main text, and the optimisation of their methods."""
        self._paper(MAIN_TEXT, datasets, self.space)
        self._paper(OPTIMISED, datasets, self.searches)

    def appendices(self, datasets: Sequence[str]) -> None:
        """Count the experiments of the paper's appendices."""
        self._paper(APPENDICES, datasets, self.space)

    def _paper(
        self, names: Sequence[str], datasets: Sequence[str], count: Callable[[SearchSpace, Sequence[str]], None]
    ) -> None:
        """Count the experiments that fit the request; the others go to `left_out`."""
        for space in map(search_spaces.get, names):
            for dataset in datasets or space.paper_datasets():
                try:
                    count(space, [dataset])
                except DamagedFile:
                    raise
                except InputError as error:
                    self.left_out.setdefault(f"{space.name} on {dataset}", error)

    def space(self, space: SearchSpace, datasets: Sequence[str], *, by: bool = False) -> None:
        """Count a space on datasets, by default those of the paper; `by`: one line for each method."""
        for dataset in datasets or space.paper_datasets():
            declared = data.get(dataset, self._request.data_dir)
            trials = trials_of(self._request, space, declared)
            every = checkpoint_interval(self._request, declared, space)
            group = by_method(trial.method for trial in trials) if by else _whole
            for name in dict.fromkeys(map(group, trials)):
                members = {trial.id: trial for trial in trials if group(trial) == name}
                new = members.keys() - self._counted
                self._counted |= new
                todo = new - self._done
                left = [trial for trial_id, trial in members.items() if trial_id in todo]
                self._add(
                    space.name,
                    name,
                    next(iter(members.values())),
                    trials=len(members),
                    shared=len(members) - len(new),
                    left=left,
                    concurrent=len(left),
                    checkpoint_every=every,
                )

    def searches(self, space: SearchSpace, datasets: Sequence[str], *, by: bool = False) -> None:
        """Count the optimisation of a space's methods, for each n_dis; `by`: one line for each method and n_dis."""
        for dataset in datasets or space.paper_datasets():
            declared = data.get(dataset, self._request.data_dir)
            searches = expand_searches(space, declared, self._request.selection)
            training = training_of(self._request, declared, space)
            every = checkpoint_interval(self._request, declared, space)
            trials = [_example(dataset, search, training) for search in searches]
            group = by_method((trial.method for trial in trials), n_dis=True) if by else _whole
            for name in dict.fromkeys(map(group, trials)):
                members = [trial for trial in trials if group(trial) == name]
                new = [trial for trial in members if (BO, trial) not in self._counted]
                self._counted |= {(BO, trial) for trial in new}
                rest = {trial: max(0, self._budget.trials - self._count_proposed(trial)) for trial in new}
                left = [trial for trial, count in rest.items() for _ in range(count)]
                concurrent = sum(min(count, self._budget.trials_per_round) for count in rest.values())
                command = BO if space.name == "ranges" else f"{BO} {space.name}"
                self._add(
                    command,
                    name,
                    members[0],
                    trials=self._budget.trials * len(members),
                    shared=self._budget.trials * (len(members) - len(new)),
                    left=left,
                    concurrent=concurrent,
                    checkpoint_every=every,
                )

    def _count_proposed(self, example: Trial) -> int:
        """The number of done trials of searches in the results folder with the cell of this trial."""
        return sum((trial.cell, trial.semantics) == (example.cell, example.semantics) for trial in self._proposed)

    @cached_property
    def _proposed(self) -> list[Trial]:
        """The done trials of all searches in the results folder."""
        rows = read_table(self._request.results, "memberships").filter(pc.field("space") == BO).to_pylist()
        done = {row["trial_id"]: row for row in rows if row["trial_id"] in self._done}
        return [defined_trial(self._request.results, row) for row in done.values()]

    def _add(
        self,
        space: str,
        group: str,
        example: Trial,
        *,
        trials: int,
        shared: int,
        left: Sequence[Trial],
        concurrent: int,
        checkpoint_every: int,
    ) -> None:
        declared = data.get(example.dataset, self._request.data_dir)
        shape = declared.channels, declared.resolution
        todo = [CostCase(trial, shape) for trial in left]  # packs are not known yet
        seconds, measured = total_seconds(todo, self._measured, self.device, self.rates)
        cases = [(case.trial, count) for case, count in count_cases(todo)]
        line = OverviewLine(
            space=space,
            dataset=example.dataset,
            group=group,
            trials=trials,
            shared=shared,
            present=trials - shared - len(left),
            seconds=seconds,
            measured=measured,
            bytes=sum(count * self._kept(trial, declared, checkpoint_every) for trial, count in cases),
            state=max((state_bytes(trial, *shape) for trial, _ in cases), default=0),
            concurrent=concurrent,
            updates=frozenset(operations_per_update(trial, *shape) for trial, _ in cases),
        )
        self.lines.append(line)

    def _kept(self, trial: Trial, declared: data.Dataset, checkpoint_every: int) -> int:
        """Bytes that a finished trial keeps; it is scored every `checkpoint_every` discriminator updates."""
        options = self._request.keep
        generators = (
            1 + scored_steps(trial.training.discriminator_steps, checkpoint_every)
            if options.keep == ALL
            else int(options.keep != NONE)
        )
        state = isinstance(options, KeepOptions) and options.keep_states
        return kept_bytes(trial, declared.channels, declared.resolution, generators=generators, state=state)

    def running_bytes(self, devices: int) -> int:
        """Maximum disk space in bytes of latest states while trials run on this number of devices.

        It is twice their size, because a new state is written completely before it replaces the old one.
        """
        largest = [
            size for line in sorted(self.lines, key=lambda line: -line.state) for size in [line.state] * line.left
        ]
        return 2 * sum(largest[:devices])


def _example(dataset: str, search: SearchedMethod, training: Training) -> Trial:
    """One trial of a search; all its trials cost the same."""
    middle = search.block.middle(search.method.penalty, search.n_dis)
    return Trial(dataset=dataset, method=search.method, hyperparameters=middle, training=training)


def _whole(trial: Trial) -> str:
    return ""
