"""What a feature extractor is, and the precision in which it computes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.core.trial import BFLOAT16


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A fixed map from images to features, known by the hash of its weights.

    Attributes:
        name: as in the menu of `study.metrics.extractors.menu`.
        weights_sha256: of the file that its weights came from.
        dimension: d, length of a feature.
        resize: how images reach the network's size; `none` where it takes them as they are.
        features: images [N, C, H, W], float in [0, 1], on any device -> features [N, d], float32, on the extractor's.
            Images are not rounded to uint8: the metric protocol says whether that is done before.
        logits: features -> class logits [N, C]; None where the network is no classifier.
        judges: whether its classes are those of the dataset, so that it can tell which of them are generated.
        device: where it computes, and leaves the features.
    """

    name: str
    weights_sha256: str
    dimension: int
    resize: str
    features: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None
    dataset_classes: bool = False
    device: str = "cpu"

    def extract(self, images: Tensor, precision: str) -> Tensor:
        """The features [N, d] of images [N, C, H, W], computed in the protocol's feature_precision.

        In bfloat16 the products of its layers are, and what lies between them; the features come back in float32.
        """
        if precision != BFLOAT16:
            return self.features(images)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return self.features(images).float()
