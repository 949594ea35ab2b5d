"""What is kept of a set of images, real or generated, for the metrics to compare."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.metrics.classes import Classes
from study.metrics.features import Extractor
from study.metrics.frechet import Moments

MOMENTS, FEATURES, CLASSES, IMAGES = "moments", "features", "classes", "images"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """A set of images as metrics see it; None for what nobody asked for.

    Attributes:
        moments: of the features.
        features: [n, d], float32, on the CPU.
        classes: sums of the class probabilities.
        images: [m, C, H, W], the first ones, on the CPU.
    """

    moments: Moments
    features: Tensor | None = None
    classes: Classes | None = None
    images: Tensor | None = None


@torch.inference_mode()
def collect(batches: Iterable[Tensor], extractor: Extractor, wanted: frozenset[str], images: int) -> Sample | None:
    """What is wanted of images that come in batches [B, C, H, W]; None where one, or its features, is not finite.

    Holds one batch and the running sums, beside the features where FEATURES is wanted, and the first `images` images
    where IMAGES is.
    """
    moments = Moments.empty(extractor.dimension)
    classes: Classes | None = None
    kept: list[Tensor] = []
    seen: list[Tensor] = []
    for batch in batches:
        features = extractor.features(batch)
        if not (batch.isfinite().all() and features.isfinite().all()):
            return None
        left = images - moments.count
        moments = moments + Moments.of(features)
        if FEATURES in wanted:
            kept.append(features.cpu())
        if CLASSES in wanted and extractor.logits is not None:
            told = Classes.of(extractor.logits(features))
            classes = told if classes is None else classes + told
        if IMAGES in wanted and left > 0:
            seen.append(batch[:left].cpu())
    return Sample(
        moments=moments,
        features=torch.cat(kept) if kept else None,
        classes=classes,
        images=torch.cat(seen) if seen else None,
    )
