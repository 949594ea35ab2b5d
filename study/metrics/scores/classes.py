"""Running sums of a classifier's outputs for a set of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Classes:
    """Sums of class probabilities over a set of images; `+` merges two sets.

    The sums of K sets of equal size can be stored together, with a leading dimension; `each` splits them.

    Attributes:
        count: number of images n.
        probabilities: [C] or [K, C], float64; sum of p(y|x).
        negative_entropy: [] or [K], float64; sum of sum_y p(y|x) log p(y|x), nats.
        hits: [C] or [K, C], int64; number of images classified as each class.
    """

    count: int
    probabilities: Tensor
    negative_entropy: Tensor
    hits: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Classes":
        """The sums for logits [n, C] or [K, n, C], n >= 1, on their device."""
        log_p = logits.detach().double().log_softmax(dim=-1)
        p = log_p.exp()
        classes = torch.arange(logits.shape[-1], device=logits.device)
        hits = (logits.argmax(dim=-1, keepdim=True) == classes).sum(dim=-2)  # not bincount, which waits for the device
        # A probability that underflows to 0 contributes 0, since its logarithm is finite.
        return cls(logits.shape[-2], p.sum(dim=-2), (p * log_p).sum(dim=(-2, -1)), hits)

    def each(self) -> list["Classes"]:
        """The sums of each of the K sets, on the CPU."""
        tensors = (self.probabilities.cpu(), self.negative_entropy.cpu(), self.hits.cpu())
        return [Classes(self.count, *sums) for sums in zip(*tensors, strict=True)]

    def __add__(self, other: "Classes") -> "Classes":
        return Classes(
            self.count + other.count,
            self.probabilities + other.probabilities,
            self.negative_entropy + other.negative_entropy,
            self.hits + other.hits,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The sums as arrays, for an .npz file."""
        return {
            "count": np.array(self.count),
            "probabilities": self.probabilities.numpy(),
            "negative_entropy": self.negative_entropy.numpy(),
            "hits": self.hits.numpy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Classes":
        """The inverse of `arrays`; raises ValueError if arrays are missing."""
        try:
            names = ("probabilities", "negative_entropy", "hits")
            return cls(int(arrays["count"]), *(torch.from_numpy(np.asarray(arrays[name])) for name in names))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the arrays of classes: {error}") from error
