"""Bayesian optimisation round by round: from the trials that were told to the next ones to try.

Nothing is kept between rounds: a round is a function of what is told, so a study that was killed goes on as it would
have.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from search_spaces.draws import DIGITS, Range, share
from study.core.errors import InputError, look_up
from study.driver.search.gp_bucb import STARTUP, GpBucbSampler, SobolSampler, Space

Told = tuple[Mapping[str, float], float | None]
"""A trial's values by name, and the natural logarithm of its lowest score; None: it diverged."""

Ranges = Mapping[str, Range]
"""By hyperparameter."""

CAP = math.log(1000)
"""What a diverged trial counts as while no trial has a score."""
DEFAULT = "gp-bucb"
DRAWS = 1000
"""Random settings that are tried, in all, in place of settings that were there before."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A line of the menu.

    Attributes:
        make: from the space, the seed and how many trials there were before to the sampler of a round.
        description: one line, with its source.
    """

    make: Callable[[Space, int, int], BaseSampler]
    description: str


def _seed(*parts: int) -> int:
    """32 bits, as Optuna and NumPy want them, of whole numbers."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")


# Samplers that count trials themselves keep their seed, so that a sequence goes on; others take one per round.
SAMPLERS = {
    "gp-bucb": Sampler(
        make=lambda space, seed, before: GpBucbSampler(space, _seed(seed)),
        description="Gaussian process, confidence bound in batches; Desautels, Krause and Burdick 2014, algorithm 1",
    ),
    "tpe": Sampler(
        # Joint densities, as settings interact; pending trials count as bad, or a batch would gather at one place.
        make=lambda space, seed, before: TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=_seed(seed, before)
        ),
        description="tree-structured Parzen estimator (Optuna); Bergstra et al. 2011, multivariate Falkner et al. 2018",
    ),
    "gp": Sampler(
        # Takes pending trials into account by itself. Scores are noisy, so the objective is not deterministic.
        make=lambda space, seed, before: GPSampler(n_startup_trials=STARTUP, seed=_seed(seed, before)),
        description="Gaussian process, log expected improvement (Optuna); Ament et al. 2023",
    ),
    "qmc": Sampler(
        make=lambda space, seed, before: SobolSampler(space, _seed(seed)),
        description="scrambled Sobol sequence, which learns nothing; Owen 1998",
    ),
    "random": Sampler(
        make=lambda space, seed, before: RandomSampler(seed=_seed(seed, before)),
        description="at random, which learns nothing; Bergstra and Bengio 2012",
    ),
}


def propose(
    ranges: Ranges,
    told: Sequence[Told],
    count: int,
    *,
    sampler: str = DEFAULT,
    seed: int,
    untold: Sequence[Mapping[str, float]] = (),
) -> list[dict[str, float]]:
    """The next points to try, each other than all the rest and than those told and untold.

    The same arguments give the same points, in any process.

    Args:
        ranges: by hyperparameter.
        told: see `Told`; in the order of the rounds. A trial that diverged counts as the worst score told, or as `CAP`.
        count: points to propose; each is pending for those after it.
        sampler: a name in `SAMPLERS`.
        seed: any whole number.
        untold: values of trials that say nothing of themselves, as they failed; a proposal of before all the same.

    Returns:
        Values by hyperparameter, of `DIGITS` significant digits and within their ranges.

    Raises:
        InputError: a sampler that is not on the menu, a range that is none, values told that are not of the ranges, or
            fewer points in the ranges than are asked for.
    """
    kind = look_up("--sampler", sampler, SAMPLERS)
    space = {name: FloatDistribution(each.low, each.high, log=each.log) for name, each in ranges.items()}
    axes: dict[str, BaseDistribution] = {**space}
    points = [_inside(values, ranges) for values, _ in told]
    lost = [_inside(values, ranges) for values in untold]
    objectives = _objectives([objective for _, objective in told])
    with _quiet():
        study = optuna.create_study(sampler=kind.make(space, seed, len(told) + len(lost)))
        for point, objective in zip(points, objectives, strict=True):
            study.add_trial(optuna.create_trial(params=point, distributions=axes, value=objective))
        for point in lost:  # which samplers leave out, but for the numbers of those after them
            study.add_trial(optuna.create_trial(params=point, distributions=axes, state=TrialState.FAIL))
        return list(itertools.islice(_fresh(study, axes, ranges, points + lost, seed), count))


def _fresh(
    study: optuna.Study, axes: dict[str, BaseDistribution], ranges: Ranges, before: list[dict[str, float]], seed: int
) -> Iterator[dict[str, float]]:
    """What the study's sampler asks for, one pending after the other; a point that was there before, drawn anew.

    A repeated setting would be the same trial, which is not trained again.
    """
    seen = list(before)
    draws = ({name: range_.at(share(seed, name, index)) for name, range_ in ranges.items()} for index in range(DRAWS))
    while True:
        point = _rounded(study.ask(axes).params, ranges)
        if point in seen:
            others = (_rounded(draw, ranges) for draw in draws)
            point = next((other for other in others if other not in seen), {})
            if not point:
                raise InputError(
                    f"ranges {', '.join(ranges)}: no more than {len(seen)} settings were found in them; widen one, or "
                    "ask for fewer."
                )
            study.add_trial(optuna.create_trial(state=TrialState.RUNNING, params=point, distributions=axes))
        seen.append(point)
        yield point


def _rounded(values: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """Values of `DIGITS` significant digits; those that rounding takes out of their range are clipped to it."""
    return {name: min(max(float(f"{values[name]:.{DIGITS}g}"), r.low), r.high) for name, r in ranges.items()}


def _inside(values: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """Values told, which may be off their range by their rounding."""
    if values.keys() != ranges.keys():
        raise InputError(f"a trial of {', '.join(values)} was told: give values of {', '.join(ranges)}, all of them.")
    inside = _rounded(values, ranges)
    for name, value in values.items():
        if not math.isclose(value, inside[name], rel_tol=10 ** (1 - DIGITS)):
            low, high = ranges[name].low, ranges[name].high
            raise InputError(f"{name} {value:g} was told: not in its range, {low:g} to {high:g}; leave that trial out.")
    return inside


def _objectives(told: Sequence[float | None]) -> list[float]:
    finite = [objective for objective in told if objective is not None]
    for objective in finite:
        if not math.isfinite(objective):
            raise InputError(f"objective {objective}: give a finite number, or None for a trial that diverged.")
    worst = max(finite, default=CAP)
    return [worst if objective is None else objective for objective in told]


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing meanwhile; its level is put back."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
