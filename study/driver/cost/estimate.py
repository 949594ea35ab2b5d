"""How many trials of a plan are still to run, and how long they take."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.core.trial import Method, Trial
from study.driver.cost.flops import CostCase, total_seconds
from study.driver.cost.timings import MeasuredTimes
from study.driver.planning.packs import Pack, group_by_pack
from study.driver.planning.planned import Planned
from study.driver.resources import Slots

CONFIRM_ABOVE = 3 * 24 * 3600
"""Seconds; a longer plan runs only if the user confirms it."""


@dataclass(frozen=True, kw_only=True)
class PlanEstimate:
    """The cost of a plan.

    Attributes:
        methods: by method, the number of all trials and of those to run.
        seconds: wall-clock time on the resources present, without trials that are only scored.
        concurrent: number of concurrent trials.
        device: "cpu" or "gpu".
        measured: number of trials whose time is known from measured trials.
        total: number of trials to run.
        kept: of these, those that are only scored.
        continued: of these, those that continue from a kept state; only their remaining steps count.
        packed, packs: number of trials trained in packs, and number of packs.
    """

    methods: Mapping[str, tuple[int, int]]
    seconds: float
    concurrent: int
    device: str
    measured: int
    total: int
    kept: int = 0
    continued: int = 0
    packed: int = 0
    packs: int = 0

    @property
    def basis(self) -> str:
        """Where the time estimate comes from, as text."""
        return basis(self.measured, self.total - self.kept, self.device)


def basis(measured: int, trials: int, device: str, rates: Iterable[str] = ()) -> str:
    """Where a time estimate comes from, as text.

    Args:
        measured: number of trials whose time is known from measured trials.
        trials: number of all trials.
        device: "cpu" or "gpu".
        rates: architectures whose speed was measured.
    """
    if measured == trials:
        return "from measured trials"
    counted = "from counted operations and an assumed speed" if device == "gpu" else "from counted operations"
    if known := ", ".join(rates):
        counted = f"from counted operations at the measured speed of {known}"
    return f"from {measured:,} measured trials, the rest {counted}" if measured else counted


def by_method(methods: Iterable[Method], *, n_dis: bool = False) -> Callable[[Trial], str]:
    """A function that names a trial's group: its method, and its architecture if there are several."""
    several = len({method.architecture for method in methods}) > 1

    def group(trial: Trial) -> str:
        method = trial.method
        where = f" on {method.architecture}" if several else ""
        return f"{method.name}{where}" + (f", n_dis {trial.hyperparameters.n_dis}" if n_dis else "")

    return group


def estimate(planned: Sequence[Planned], todo: Sequence[Planned], results: Path, slots: Slots) -> PlanEstimate:
    """The cost of the trials `todo` of a plan; rows in `results` tell how long measured trials took."""
    group = by_method(p.trial.method for p in planned)
    every, left = (Counter(group(p.trial) for p in trials) for trials in (planned, todo))
    training = [_cost_case(p) for p in todo if not p.kept]
    seconds, measured = total_seconds(training, MeasuredTimes(results), slots.device)
    together = group_by_pack(todo)
    packs = [pack for pack in together if pack[0].pack]
    return PlanEstimate(
        methods={name: (count, left[name]) for name, count in every.items()},
        seconds=seconds / max(1, min(slots.concurrent, len(together))),
        concurrent=slots.concurrent,
        device=slots.device,
        measured=measured,
        total=len(todo),
        kept=len(todo) - len(training),
        continued=sum(p.parent is not None for p in todo),
        packed=sum(map(len, packs)),
        packs=len(packs),
    )


def _cost_case(planned: Planned) -> CostCase:
    return CostCase(planned.rest, planned.shape, len(planned.together))


def longest_first(todo: Sequence[Planned], results: Path, device: str) -> list[Pack]:
    """The packs, longest remaining time first, so that no long pack runs alone at the end; ties keep their order.

    Trials that are only scored come last.
    """
    measured = MeasuredTimes(results)
    known: dict[Any, float] = {}

    def seconds(planned: Planned) -> float:
        if planned.kept:
            return 0.0
        case = _cost_case(planned)
        if case.key not in known:
            known[case.key], _ = total_seconds([case], measured, device)
        return known[case.key]

    return sorted(group_by_pack(todo), key=lambda pack: sum(map(seconds, pack)), reverse=True)
