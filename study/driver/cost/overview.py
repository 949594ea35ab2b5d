"""What experiments cost before any of them runs: trials, what is there already, disk, and hours on given devices.

Needs neither prepared images nor weights: only what is declared, and the rows of a results folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import pyarrow.compute as pc

import search_spaces
from search_spaces import SearchSpace
from search_spaces.ranges import BO
from study import data
from study.core.context import ALL, NONE
from study.core.errors import InputError
from study.core.trial import Training, Trial
from study.driver.cost.estimate import by_method
from study.driver.cost.flops import Costed, Rates, alike, kept_bytes, scored_steps, state_bytes, total_seconds
from study.driver.cost.timings import Measured
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
"""Those whose methods are optimised as well; the fourth has random settings instead (section 3.3)."""
APPENDICES = ("cifar", "resnet-ablation", "long-training", "published")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One group of trials of one experiment on one dataset.

    Attributes:
        space, dataset, group: what it is about; `group` is empty for a whole experiment.
        trials: all of them.
        shared: of these, counted in a line before.
        present: of the rest, trained already, under whatever protocol.
        seconds: of one device, for what is left.
        measured: how many of those left the seconds of which rest on measurements.
        bytes: of what trials keep on disk, for what is left.
        at_once: how many of those left can run at a time: all, but of a search one round.
        state: bytes of the latest state of a trial that runs, the largest of those that are left.
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
    at_once: int
    state: int

    @property
    def left(self) -> int:
        """Trials to be run."""
        return self.trials - self.shared - self.present


class Overview:
    """Counts experiments one after the other, each trial once.

    Args:
        request: what is asked of each experiment, but for its `datasets`.
        device: "cpu" or "gpu".
        budget: of each search.
        rates: what was measured of the networks on the device.

    Attributes:
        lines: what was counted.
        left_out: why experiments of the paper have nothing of what was asked for, by experiment and dataset.
    """

    def __init__(
        self, request: Request, device: str, *, budget: SearchBudget = SearchBudget(), rates: Rates | None = None
    ) -> None:
        self.lines: list[Line] = []
        self.left_out: dict[str, InputError] = {}
        self.device, self.rates = device, rates or {}
        self._request = request
        self._budget = budget
        self._measured = Measured(request.results)
        self._done = {i for (i, _), status in statuses(request.results).items() if status in (FINISHED, DIVERGED)}
        self._counted: set[object] = set()

    def main_text(self, datasets: Sequence[str]) -> None:
        """The experiments of the paper's main text, and the optimisation of their methods."""
        self._paper(MAIN_TEXT, datasets, self.space)
        self._paper(OPTIMISED, datasets, self.searches)

    def appendices(self, datasets: Sequence[str]) -> None:
        """What the paper has beside."""
        self._paper(APPENDICES, datasets, self.space)

    def _paper(
        self, names: Sequence[str], datasets: Sequence[str], count: Callable[[SearchSpace, Sequence[str]], None]
    ) -> None:
        """Counts those that have what was asked for; `left_out` tells of the others."""
        for space in map(search_spaces.get, names):
            for dataset in datasets or space.paper_datasets():
                try:
                    count(space, [dataset])
                except DamagedFile:
                    raise
                except InputError as error:
                    self.left_out.setdefault(f"{space.name} on {dataset}", error)

    def space(self, space: SearchSpace, datasets: Sequence[str], *, by: bool = False) -> None:
        """A space on datasets, or where none is given those on which the paper has it; `by`: a line for each method."""
        for dataset in datasets or space.paper_datasets():
            declared = data.get(dataset, self._request.data_dir)
            trials = trials_of(self._request, space, declared)
            every = checkpoint_interval(self._request, declared, space)
            group = by_method(trial.method for trial in trials) if by else _whole
            for name in dict.fromkeys(map(group, trials)):
                mine = {trial.id: trial for trial in trials if group(trial) == name}
                new = mine.keys() - self._counted
                self._counted |= new
                todo = new - self._done
                left = [trial for trial_id, trial in mine.items() if trial_id in todo]
                like = next(iter(mine.values()))
                counts = len(mine), len(mine) - len(new)
                self._add(space.name, name, like, *counts, left, at_once=len(left), every=every)

    def searches(self, space: SearchSpace, datasets: Sequence[str], *, by: bool = False) -> None:
        """The optimisation of the methods of a space, for each n_dis."""
        for dataset in datasets or space.paper_datasets():
            declared = data.get(dataset, self._request.data_dir)
            searches = expand_searches(space, declared, self._request.selection)
            training = training_of(self._request, declared, space)
            every = checkpoint_interval(self._request, declared, space)
            trials = [_like(dataset, search, training) for search in searches]
            group = by_method((trial.method for trial in trials), n_dis=True) if by else _whole
            for name in dict.fromkeys(map(group, trials)):
                mine = [trial for trial in trials if group(trial) == name]
                new = [trial for trial in mine if (BO, trial) not in self._counted]
                self._counted |= {(BO, trial) for trial in new}
                rest = {trial: max(0, self._budget.trials - self._searched(trial)) for trial in new}
                left = [trial for trial, count in rest.items() for _ in range(count)]
                at_once = sum(min(count, self._budget.trials_per_round) for count in rest.values())
                command = BO if space.name == "ranges" else f"{BO} {space.name}"
                counts = (self._budget.trials * count for count in (len(mine), len(mine) - len(new)))
                self._add(command, name, mine[0], *counts, left, at_once=at_once, every=every)

    def _searched(self, like: Trial) -> int:
        """How many done trials the searches of this method have in the results folder, whatever proposed them."""
        return sum(trial.cell == like.cell for trial in self._proposed)

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
        like: Trial,
        trials: int,
        shared: int,
        left: Sequence[Trial],
        *,
        at_once: int,
        every: int,
    ) -> None:
        declared = data.get(like.dataset, self._request.data_dir)
        shape = declared.channels, declared.resolution
        todo = [Costed(trial, shape) for trial in left]  # nothing is packed yet
        seconds, measured = total_seconds(todo, self._measured, self.device, self.rates)
        kinds = [(one.trial, count) for one, count in alike(todo)]
        line = Line(
            space=space,
            dataset=like.dataset,
            group=group,
            trials=trials,
            shared=shared,
            present=trials - shared - len(left),
            seconds=seconds,
            measured=measured,
            bytes=sum(count * self._kept(trial, declared, every) for trial, count in kinds),
            state=max((state_bytes(trial, *shape) for trial, _ in kinds), default=0),
            at_once=at_once,
        )
        self.lines.append(line)

    def _kept(self, trial: Trial, declared: data.Dataset, every: int) -> int:
        """Bytes that a finished trial keeps, which is scored `every` so many updates."""
        asked = self._request.keep
        generators = (
            1 + scored_steps(trial.training.discriminator_steps, every)
            if asked.keep == ALL
            else int(asked.keep != NONE)
        )
        state = isinstance(asked, KeepOptions) and asked.keep_states
        return kept_bytes(trial, declared.channels, declared.resolution, generators=generators, state=state)

    def running_bytes(self, devices: int) -> int:
        """The most disk that latest states take while so many trials run, beside what is kept.

        It is twice what they are, since a new one is written whole before it replaces the old one.
        """
        largest = (size for line in sorted(self.lines, key=lambda one: -one.state) for size in [line.state] * line.left)
        return 2 * sum(islice(largest, devices))


def _like(dataset: str, search: SearchedMethod, training: Training) -> Trial:
    """A trial of a search; all of them cost the same."""
    middle = search.block.middle(search.method.penalty, search.n_dis)
    return Trial(dataset=dataset, method=search.method, hyperparameters=middle, training=training)


def _whole(trial: Trial) -> str:
    return ""
