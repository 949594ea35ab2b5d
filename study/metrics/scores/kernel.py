"""The kernel distance (KID): a squared maximum mean discrepancy (MMD) between two sets of features."""

import numpy as np
import torch
from torch import Tensor

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020
"""The defaults of torch-fidelity; with its seed, the subsets and thus the numbers are the same."""


def subset_size(n_real: int, n_fake: int, requested: int | None = None) -> int:
    """Number of features in a subset: `requested` if given, else at most 1,000 and the smaller set's size."""
    return min(SUBSET_SIZE, n_real, n_fake) if requested is None else requested


def kernel_distance(
    real: Tensor, fake: Tensor, size: int, *, subsets: int = SUBSETS, seed: int = SEED
) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased squared MMD (Binkowski et al. 2018, section 4).

    Args:
        real, fake: features [n, d] and [m, d]; computed in float64.
        size: number of features in a subset, at least 2 and at most the smaller of n and m.
        subsets: number of subsets.
        seed: of the subsets.

    Unbiased: the expected value is 0 if both sets come from one distribution, whatever their sizes, so single values
    can be negative. Differs from the released code of the study, which averages over disjoint blocks of at most 1,024
    features: the expected value is the same, single values are not.
    """
    rng = np.random.RandomState(seed)
    distances = []
    if size == len(real) == len(fake):
        subsets = 1  # every subset would be the whole set
    for _ in range(subsets):
        # Drawn in torch-fidelity's order, where generated images are the first input.
        y, x = (part[torch.from_numpy(rng.choice(len(part), size, replace=False))].double() for part in (fake, real))
        distances.append(unbiased_mmd(x, y))
    return float(np.mean(distances)), float(np.std(distances))


def unbiased_mmd(x: Tensor, y: Tensor) -> float:
    """Squared MMD of x [n, d] and y [m, d] with the kernel (x.y / d + 1)^3 (Gretton et al. 2012, equation 3)."""

    def within(part: Tensor) -> Tensor:
        kernel = polynomial_kernel(part, part)
        return (kernel.sum() - kernel.trace()) / (len(part) * (len(part) - 1))

    return float(within(x) + within(y) - 2 * polynomial_kernel(x, y).mean())


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / d + 1)^3 for all pairs, [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3
