"""The type of a feature extractor."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.core.trial import BFLOAT16


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A fixed map from images to features, identified by the hash of its weights.

    Attributes:
        name: as in the menu of `study.metrics.extractors.menu`.
        weights_sha256: of the weights file.
        dimension: d, length of a feature vector.
        resize: how images are resized to the input size of the network; `none` if they are not.
        features: images [N, C, H, W], float in [0, 1], on any device -> features [N, d], float32, on the
            extractor's device. It does not round images to uint8; the metric protocol decides about that.
        logits: features -> class logits [N, C]; None if the network is not a classifier.
        dataset_classes: whether its classes are those of the dataset, so that the generated classes can be counted.
        device: where it computes and leaves the features.
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
        """The features [N, d] of images [N, C, H, W], float32, computed in `precision`.

        In bfloat16, layers multiply in bfloat16 and pass bfloat16 maps on.
        """
        if precision != BFLOAT16:
            return self.features(images)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return self.features(images).float()
