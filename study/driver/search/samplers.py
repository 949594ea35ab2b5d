"""Bayesian optimisation round by round: from the results of earlier trials to the next points to try.

No state is kept between rounds: a round is a function of the earlier results, so a search that was killed continues
with the same proposals.
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

Observation = tuple[Mapping[str, float], float | None]
"""A trial's hyperparameters by name, and the natural logarithm of its lowest score; None if it diverged."""

Ranges = Mapping[str, Range]
"""Ranges by hyperparameter."""

CAP = math.log(1000)
"""Objective of a diverged trial while no trial has a score."""
DEFAULT = "gp-bucb"
DRAWS = 1000
"""Maximum number of random points that are tried in place of repeated ones."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """An entry of the menu.

    Attributes:
        make: returns the sampler of a round, given the space, the seed and the number of earlier trials.
        description: one line, with its source.
    """

    make: Callable[[Space, int, int], BaseSampler]
    description: str


def _seed(*parts: int) -> int:
    """A seed of 32 bits, as Optuna and NumPy require, from whole numbers."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big")


# Samplers that count trials themselves keep their seed, so that their sequence continues; others get one per round.
SAMPLERS = {
    "gp-bucb": Sampler(
        make=lambda space, seed, before: GpBucbSampler(space, _seed(seed)),
        description="Gaussian process, confidence bound in batches; Desautels, Krause and Burdick 2014, algorithm 1",
    ),
    "tpe": Sampler(
        # Joint densities, because hyperparameters interact; pending trials count as bad, so that a batch spreads out.
        make=lambda space, seed, before: TPESampler(
            multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=_seed(seed, before)
        ),
        description="tree-structured Parzen estimator (Optuna); Bergstra et al. 2011, multivariate Falkner et al. 2018",
    ),
    "gp": Sampler(
        # It takes pending trials into account. Scores are noisy, so the objective is not deterministic.
        make=lambda space, seed, before: GPSampler(n_startup_trials=STARTUP, seed=_seed(seed, before)),
        description="Gaussian process, log expected improvement (Optuna); Ament et al. 2023",
    ),
    "qmc": Sampler(
        make=lambda space, seed, before: SobolSampler(space, _seed(seed)),
        description="scrambled Sobol sequence, ignores results; Owen 1998",
    ),
    "random": Sampler(
        make=lambda space, seed, before: RandomSampler(seed=_seed(seed, before)),
        description="random search, ignores results; Bergstra and Bengio 2012",
    ),
}


def propose(
    ranges: Ranges,
    observations: Sequence[Observation],
    count: int,
    *,
    sampler: str = DEFAULT,
    seed: int,
    failed: Sequence[Mapping[str, float]] = (),
) -> list[dict[str, float]]:
    """The next points to try, distinct from all earlier points and from each other.

    The same arguments give the same points, in any process.

    Args:
        ranges: by hyperparameter.
        observations: results in the order of the rounds, see `Observation`. A trial that diverged counts as the worst
            observed objective, or as `CAP` if there is none.
        count: number of points to propose; each is pending for those after it.
        sampler: a name in `SAMPLERS`.
        seed: any whole number.
        failed: points of trials that failed; they have no objective, but are not proposed again.

    Returns:
        Values by hyperparameter, with `DIGITS` significant digits and within their ranges.

    Raises:
        InputError: the sampler is unknown, a range is not valid, an observation has other hyperparameters or is outside
            the ranges, or the ranges have fewer points than `count`.
    """
    kind = look_up("--sampler", sampler, SAMPLERS)
    space = {name: FloatDistribution(each.low, each.high, log=each.log) for name, each in ranges.items()}
    axes: dict[str, BaseDistribution] = {**space}
    points = [_inside(values, ranges) for values, _ in observations]
    lost = [_inside(values, ranges) for values in failed]
    objectives = _objectives([objective for _, objective in observations])
    with _quiet():
        study = optuna.create_study(sampler=kind.make(space, seed, len(points) + len(lost)))
        for point, objective in zip(points, objectives, strict=True):
            study.add_trial(optuna.create_trial(params=point, distributions=axes, value=objective))
        for point in lost:  # samplers ignore these points, except that they count
            study.add_trial(optuna.create_trial(params=point, distributions=axes, state=TrialState.FAIL))
        return list(itertools.islice(_new_points(study, axes, ranges, points + lost, seed), count))


def _new_points(
    study: optuna.Study, axes: dict[str, BaseDistribution], ranges: Ranges, before: list[dict[str, float]], seed: int
) -> Iterator[dict[str, float]]:
    """The sampler's points, each pending for those after it; a repeated point is replaced by a random one.

    A repeated point would be the same trial, which is not trained again.
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
                    f"ranges {', '.join(ranges)}: only {len(seen)} different settings were found in them; widen "
                    "one, or propose fewer trials."
                )
            study.add_trial(optuna.create_trial(state=TrialState.RUNNING, params=point, distributions=axes))
        seen.append(point)
        yield point


def _rounded(values: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """Values with `DIGITS` significant digits, clipped to their ranges."""
    return {name: min(max(float(f"{values[name]:.{DIGITS}g}"), r.low), r.high) for name, r in ranges.items()}


def _inside(values: Mapping[str, float], ranges: Ranges) -> dict[str, float]:
    """The rounded values; raises InputError if they are outside their ranges by more than rounding."""
    if values.keys() != ranges.keys():
        raise InputError(f"an observation has {', '.join(values)}: give values of {', '.join(ranges)}, all of them.")
    inside = _rounded(values, ranges)
    for name, value in values.items():
        if not math.isclose(value, inside[name], rel_tol=10 ** (1 - DIGITS)):
            low, high = ranges[name].low, ranges[name].high
            raise InputError(
                f"{name} {value:g} of an observation: must be from {low:g} to {high:g}; leave that trial out."
            )
    return inside


def _objectives(observed: Sequence[float | None]) -> list[float]:
    """The objectives, with a number for diverged trials."""
    finite = [objective for objective in observed if objective is not None]
    for objective in finite:
        if not math.isfinite(objective):
            raise InputError(f"objective {objective}: give a finite number, or None for a trial that diverged.")
    worst = max(finite, default=CAP)
    return [worst if objective is None else objective for objective in observed]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log inside the block."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
