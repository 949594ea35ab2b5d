"""What is kept of a set of images, real or generated, for the metrics to compare."""

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
"""Batches between looks at whether all sets are spoilt, so that one need not be taken to its end."""


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """A set of images as metrics see it, on the CPU; None for what nobody asked for.

    Attributes:
        moments: of the features.
        features: [n, d], float32.
        classes: sums of the class probabilities.
        images: [m, C, H, W], the first ones.
    """

    moments: Moments
    features: Tensor | None = None
    classes: Classes | None = None
    images: Tensor | None = None


Value = TypeVar("Value")


def collected(value: Value | None) -> Value:
    """The value of an attribute of `ImageStatistics` that a metric needs; raises ValueError where it is None."""
    if value is None:
        raise ValueError("not collected: a metric must name what it needs in Metric.real and Metric.fake")
    return value


@torch.inference_mode()
def collect(
    batches: Iterable[Tensor], extractor: Extractor, precision: str, wanted: frozenset[str], images: int
) -> list[ImageStatistics | None]:
    """What is wanted of K sets of images; None for a set in which an image, or its features, is not finite.

    The sets come side by side in batches [K, B, C, H, W], at least one; each is kept as if it were alone. Holds one
    batch and the running sums, these on the extractor's device, beside the features where FEATURES is wanted, and the
    first `images` images of each set where IMAGES is. Only those two, and a look every FINITE_CHECK_EVERY batches, wait for the
    device: while it computes, the next batches are handed to it.
    """
    sums: _Sums | None = None
    kept: list[Tensor] = []
    seen: list[Tensor] = []
    for number, batch in enumerate(batches, 1):
        left = images - (sums.moments.count if sums else 0)
        features = extractor.extract(batch.flatten(0, 1), precision).reshape(*batch.shape[:2], -1)
        told = _Sums(
            _finite(batch).to(features.device) & _finite(features),
            Moments.of(features),
            Classes.of(extractor.logits(features)) if CLASSES in wanted and extractor.logits else None,
        )
        sums = sums.joined(told) if sums else told
        if FEATURES in wanted:
            kept.append(features.cpu())
        if IMAGES in wanted and left > 0:
            seen.append(batch[:, :left].cpu())
        if number % FINITE_CHECK_EVERY == 0 and not sums.finite.any():
            break
    if sums is None:
        raise ValueError("no images to collect")
    finite, nothing = sums.finite.tolist(), [None] * len(sums.finite)
    sets = zip(
        sums.moments.each(),
        torch.cat(kept, dim=1) if kept else nothing,
        sums.classes.each() if sums.classes else nothing,
        torch.cat(seen, dim=1) if seen else nothing,
        strict=True,
    )
    return [ImageStatistics(*one) if whole else None for whole, one in zip(finite, sets, strict=True)]


class _Sums(NamedTuple):
    """What batches tell of K sets; `finite`: bool [K], whether all images and features are."""

    finite: Tensor
    moments: Moments
    classes: Classes | None

    def joined(self, other: "_Sums") -> "_Sums":
        classes = self.classes + other.classes if self.classes and other.classes else None
        return _Sums(self.finite & other.finite, self.moments + other.moments, classes)


def _finite(values: Tensor) -> Tensor:
    """Of values [K, ...], which of the K are finite throughout, bool [K]."""
    return values.isfinite().flatten(1).all(dim=1)
