"""The Frechet distance between Gaussians fitted to two sets of features, in float64."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter matrix of a set of features; `+` merges two sets.

    The moments of K sets of equal size can be stored together, with a leading dimension; `each` splits them.

    Attributes:
        count: number of features n.
        mean: [d] or [K, d], float64.
        scatter: [d, d] or [K, d, d], float64; sum over features of the outer product of (x - mean) with itself.

    >>> features = torch.rand(100, 4)
    >>> whole = Moments.of(features[:64]) + Moments.of(features[64:])
    >>> torch.allclose(whole.covariance, torch.cov(features.double().T))
    True
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """The moments of features [n, d] or [K, n, d], n >= 1, of any float type, on their device."""
        features = features.detach().to(torch.float64)
        mean = features.mean(dim=-2)
        centred = features - mean.unsqueeze(-2)
        return cls(features.shape[-2], mean, centred.mT @ centred)

    def each(self) -> list["Moments"]:
        """The moments of each of the K sets, on the CPU."""
        return [Moments(self.count, *moments) for moments in zip(self.mean.cpu(), self.scatter.cpu(), strict=True)]

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of the union of two sets (the pairwise update of Chan, Golub & LeVeque 1979).

        Unlike sums of squares, it loses no digits if the mean is large compared with the spread.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        outer = shift[..., :, None] * shift[..., None, :]
        return Moments(
            count,
            self.mean + shift * (other.count / count),
            self.scatter + other.scatter + outer * (self.count * other.count / count),
        )

    @cached_property
    def covariance(self) -> Tensor:
        """The unbiased covariance [d, d], divided by n - 1 as in the study's released code.

        Raises ValueError if n < 2.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 features, not {self.count}")
        return self.scatter / (self.count - 1)

    @property
    def rank(self) -> int:
        """The maximum rank of the covariance: n centred features span at most n - 1 dimensions."""
        return min(self.count - 1, len(self.mean))

    @cached_property
    def triangle(self) -> Tensor | None:
        """The Cholesky factor L [d, d] with L L^T = covariance; None if that is singular or nearly so."""
        if self.rank < len(self.mean):
            return None
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(self.covariance)
        # A pivot that is 0 up to rounding belongs to an eigenvalue that is noise; `root` handles that case.
        noise = len(self.mean) * torch.finfo(torch.float64).eps * self.covariance.diagonal().max()
        return None if failed or factor.diagonal().square().min() <= noise else factor

    @cached_property
    def root(self) -> Tensor:
        """A factor R [d, rank] with R R^T = covariance, from eigenvectors; it exists for singular covariances too."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = vectors[:, -self.rank :] * values[-self.rank :].clamp(min=0).sqrt()
        return root

    def arrays(self) -> dict[str, np.ndarray]:
        """The moments as arrays, for an .npz file."""
        return {"count": np.array(self.count), "mean": self.mean.numpy(), "scatter": self.scatter.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Moments":
        """The inverse of `arrays`; raises ValueError if arrays are missing or do not fit together."""
        try:
            count = int(arrays["count"])
            mean, scatter = (
                torch.from_numpy(np.asarray(arrays[name], dtype=np.float64)) for name in ("mean", "scatter")
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the arrays of moments: {error}") from error
        if (
            mean.ndim != 1
            or scatter.shape != (len(mean), len(mean))
            or not (mean.isfinite().all() and scatter.isfinite().all())
        ):
            raise ValueError("not the arrays of moments: their shapes do not fit or they are not finite")
        return cls(count, mean, scatter)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), where A and B are the covariances.

    The squared 2-Wasserstein distance between two Gaussians (Dowson & Landau 1982), which Heusel et al. 2017 (eq. 6)
    apply to Inception features. A B has the eigenvalues of the symmetric matrix R^T B R, where A = R R^T, so the trace
    needs no matrix square root and no complex numbers. R is the Cholesky factor if one of the covariances has full
    rank, which takes a tenth of the time of the eigenvectors. Factors are cached: pass the set that is compared often
    (the real images) as `a`.

    Returns a number >= 0 in the squared unit of the features; symmetric in `a` and `b` up to rounding. Singular
    covariances (fewer features than dimensions) are allowed. Both sets must be finite and have the same dimension.
    Raises ValueError if a set has fewer than 2 features.
    """
    product = torch.linalg.eigvalsh(_product(a, b))
    # At most `rank` eigenvalues are nonzero. Rounding makes the others about 1e-16, and their roots would add up.
    product = product[-min(a.rank, b.rank) :].clamp(min=0)
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * product.sqrt().sum()
    return max(float(distance), 0.0)


def _product(a: Moments, b: Moments) -> Tensor:
    """A symmetric matrix with the same nonzero eigenvalues as the product of the covariances."""
    for first, second in ((a, b), (b, a)):
        if first.triangle is not None:
            return _congruence(first.triangle, second.covariance)
    return a.root.T @ b.covariance @ a.root


def _congruence(lower: Tensor, symmetric: Tensor, block: int = 256) -> Tensor:
    """The lower triangle of L^T S L, which is all that eigvalsh reads, in blocks that skip the zeros of L."""
    n = len(lower)
    parts = [slice(start, min(start + block, n)) for start in range(0, n, block)]
    half = torch.cat([lower[part.start :, part].T @ symmetric[part.start :] for part in parts])
    result = torch.zeros_like(symmetric)
    for part in parts:
        result[part.start :, part] = half[part.start :, part.start :] @ lower[part.start :, part]
    return result
