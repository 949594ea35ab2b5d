"""From a generator to its scores: what is known of the real images, and what the metrics make of both."""

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
"""Images of a generator in memory at a time. Features do not depend on it beyond rounding, nor do the latents."""

PACK_BATCH_SIZE = 400
"""Images of all generators of a pack in memory at a time. Twelve of 8-px digits were scored on one thread of a CPU at
15,200 images/s by 100 at once, 26,200 by 400 and 28,100 by 800; one after the other at 20,500."""

REAL_FIELDS = ("extractor", "weights_sha256", "n_real", "resize", "quantize", "split", "dtype", "feature_precision")
"""Fields of the protocol that the statistics of the real images depend on."""


class ScoreResult(NamedTuple):
    """The Frechet distance of a set of images, and the other metrics that were asked for."""

    frechet_distance: float
    scores: Scores


def real_sample(
    images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path, wanted: frozenset[str] = frozenset()
) -> ImageStatistics:
    """Moments, and what else is wanted, of the first n_real images of the protocol's split, in order as in the study.

    Each is kept in `data_dir`/statistics under a hash of all that it depends on: of the pixels and the weights, not of
    their names. A damaged file is computed again. Raises InputError where the folder cannot be written.
    """
    told = {field: value for field, value in protocol.told.items() if field in REAL_FIELDS}
    key = content_id({"dataset": images.sha256, **told}, length=32)
    kinds = {MOMENTS, *wanted}
    paths = {kind: data_dir / "statistics" / f"{key}{_SUFFIXES[kind]}.npz" for kind in kinds}
    known = {kind: _read(kind, path) for kind, path in paths.items()}
    missing = frozenset(kind for kind, value in known.items() if value is None)
    if missing:
        batches = (batch[None] for batch in split_images(images, protocol.split, protocol.n_real))
        (sample,) = collect(batches, extractor, protocol.feature_precision, missing, 0)
        if sample is None:
            name = f"{extractor.name} (weights {extractor.weights_sha256[:12]})"
            raise InputError(
                f"--extractor-weights: features of real images by {name} are not finite; give other weights."
            )
        for kind in missing:
            known[kind] = getattr(sample, kind)
            write_npz(paths[kind], _arrays(kind, known[kind]))
    return ImageStatistics(moments=known[MOMENTS], features=known.get(FEATURES), classes=known.get(CLASSES))


_SUFFIXES = {MOMENTS: "", FEATURES: "-features", CLASSES: "-classes"}


def _arrays(kind: str, value: Any) -> Mapping[str, np.ndarray]:
    return {FEATURES: value.numpy()} if kind == FEATURES else value.arrays()


def _read(kind: str, path: Path) -> Any:
    """What `_arrays` was written of; None where the file is missing or damaged."""
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
        batch = np.array(source[start : min(start + BATCH_SIZE, n)])  # a copy: PyTorch warns of maps
        yield torch.from_numpy(batch).float() / 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Scorer:
    """Scores generators under one protocol.

    Attributes:
        extractor, protocol: what is measured, and how.
        real: what is known of the real images.
        metrics: names on the menu, beside the Frechet distance.
    """

    extractor: Extractor
    protocol: MetricProtocol
    real: ImageStatistics
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        asked = (self.protocol.extractor, self.protocol.weights_sha256)
        if asked != (self.extractor.name, self.extractor.weights_sha256):
            raise ValueError(f"the protocol is for {asked}, not for the extractor {self.extractor}")

    @classmethod
    def prepare(
        cls,
        images: Images,
        extractor: Extractor,
        protocol: MetricProtocol,
        data_dir: Path,
        metrics: tuple[str, ...] = (),
    ) -> "Scorer":
        """A scorer against the real images; see `real_sample` for what is kept and raised."""
        wanted = frozenset[str]().union(*(METRICS[name].real for name in metrics))
        real = real_sample(images, extractor, protocol, data_dir, wanted)
        return cls(extractor=extractor, protocol=protocol, real=real, metrics=metrics)

    def score(self, generate: Callable[[Tensor], Tensor], latent_dim: int) -> ScoreResult | None:
        """The scores of n_fake generated images; None where one is not finite.

        `generate` maps latents [B, latent_dim] (float32, on the extractor's device, B <= BATCH_SIZE) to images
        [B, C, H, W] in [0, 1] on any device. The latents are uniform in [-1, 1], as in the study, and the same for
        every generator and device. Drawn at once, they do not depend on the batches that they are used in.
        """
        (scored,) = self.score_pack(lambda batch: generate(batch)[None], latent_dim, 1)
        return scored

    def score_pack(self, generate: Callable[[Tensor], Tensor], latent_dim: int, k: int) -> list[ScoreResult | None]:
        """The scores of k generators at once; None for one of which an image is not finite.

        `generate` maps latents as those of `score`, which are the same for all of them, to images [k, B, C, H, W]. The
        numbers are those of `score` but for rounding: a network rounds otherwise in batches of another size.
        """
        rng = torch.Generator().manual_seed(self.protocol.seed)
        latents = torch.rand(self.protocol.n_fake, latent_dim, generator=rng) * 2 - 1
        latents = latents.to(self.extractor.device)  # at once: each copy would wait for the device
        batch_size = max(1, min(BATCH_SIZE, PACK_BATCH_SIZE // k))
        return self._scored(generate(batch) for batch in torch.split(latents, batch_size))

    def score_images(self, batches: Iterable[Tensor]) -> ScoreResult | None:
        """The scores of n_fake images that come in batches [B, C, H, W] in [0, 1]; None where one is not finite."""
        (scored,) = self._scored(batch[None] for batch in batches)
        return scored

    @torch.inference_mode()
    def _scored(self, batches: Iterable[Tensor]) -> list[ScoreResult | None]:
        """The scores of k sets of n_fake images that come side by side in batches [k, B, C, H, W]."""
        if self.protocol.quantize:
            batches = ((batch.clamp(0, 1) * 255).round() / 255 for batch in batches)
        wanted = frozenset[str]().union(*(METRICS[name].fake for name in self.metrics))
        sets = collect(batches, self.extractor, self.protocol.feature_precision, wanted, MS_SSIM_IMAGES)
        return [None if fake is None else self._compared(fake) for fake in sets]

    def _compared(self, fake: ImageStatistics) -> ScoreResult:
        if fake.moments.count != self.protocol.n_fake:
            raise ValueError(f"{fake.moments.count} images for a protocol of {self.protocol.n_fake}")
        scores = compute(self.metrics, self.real, fake, self.protocol)
        return ScoreResult(frechet_distance(self.real.moments, fake.moments), scores)

    def frechet(self, generate: Callable[[Tensor], Tensor], latent_dim: int) -> float | None:
        """Only the Frechet distance of `score`."""
        scored = self.score(generate, latent_dim)
        return scored and scored.frechet_distance
