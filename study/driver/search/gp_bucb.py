"""Points of a box proposed one after the other, as Optuna samplers: a Sobol sequence, and Gaussian-process bandits."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.optimize import minimize
from scipy.stats.qmc import Sobol
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

Space = Mapping[str, FloatDistribution]
"""The box, by parameter."""

WIDTH = 2.0
"""Standard deviations between the posterior mean and the bound."""
SCALE, SPREAD = 0.5, 1.0
"""Prior of the kernel's scales, in edges of the unit cube: median, and standard deviation of the logarithm."""
WORST = 0.75
"""Quantile of the values told that worse ones are lowered to: it does not matter how bad they are."""
STARTUP = 10
"""Trials that are told before the first fit; Optuna's samplers wait for as many."""
CANDIDATES = 2**10
"""Points of the box that the bound is looked up at, before the search goes on around the best."""
STEPS = (0.1, 0.03, 0.01, 0.003)
"""Standard deviations of the search around the best, in edges of the unit cube."""
AROUND = 2**7
"""Points per step of that search."""


def to_unit(space: Space, values: Mapping[str, float]) -> np.ndarray:
    """A point of the box as (d,) in the unit cube; axes with `log` are uniform in the logarithm."""
    return np.array([_share(axis, values[name]) for name, axis in space.items()])


def from_unit(space: Space, point: Sequence[float] | np.ndarray) -> dict[str, float]:
    """The inverse of `to_unit`; what rounding puts outside the box is clipped to it."""
    return {name: _value(axis, float(share)) for (name, axis), share in zip(space.items(), point, strict=True)}


def _share(axis: FloatDistribution, value: float) -> float:
    if axis.single():
        return 0.0
    if axis.log:
        return math.log(value / axis.low) / math.log(axis.high / axis.low)
    return (value - axis.low) / (axis.high - axis.low)


def _value(axis: FloatDistribution, share: float) -> float:
    value = axis.low * (axis.high / axis.low) ** share if axis.log else axis.low + share * (axis.high - axis.low)
    return min(max(value, axis.low), axis.high)


class SobolSampler(BaseSampler):
    """The scrambled Sobol sequence (Owen, 1998), a trial's point by its number.

    Differs from Optuna's QMCSampler: a study that is rebuilt from its trials goes on where it stood, and the first
    point is one of the sequence.

    Args:
        space: the parameters of every trial.
        seed: of the scrambling; not negative.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed
        self._others = RandomSampler(seed=seed % 2**32)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        points = Sobol(len(self.space), rng=np.random.default_rng(self.seed))
        if trial.number:  # SciPy fails at 0
            points.fast_forward(trial.number)
        return from_unit(self.space, points.random(1)[0])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters outside `space`: at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)


class GpBucbSampler(SobolSampler):
    """GP-BUCB (Desautels, Krause and Burdick, 2014, JMLR 15, algorithm 1), for objectives that are minimised.

    A Gaussian process is fitted to the finished trials; the next point is where its mean less `WIDTH` standard
    deviations is lowest, which is the upper confidence bound of GP-UCB (Srinivas et al., 2010) for the negative
    objective. Trials that still run are hallucinated to end at the mean: that leaves the mean as it is and shrinks the
    deviation around them, so a batch spreads. Until `STARTUP` trials are finished, points are those of `SobolSampler`.

    Differs from the paper: the width is constant and the kernel's parameters are fitted, as theory's width is too wide
    and presumes the kernel known; values are capped (`WORST`), as trials collapse now and then.

    Args:
        space: the parameters of every trial.
        seed: of all that is random; not negative.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._fitted: tuple[bytes, GaussianProcessRegressor] | None = None

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        told = [t for t in trials if t.state == TrialState.COMPLETE and self.space.keys() <= t.params.keys()]
        pending = [t for t in trials if t.state == TrialState.RUNNING and self.space.keys() <= t.params.keys()]
        if len(told) < STARTUP:
            return super().sample_relative(study, trial, search_space)
        process = self.posterior(self._points(told), np.array([t.value for t in told]), self._points(pending))
        return from_unit(self.space, lowest(process, np.random.default_rng((self.seed, trial.number))))

    def posterior(self, told: np.ndarray, values: np.ndarray, pending: np.ndarray) -> GaussianProcessRegressor:
        """The process given (n, d) points with (n,) values and (m, d) hallucinated ones, of the capped and
        standardised values.

        The kernel is fitted to what is told, once for as long as that stays the same.
        """
        values = np.minimum(values, np.quantile(values, WORST))
        values = (values - values.mean()) / (values.std() or 1.0)
        key = told.tobytes() + values.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, fit(told, values)
        process = self._fitted[1]
        if not len(pending):
            return process
        points = np.concatenate([told, pending])
        hallucinated = np.concatenate([values, process.predict(pending)])
        return GaussianProcessRegressor(process.kernel_, alpha=process.alpha, optimizer=None).fit(points, hallucinated)

    def _points(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        return np.array([to_unit(self.space, t.params) for t in trials]).reshape(-1, len(self.space))


def fit(points: np.ndarray, values: np.ndarray) -> GaussianProcessRegressor:
    """A process of (n, d) points and (n,) standardised values, of the most probable Matern 5/2 kernel with noise.

    Noise is fitted with the kernel and taken out of it afterwards, into `alpha`: predictions are of what is observed
    less its noise.
    """
    scales = Matern([SCALE] * points.shape[1], length_scale_bounds=(0.05, 10), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20)) * scales + WhiteKernel(0.1, (1e-4, 1))
    with warnings.catch_warnings():
        # A parameter at its bound, as of an objective that is flat, is no one's concern.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianProcessRegressor(kernel, optimizer=_most_probable).fit(points, values).kernel_
    return GaussianProcessRegressor(fitted.k1, alpha=fitted.k2.noise_level, optimizer=None).fit(points, values)


def _most_probable(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, float]:
    """The kernel's parameters, in logarithms, by likelihood and the prior of the scales; in scikit-learn's terms.

    Few trials say little of an axis: the likeliest scale is then often a bound, which ignores the axis or its trials.
    """
    scales = slice(1, -1)  # between the amplitude and the noise

    def negative_log_posterior(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(logs)
        off = (logs[scales] - math.log(SCALE)) / SPREAD
        gradient = gradient.copy()
        gradient[scales] += off / SPREAD
        return value + (off**2).sum() / 2, gradient

    found = minimize(negative_log_posterior, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x, found.fun


def lowest(process: GaussianProcessRegressor, random: np.random.Generator) -> np.ndarray:
    """The point of the unit cube, (d,), where the lower confidence bound is lowest: many looked at, then refined."""
    seen = process.X_train_
    candidates = np.concatenate([Sobol(seen.shape[1], rng=random).random(CANDIDATES), seen])
    best = _best(process, candidates)
    for step in STEPS:
        nearby = best + step * random.standard_normal((AROUND, len(best)))
        best = _best(process, np.concatenate([best[None], nearby.clip(0, 1)]))
    return best


def _best(process: GaussianProcessRegressor, candidates: np.ndarray) -> np.ndarray:
    mean, deviation = process.predict(candidates, return_std=True)
    best: np.ndarray = candidates[np.argmin(mean - WIDTH * deviation)]
    return best
