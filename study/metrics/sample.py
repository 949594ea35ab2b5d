"""Statistics of a set of real or generated images, from which the metrics are computed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from study.metrics.extractors.extractor import Extractor
from study.metrics.scores.classes import Classes
from study.metrics.scores.frechet import Moments

MOMENTS, FEATURES, CLASSES, IMAGES = "moments", "features", "classes", "images"
FINITE_CHECK_EVERY = 10
"""Batches between checks whether any set is still finite; if none is, the rest is skipped."""


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of a set of images, on the CPU; None for those that were not requested.

    Attributes:
        moments: of the features.
        features: [n, d], float32.
        classes: sums of the class probabilities.
        images: the first m images, [m, C, H, W] in [0, 1].
    """

    moments: Moments
    features: Tensor | None = None
    classes: Classes | None = None
    images: Tensor | None = None


Value = TypeVar("Value")


def collected(value: Value | None) -> Value:
    """The value of an attribute of `ImageStatistics` that a metric needs; raises ValueError if it is None."""
    if value is None:
        raise ValueError("not collected: a metric must name what it needs in Metric.real and Metric.fake")
    return value


@torch.inference_mode()
def collect(
    batches: Iterable[Tensor], extractor: Extractor, precision: str, kinds: frozenset[str], n_images: int
) -> list[ImageStatistics | None]:
    """The statistics of K sets of images; None for a set in which an image or its features are not finite.

    Memory: one batch and the running sums on the extractor's device; on the CPU the features, if FEATURES is in
    `kinds`, and the first images, if IMAGES is. Only copying those two to the CPU, and a check every FINITE_CHECK_EVERY
    batches, wait for the device; the other batches are queued while it computes.

    Args:
        batches: at least one batch [K, B, C, H, W] in [0, 1], with B images of each set; the sets do not affect
            each other.
        extractor: the feature network.
        precision: its arithmetic, one of FEATURE_PRECISIONS.
        kinds: the statistics to collect besides the moments: FEATURES, CLASSES, IMAGES.
        n_images: number of images of each set to keep for IMAGES.

    Raises ValueError if there are no batches.
    """
    sums: _Sums | None = None
    kept_features: list[Tensor] = []
    kept_images: list[Tensor] = []
    for number, batch in enumerate(batches, 1):
        left = n_images - (sums.moments.count if sums else 0)
        features = extractor.extract(batch.flatten(0, 1), precision).reshape(*batch.shape[:2], -1)
        batch_sums = _Sums(
            _finite(batch).to(features.device) & _finite(features),
            Moments.of(features),
            Classes.of(extractor.logits(features)) if CLASSES in kinds and extractor.logits else None,
        )
        sums = sums.joined(batch_sums) if sums else batch_sums
        if FEATURES in kinds:
            kept_features.append(features.cpu())
        if IMAGES in kinds and left > 0:
            kept_images.append(batch[:, :left].cpu())
        if number % FINITE_CHECK_EVERY == 0 and not sums.finite.any():
            break
    if sums is None:
        raise ValueError("no images to collect")
    finite, nothing = sums.finite.tolist(), [None] * len(sums.finite)
    sets = zip(
        sums.moments.each(),
        torch.cat(kept_features, dim=1) if kept_features else nothing,
        sums.classes.each() if sums.classes else nothing,
        torch.cat(kept_images, dim=1) if kept_images else nothing,
        strict=True,
    )
    return [ImageStatistics(*values) if valid else None for valid, values in zip(finite, sets, strict=True)]


class _Sums(NamedTuple):
    """Running sums over batches of K sets; `finite`, bool [K], is whether all images and features are finite."""

    finite: Tensor
    moments: Moments
    classes: Classes | None

    def joined(self, other: "_Sums") -> "_Sums":
        classes = self.classes + other.classes if self.classes and other.classes else None
        return _Sums(self.finite & other.finite, self.moments + other.moments, classes)


def _finite(values: Tensor) -> Tensor:
    """For values [K, ...], whether all values of each of the K sets are finite, bool [K]."""
    return values.isfinite().flatten(1).all(dim=1)
