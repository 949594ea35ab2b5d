"""The classes of generated images and their proportions, from the predictions of a classifier."""

import torch
from torch import Tensor


def classes_hit(fake: Tensor) -> int:
    """Number of classes with at least one generated image. `fake`: number of images per class [C]."""
    return int((fake > 0).sum())


def class_kl(real: Tensor, fake: Tensor) -> float:
    """KL(generated || real) = sum_c g_c log(g_c / r_c), nats, >= 0 (as in Metz et al. 2017, section 3.3.1).

    Args:
        real, fake: number of images per class, [C] each.

    A class without generated images adds 0, so the sum stays finite. A class with generated but no real images counts
    as half a real image, since the sum would be infinite otherwise.
    """
    g, r = _shares(fake), _shares(torch.where((real == 0) & (fake > 0), 0.5, real.double()))
    return max(0.0, float((torch.special.xlogy(g, g) - torch.special.xlogy(g, r)).sum()))


def class_js(real: Tensor, fake: Tensor) -> float:
    """Jensen-Shannon divergence of two histograms [C], nats: in [0, log 2], symmetric, 0 if they are equal."""
    r, g = _shares(real), _shares(fake)
    middle = (r + g) / 2
    entropies = [float(torch.special.xlogy(part, part).sum()) for part in (r, g, middle)]
    return max(0.0, (entropies[0] + entropies[1]) / 2 - entropies[2])


def _shares(counts: Tensor) -> Tensor:
    return counts.double() / counts.sum()
