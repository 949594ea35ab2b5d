"""Precision and recall of generated features among real ones, by nearest neighbours."""

import torch
from torch import Tensor

NEIGHBOURS = 3
CHUNK = 2**22
"""Distances in memory at a time."""


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of generated features inside the real manifold, and of real ones inside the generated; each in [0, 1].

    A set's manifold is the union of balls around its features, each as large as the distance to its k-th nearest other
    feature of the set (Kynkaanniemi et al. 2019, equations 1 and 2, with their k = 3).

    Args:
        real, fake: features [n, d] and [m, d], each with more than k of them; computed with in float64.
    """
    real, fake = real.double(), fake.double()
    return _share_inside(fake, real, _radii(real, neighbours)), _share_inside(real, fake, _radii(fake, neighbours))


def _radii(features: Tensor, neighbours: int) -> Tensor:
    """Distance of each feature to its k-th nearest other one, [n]: itself is the nearest of all."""
    parts = [_distances(part, features).kthvalue(neighbours + 1).values for part in _chunks(features, features)]
    return torch.cat(parts)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    inside = [(_distances(part, centres) <= radii).any(dim=1) for part in _chunks(points, centres)]
    return float(torch.cat(inside).double().mean())


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """All distances, [n, m]. From |x|^2 + |y|^2 - 2 x.y where that is quicker, about the mean to lose fewer digits."""
    centre = y.mean(dim=0)
    return torch.cdist(x - centre, y - centre)


def _chunks(points: Tensor, others: Tensor) -> tuple[Tensor, ...]:
    return torch.split(points, max(1, CHUNK // len(others)))
