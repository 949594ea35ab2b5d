"""From a generator to its scores: statistics of the real images, and comparison of generated images with them."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from study.core.errors import InputError
from study.core.evaluation import MetricProtocol, Scores
from study.core.trial import content_id
from study.data import Images
from study.metrics.extractors.extractor import Extractor
from study.metrics.menu import METRICS, compute
from study.metrics.npz import read_npz, write_npz
from study.metrics.sample import CLASSES, FEATURES, MOMENTS, ImageStatistics, collect
from study.metrics.scores.classes import Classes
from study.metrics.scores.frechet import Moments, frechet_distance
from study.metrics.scores.ms_ssim import IMAGES as MS_SSIM_IMAGES

BATCH_SIZE = 100
"""Maximum number of images of one generator in memory. Apart from rounding, neither features nor latents depend on it.
"""

PACK_BATCH_SIZE = 400
"""Maximum number of images of all generators of a pack in memory.

Speed for twelve generators of 8-px digits on one CPU thread: 15,200 images/s with 100, 26,200 with 400 and 28,100 with
800; 20,500 if they are scored one after another.
"""

REAL_FIELDS = ("extractor", "weights_sha256", "n_real", "resize", "quantize", "split", "dtype", "feature_precision")
"""Fields of the protocol that the statistics of the real images depend on."""


class ScoreResult(NamedTuple):
    """The Frechet distance of a set of images, and its scores by the other metrics."""

    frechet_distance: float
    scores: Scores


def real_sample(
    images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path, kinds: frozenset[str] = frozenset()
) -> ImageStatistics:
    """Statistics of the first n_real images of the protocol's split, in dataset order, as in the study.

    `kinds` are the statistics besides the moments: FEATURES, CLASSES. They are cached in `data_dir`/statistics, under a
    hash of everything they depend on, including the pixels and the weights. A damaged file is recomputed, and a folder
    that cannot be written stays without one. Raises InputError if the features are not finite.
    """
    fields = {field: value for field, value in protocol.identity_fields.items() if field in REAL_FIELDS}
    key = content_id({"dataset": images.sha256, **fields}, length=32)
    paths = {kind: data_dir / "statistics" / f"{key}{_SUFFIXES[kind]}.npz" for kind in {MOMENTS, *kinds}}
    known = {kind: _read(kind, path) for kind, path in paths.items()}
    missing = frozenset(kind for kind, value in known.items() if value is None)
    if missing:
        batches = (batch[None] for batch in split_images(images, protocol.split, protocol.n_real))
        (sample,) = collect(batches, extractor, protocol.feature_precision, missing, 0)
        if sample is None:
            name = f"{extractor.name} (weights {extractor.weights_sha256[:12]})"
            raise InputError(
                f"--extractor-weights: features of the real images are not finite with {name}; use other weights."
            )
        for kind in missing:
            known[kind] = getattr(sample, kind)
            with contextlib.suppress(InputError):  # a cache that cannot be written costs time, not the study
                write_npz(paths[kind], _arrays(kind, known[kind]))
    return ImageStatistics(moments=known[MOMENTS], features=known.get(FEATURES), classes=known.get(CLASSES))


_SUFFIXES = {MOMENTS: "", FEATURES: "-features", CLASSES: "-classes"}


def _arrays(kind: str, value: Any) -> Mapping[str, np.ndarray]:
    return {FEATURES: value.numpy()} if kind == FEATURES else value.arrays()


def _read(kind: str, path: Path) -> Any:
    """What `_arrays` wrote; None if the file is missing or damaged."""
    try:
        arrays = read_npz(path)
        if kind == FEATURES:
            return torch.from_numpy(arrays[FEATURES])
        return (Moments if kind == MOMENTS else Classes).from_arrays(arrays)
    except (ValueError, KeyError):
        return None


def split_images(images: Images, split: str, n: int) -> Iterator[Tensor]:
    """The first n images of a split in batches, float32 [B, C, H, W] in [0, 1]."""
    source = {"train": images.train, "test": images.test}[split]
    for start in range(0, n, BATCH_SIZE):
        batch = np.array(
            source[start : min(start + BATCH_SIZE, n)]
        )  # a copy, since PyTorch warns about read-only arrays
        yield torch.from_numpy(batch).float() / 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Scorer:
    """Scores generators with one protocol.

    Attributes:
        extractor: the feature network.
        protocol: how images are scored.
        real: statistics of the real images.
        metrics: names of the metrics besides the Frechet distance.
    """

    extractor: Extractor
    protocol: MetricProtocol
    real: ImageStatistics
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expected = (self.protocol.extractor, self.protocol.weights_sha256)
        if expected != (self.extractor.name, self.extractor.weights_sha256):
            raise ValueError(f"the protocol is for {expected}, not for the extractor {self.extractor}")

    @classmethod
    def prepare(
        cls,
        images: Images,
        extractor: Extractor,
        protocol: MetricProtocol,
        data_dir: Path,
        metrics: tuple[str, ...] = (),
    ) -> "Scorer":
        """A scorer with the statistics of the real images; see `real_sample` for its cache and errors."""
        kinds = frozenset[str]().union(*(METRICS[name].real for name in metrics))
        real = real_sample(images, extractor, protocol, data_dir, kinds)
        return cls(extractor=extractor, protocol=protocol, real=real, metrics=metrics)

    def score(self, generate: Callable[[Tensor], Tensor], latent_dim: int) -> ScoreResult | None:
        """The scores of n_fake generated images; None if an image is not finite.

        `generate` maps latents [B, latent_dim] (float32, on the extractor's device, B <= BATCH_SIZE) to images [B, C,
        H, W] in [0, 1] on any device. The latents are uniform in [-1, 1], as in the study, and the same for all
        generators and devices: they are drawn at once, so they do not depend on the batch size.
        """
        (scored,) = self.score_pack(lambda batch: generate(batch)[None], latent_dim, 1)
        return scored

    def score_pack(self, generate: Callable[[Tensor], Tensor], latent_dim: int, k: int) -> list[ScoreResult | None]:
        """The scores of k generators; None for a generator with an image that is not finite.

        `generate` maps latents as in `score`, the same for all generators, to images [k, B, C, H, W] in [0, 1]. The
        scores equal those of `score` up to rounding, which depends on the batch size.
        """
        rng = torch.Generator().manual_seed(self.protocol.seed)
        latents = torch.rand(self.protocol.n_fake, latent_dim, generator=rng) * 2 - 1
        latents = latents.to(self.extractor.device)  # one copy, since each copy waits for the device
        batch_size = max(1, min(BATCH_SIZE, PACK_BATCH_SIZE // k))
        return self._scored(generate(batch) for batch in torch.split(latents, batch_size))

    def score_images(self, batches: Iterable[Tensor]) -> ScoreResult | None:
        """The scores of n_fake images in batches [B, C, H, W] in [0, 1]; None if one is not finite."""
        (scored,) = self._scored(batch[None] for batch in batches)
        return scored

    @torch.inference_mode()
    def _scored(self, batches: Iterable[Tensor]) -> list[ScoreResult | None]:
        """The scores of k sets of n_fake images in batches [k, B, C, H, W]."""
        if self.protocol.quantize:
            batches = ((batch.clamp(0, 1) * 255).round() / 255 for batch in batches)
        kinds = frozenset[str]().union(*(METRICS[name].fake for name in self.metrics))
        sets = collect(batches, self.extractor, self.protocol.feature_precision, kinds, MS_SSIM_IMAGES)
        return [None if fake is None else self._compare(fake) for fake in sets]

    def _compare(self, fake: ImageStatistics) -> ScoreResult:
        if fake.moments.count != self.protocol.n_fake:
            raise ValueError(f"{fake.moments.count} images for a protocol of {self.protocol.n_fake}")
        scores = compute(self.metrics, self.real, fake, self.protocol)
        return ScoreResult(frechet_distance(self.real.moments, fake.moments), scores)

    def frechet(self, generate: Callable[[Tensor], Tensor], latent_dim: int) -> float | None:
        """Only the Frechet distance of `score`."""
        scored = self.score(generate, latent_dim)
        return scored and scored.frechet_distance
