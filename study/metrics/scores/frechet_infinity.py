"""The Frechet distance extrapolated to an infinite number of generated images."""

import numpy as np
import torch
from torch import Tensor

from study.metrics.scores.frechet import Moments, frechet_distance

POINTS = 15


def frechet_infinity(real: Moments, fake: Tensor, *, points: int = POINTS, seed: int = 0) -> float:
    """The intercept at 1/n = 0 of a line fitted to the Frechet distances for several numbers n of generated features.

    The bias of the Frechet distance due to the number of generated images is linear in 1/n (Chong & Forsyth 2020,
    section 3.1; 15 numbers as there, from a tenth of the images to all). The bias due to the number of real images
    remains. The intercept can be negative.

    Args:
        real: moments of the real features.
        fake: generated features [n, d], n >= 4. The smallest number is at least 2 d if n allows it: below, the bias
            is not linear.
        points: how many numbers of features, before rounding.
        seed: of the random subsets.
    """
    n, dimension = fake.shape
    rng = torch.Generator().manual_seed(seed)
    sizes = np.unique(np.linspace(smallest(n, dimension), n, points).round().astype(int))
    distances = [
        frechet_distance(real, Moments.of(fake[torch.randperm(n, generator=rng)[:size]])) for size in map(int, sizes)
    ]
    return float(np.polyfit(1 / sizes, distances, 1)[1])


def smallest(n: int, dimension: int) -> int:
    """The smallest number of features for which a distance is computed."""
    return max(2, n // 10, min(2 * dimension, n // 2))
