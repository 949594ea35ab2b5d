"""A synthetic study of four hyperparameters, on which ways of proposing settings are compared: its optimum is known.

Learning rate and beta1 trade off along a curved valley, beyond a learning rate training collapses, and what is observed
is noisy, now and then grossly.
"""

import math
from collections.abc import Mapping

import numpy as np

from search_spaces.draws import Range

RANGES = {
    "learning_rate": Range(1e-5, 1e-2, log=True),
    "penalty_weight": Range(1e-3, 1e2, log=True),
    "beta1": Range(0, 0.999),
    "beta2": Range(0, 0.999),
}
OPTIMUM = 22.073973
"""The lowest `fid`, found once by a dense search and local refinements; the tests search for it anew."""
HIGHEST = 420.0
NOISE = 0.05
"""Standard deviation of the logarithm that is observed."""
COLLAPSES = 0.03
"""Share of observations that are higher by one."""


def fid(setting: Mapping[str, float]) -> float:
    """The true score of a setting."""
    log_lr, log_weight = math.log10(setting["learning_rate"]), math.log10(setting["penalty_weight"])
    beta1, beta2 = setting["beta1"], setting["beta2"]
    effective = log_lr - 0.7 * math.log10(1.03 - beta1)
    off = effective + 3.55
    quality = (
        35 * off**2
        + 6 * (log_weight - 0.3 + 0.4 * off) ** 2
        + 25 * max(0, beta1 - 0.55) ** 2
        + 18 * (beta2 - 0.9) ** 2 * (1 + beta1)
    )
    score = 22 + 260 * (1 - math.exp(-quality / 110)) + 150 / (1 + math.exp(-8 * (effective + 2.6)))
    return min(score, HIGHEST)


def observed(setting: Mapping[str, float], random: np.random.Generator) -> float:
    """The logarithm of the score as a trial measures it: with noise, and a collapse now and then."""
    collapse = 1.0 if random.random() < COLLAPSES else 0.0
    return min(math.log(fid(setting)) + random.normal(0, NOISE) + collapse, math.log(HIGHEST))
