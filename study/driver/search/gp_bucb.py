"""Optuna samplers that propose points of a box one after the other: a Sobol sequence, and GP-BUCB."""

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
"""The box: a range for each parameter."""

WIDTH = 2.0
"""Standard deviations between the posterior mean and the confidence bound."""
SCALE, SPREAD = 0.5, 1.0
"""Prior of the kernel's length scales, in the unit cube: median, and standard deviation of the logarithm."""
WORST = 0.75
"""Values above this quantile of the observed values are lowered to it: how bad they are does not matter."""
STARTUP = 10
"""Finished trials before the first fit; the same number as in Optuna's samplers."""
CANDIDATES = 2**10
"""Points at which the bound is evaluated before the search around the best of them."""
STEPS = (0.1, 0.03, 0.01, 0.003)
"""Standard deviations of the search around the best point, in the unit cube."""
NEARBY = 2**7
"""Points per step of that search."""


def to_unit(space: Space, values: Mapping[str, float]) -> np.ndarray:
    """A point of the box as (d,) in the unit cube; axes with `log` are uniform in the logarithm."""
    return np.array([_share(axis, values[name]) for name, axis in space.items()])


def from_unit(space: Space, point: Sequence[float] | np.ndarray) -> dict[str, float]:
    """The inverse of `to_unit`; values outside the box, by rounding, are clipped to it."""
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
    """The scrambled Sobol sequence (Owen, 1998); the number of a trial decides its point.

    Differs from Optuna's QMCSampler: a study that is rebuilt from its trials continues the sequence, and the first
    point belongs to the sequence.

    Args:
        space: the parameters of every trial.
        seed: of the scrambling; 0 or more.
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
        """A random value for a parameter outside `space`."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)


class GpBucbSampler(SobolSampler):
    """GP-BUCB (Desautels, Krause and Burdick, 2014, JMLR 15, algorithm 1), for objectives that are minimised.

    A Gaussian process is fitted to the finished trials. The next point minimises its mean minus `WIDTH` standard
    deviations, which is the upper confidence bound of GP-UCB (Srinivas et al., 2010) for the negative objective. For
    running trials the mean is used as a hallucinated result: this leaves the mean unchanged and reduces the standard
    deviation around them, so a batch spreads out. Until `STARTUP` trials are finished, points are those of
    `SobolSampler`.

    Differs from the paper: the width is constant and the kernel's parameters are fitted, because the width in theory is
    too large and requires a known kernel; values are capped (`WORST`), because some trials collapse.

    Args:
        space: the parameters of every trial.
        seed: of all random numbers; 0 or more.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._fitted: tuple[bytes, GaussianProcessRegressor] | None = None

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        finished = [t for t in trials if t.state == TrialState.COMPLETE and self.space.keys() <= t.params.keys()]
        pending = [t for t in trials if t.state == TrialState.RUNNING and self.space.keys() <= t.params.keys()]
        if len(finished) < STARTUP:
            return super().sample_relative(study, trial, search_space)
        process = self.posterior(self._points(finished), np.array([t.value for t in finished]), self._points(pending))
        return from_unit(self.space, lowest(process, np.random.default_rng((self.seed, trial.number))))

    def posterior(self, observed: np.ndarray, values: np.ndarray, pending: np.ndarray) -> GaussianProcessRegressor:
        """The Gaussian process of the capped and standardised values.

        The kernel is fitted to the observed values only, and again only if they change.

        Args:
            observed: points of finished trials, [n, d], in the unit cube.
            values: their objectives, [n].
            pending: points of running trials, [m, d], whose results are hallucinated.
        """
        values = np.minimum(values, np.quantile(values, WORST))
        values = (values - values.mean()) / (values.std() or 1.0)
        key = observed.tobytes() + values.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, fit(observed, values)
        process = self._fitted[1]
        if not len(pending):
            return process
        points = np.concatenate([observed, pending])
        hallucinated = np.concatenate([values, process.predict(pending)])
        return GaussianProcessRegressor(process.kernel_, alpha=process.alpha, optimizer=None).fit(points, hallucinated)

    def _points(self, trials: Sequence[FrozenTrial]) -> np.ndarray:
        return np.array([to_unit(self.space, t.params) for t in trials]).reshape(-1, len(self.space))


def fit(points: np.ndarray, values: np.ndarray) -> GaussianProcessRegressor:
    """The Gaussian process of points [n, d] and standardised values [n] with the most probable Matern 5/2 kernel.

    Noise is fitted as part of the kernel, and moved to `alpha` afterwards: predictions are of the values without noise.
    """
    scales = Matern([SCALE] * points.shape[1], length_scale_bounds=(0.05, 10), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20)) * scales + WhiteKernel(0.1, (1e-4, 1))
    with warnings.catch_warnings():
        # A parameter at its bound, for example of a flat objective, is not a problem.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianProcessRegressor(kernel, optimizer=_most_probable).fit(points, values).kernel_
    return GaussianProcessRegressor(fitted.k1, alpha=fitted.k2.noise_level, optimizer=None).fit(points, values)


def _most_probable(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, float]:
    """The most probable logarithms of the kernel's parameters, given the likelihood and the prior of the length scales.

    An optimizer for scikit-learn's GaussianProcessRegressor. With few trials the likelihood alone is often highest at a
    bound of a length scale, which ignores an axis or its trials.
    """
    scales = slice(1, -1)  # between the amplitude and the noise

    def negative_log_posterior(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(logs)
        off = (logs[scales] - math.log(SCALE)) / SPREAD
        gradient = gradient.copy()
        gradient[scales] += off / SPREAD
        return value + (off**2).sum() / 2, gradient

    minimum = minimize(negative_log_posterior, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return minimum.x, minimum.fun


def lowest(process: GaussianProcessRegressor, rng: np.random.Generator) -> np.ndarray:
    """The point [d] of the unit cube with the lowest confidence bound: the best of many points, then refined."""
    known = process.X_train_
    candidates = np.concatenate([Sobol(known.shape[1], rng=rng).random(CANDIDATES), known])
    best = _best(process, candidates)
    for step in STEPS:
        nearby = best + step * rng.standard_normal((NEARBY, len(best)))
        best = _best(process, np.concatenate([best[None], nearby.clip(0, 1)]))
    return best


def _best(process: GaussianProcessRegressor, candidates: np.ndarray) -> np.ndarray:
    mean, deviation = process.predict(candidates, return_std=True)
    best: np.ndarray = candidates[np.argmin(mean - WIDTH * deviation)]
    return best
