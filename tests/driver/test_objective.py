"""The synthetic study is what it says: its optimum by another search, its noise by counting."""

import math

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from tests.driver.objective import COLLAPSES, HIGHEST, NOISE, OPTIMUM, RANGES, fid, observed

SETTING = {"learning_rate": 1e-4, "penalty_weight": 1.0, "beta1": 0.5, "beta2": 0.9}


@pytest.mark.full
def test_the_optimum():
    def score(shares):
        return fid({name: range_.at(share) for (name, range_), share in zip(RANGES.items(), shares, strict=True)})

    found = differential_evolution(score, [(0, 1)] * len(RANGES), rng=0, maxiter=300, tol=0)
    assert found.fun == pytest.approx(OPTIMUM, abs=1e-4)


def test_a_score_by_hand():
    """At beta1 0.03 + 0.9 = 0.93 the valley is at learning rate 10^-(3.55 + 0.7): every term but one is nought."""
    setting = {"learning_rate": 10**-4.25, "penalty_weight": 10**0.3, "beta1": 0.93, "beta2": 0.9}
    quality = 25 * 0.38**2
    score = 22 + 260 * (1 - math.exp(-quality / 110)) + 150 / (1 + math.exp(8 * 0.95))
    assert fid(setting) == pytest.approx(score, rel=1e-9)


def test_noise_and_collapses():
    random = np.random.default_rng(0)
    off = np.array([observed(SETTING, random) for _ in range(4000)]) - math.log(fid(SETTING))
    assert np.mean(off > 0.5) == pytest.approx(COLLAPSES, abs=0.01)
    assert off[off < 0.5].std() == pytest.approx(NOISE, rel=0.05)
    assert off[off > 0.5].mean() == pytest.approx(1, abs=0.03)
    worst = {"learning_rate": 1e-2, "penalty_weight": 1e2, "beta1": 0.999, "beta2": 0.0}
    assert max(observed(worst, random) for _ in range(200)) == math.log(HIGHEST)
