"""How much there is to do of a plan, and how long that takes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.core.trial import Method, Trial
from study.driver.cost.flops import Costed, total_seconds
from study.driver.cost.timings import Measured
from study.driver.planning.packs import Pack, grouped
from study.driver.planning.planned import Planned
from study.driver.resources import Slots

PATIENCE = 3 * 24 * 3600
"""Seconds; a plan that takes longer is run only when the user confirms it."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Counts by method as (all, to be run), seconds on the resources present, and what the seconds rest on.

    `kept` of the `total` to run are only scored, which the seconds leave out; `continued` go on from a kept state, of
    which they count the rest; `packed` are trained in `packs`, each by one program.
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
        """Where the seconds come from, in words."""
        return basis(self.measured, self.total - self.kept, self.device)


def basis(measured: int, trials: int, device: str, rates: Iterable[str] = ()) -> str:
    """What the time of so many trials rests on, in words; `rates` are the architectures whose speed was measured."""
    if measured == trials:
        return "from measured trials"
    counted = "from counted operations and an assumed speed" if device == "gpu" else "from counted operations"
    if known := ", ".join(rates):
        counted = f"from counted operations at the measured speed of {known}"
    return f"from {measured:,} measured trials, the rest {counted}" if measured else counted


def by_method(methods: Iterable[Method], *, n_dis: bool = False) -> Callable[[Trial], str]:
    """How trials of these methods are grouped for people: by method, and by architecture where there are several."""
    several = len({method.architecture for method in methods}) > 1

    def group(trial: Trial) -> str:
        method = trial.method
        where = f" on {method.architecture}" if several else ""
        return f"{method.name}{where}" + (f", n_dis {trial.hyperparameters.n_dis}" if n_dis else "")

    return group


def estimate(planned: Sequence[Planned], todo: Sequence[Planned], results: Path, slots: Slots) -> Estimate:
    """How much there is to do and how long it takes."""
    group = by_method(p.trial.method for p in planned)
    every, left = (Counter(group(p.trial) for p in trials) for trials in (planned, todo))
    training = [_costed(p) for p in todo if not p.kept]
    seconds, measured = total_seconds(training, Measured(results), slots.device)
    together = grouped(todo)
    packs = [pack for pack in together if pack[0].pack]
    return Estimate(
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


def _costed(planned: Planned) -> Costed:
    return Costed(planned.rest, planned.shape, len(planned.together))


def longest_first(todo: Sequence[Planned], results: Path, device: str) -> list[Pack]:
    """The packs by the time that is left of each, so that no long one is alone at the end; equal ones in their order.

    Trials that are only to be scored come last.
    """
    measured = Measured(results)
    known: dict[Any, float] = {}

    def seconds(planned: Planned) -> float:
        if planned.kept:
            return 0.0
        one = _costed(planned)
        if one.kind not in known:
            known[one.kind], _ = total_seconds([one], measured, device)
        return known[one.kind]

    return sorted(grouped(todo), key=lambda pack: sum(map(seconds, pack)), reverse=True)
