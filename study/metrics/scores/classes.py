"""What a classifier says of a set of images, as running sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Classes:
    """Sums over images of their class probabilities; sets are joined by `+`.

    Those of K sets of equal size can be held side by side: their tensors have a leading dimension. `each` parts them.

    Attributes:
        count: number of images n.
        probabilities: [C] or [K, C], float64; the sum of p(y|x).
        negative_entropy: [] or [K], float64; the sum of sum_y p(y|x) log p(y|x), nats.
        hits: [C] or [K, C], int64; how many images are judged to be of each class.
    """

    count: int
    probabilities: Tensor
    negative_entropy: Tensor
    hits: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Classes":
        """The sums for logits [n, C] or [K, n, C], n >= 1; on their device."""
        log_p = logits.detach().double().log_softmax(dim=-1)
        p = log_p.exp()
        classes = torch.arange(logits.shape[-1], device=logits.device)
        hits = (logits.argmax(dim=-1, keepdim=True) == classes).sum(dim=-2)  # bincount would wait for the device
        # A probability that underflows to 0 adds 0: its logarithm is finite.
        return cls(logits.shape[-2], p.sum(dim=-2), (p * log_p).sum(dim=(-2, -1)), hits)

    def each(self) -> list["Classes"]:
        """The sums of each of K sets, on the CPU."""
        tensors = (self.probabilities.cpu(), self.negative_entropy.cpu(), self.hits.cpu())
        return [Classes(self.count, *one) for one in zip(*tensors, strict=True)]

    def __add__(self, other: "Classes") -> "Classes":
        return Classes(
            self.count + other.count,
            self.probabilities + other.probabilities,
            self.negative_entropy + other.negative_entropy,
            self.hits + other.hits,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The sums as arrays, for a .npz file."""
        return {
            "count": np.array(self.count),
            "probabilities": self.probabilities.numpy(),
            "negative_entropy": self.negative_entropy.numpy(),
            "hits": self.hits.numpy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Classes":
        """What `arrays` returned; raises ValueError where arrays are missing."""
        try:
            names = ("probabilities", "negative_entropy", "hits")
            return cls(int(arrays["count"]), *(torch.from_numpy(np.asarray(arrays[name])) for name in names))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the arrays of classes: {error}") from error
