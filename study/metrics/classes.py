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

    Attributes:
        count: number of images n.
        probabilities: [C], float64; the sum of p(y|x).
        negative_entropy: the sum of sum_y p(y|x) log p(y|x), nats.
        hits: [C], int64; how many images are judged to be of each class.
    """

    count: int
    probabilities: Tensor
    negative_entropy: float
    hits: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Classes":
        """The sums for logits [n, C], n >= 1, on any device."""
        log_p = logits.detach().double().log_softmax(dim=1)
        p = log_p.exp()
        hits = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])
        # A probability that underflows to 0 adds 0: its logarithm is finite.
        return cls(len(logits), p.sum(dim=0).cpu(), float((p * log_p).sum()), hits.cpu())

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
            "negative_entropy": np.array(self.negative_entropy),
            "hits": self.hits.numpy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Classes":
        """What `arrays` returned; raises ValueError where arrays are missing."""
        try:
            probabilities, hits = (torch.from_numpy(np.asarray(arrays[name])) for name in ("probabilities", "hits"))
            return cls(int(arrays["count"]), probabilities, float(arrays["negative_entropy"]), hits)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the arrays of classes: {error}") from error
