"""Precision and recall of generated features, by nearest neighbours."""

import torch
from torch import Tensor

NEIGHBOURS = 3
CHUNK = 2**22
"""Maximum number of distances in memory."""


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of generated features in the real manifold, and of real features in the generated one; each in [0, 1].

    The manifold of a set is the union of balls around its features, with the distance to the k-th nearest other feature
    of the set as radius (Kynkaanniemi et al. 2019, equations 1 and 2, with their k = 3).

    Args:
        real, fake: features [n, d] and [m, d], n > k and m > k; computed in float64.
        neighbours: k.
    """
    real, fake = real.double(), fake.double()
    return _share_inside(fake, real, _radii(real, neighbours)), _share_inside(real, fake, _radii(fake, neighbours))


def _radii(features: Tensor, neighbours: int) -> Tensor:
    """Distance of each feature to its k-th nearest other feature, [n]; the nearest is the feature itself."""
    parts = [_distances(part, features).kthvalue(neighbours + 1).values for part in _chunks(features, features)]
    return torch.cat(parts)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    inside = [(_distances(part, centres) <= radii).any(dim=1) for part in _chunks(points, centres)]
    return float(torch.cat(inside).double().mean())


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """All distances, [n, m], relative to the mean: where cdist uses |x|^2 + |y|^2 - 2 x.y, fewer digits are lost."""
    centre = y.mean(dim=0)
    return torch.cdist(x - centre, y - centre)


def _chunks(points: Tensor, others: Tensor) -> tuple[Tensor, ...]:
    return torch.split(points, max(1, CHUNK // len(others)))
