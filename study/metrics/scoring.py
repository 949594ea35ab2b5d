"""From a generator to its score: the metric protocol, the statistics of the real images, and the distance to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from study.data import Images
from study.metrics.features import Extractor
from study.metrics.files import read_npz, write_npz
from study.metrics.frechet import Moments, frechet_distance
from study.names import InputError
from study.trial import MetricProtocol, content_id

BATCH_SIZE = 100
"""Images in memory at a time. Features do not depend on it beyond rounding, nor do the latents."""

REAL_FIELDS = ("extractor", "weights_sha256", "n_real", "resize", "quantize", "split", "dtype")
"""Fields of the protocol that the statistics of the real images depend on."""


def resolve_protocol(
    images: Images,
    extractor: Extractor,
    n_real: int | None = None,
    n_fake: int | None = None,
    default_n: int = 10_000,
) -> MetricProtocol:
    """The study's protocol (section 4) on a dataset: held-out real images against as many generated ones.

    Either number defaults to `default_n` or the size of the test split, whichever is smaller. Generated images are not
    rounded to uint8. Raises InputError where a number is below 2, or more real images are asked for than there are.
    """
    available = len(images.test)
    if n_real is not None and n_real > available:
        raise InputError(f"--n-real {n_real}: the test split has {available} images; ask for at most that many.")
    for option, number in (("--n-real", n_real), ("--n-fake", n_fake)):
        if number is not None and number < 2:
            raise InputError(f"{option} {number}: a covariance needs at least 2 images.")
    default = min(default_n, available)
    return MetricProtocol(
        extractor=extractor.name,
        weights_sha256=extractor.weights_sha256,
        n_real=default if n_real is None else n_real,
        n_fake=default if n_fake is None else n_fake,
        resize=extractor.resize,
    )


@torch.inference_mode()
def real_moments(images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path) -> Moments:
    """Moments of the features of the first n_real images of the protocol's split, in their order, as the study did.

    They are kept in `data_dir`/statistics under a hash of all that they depend on: of the pixels and the weights, not
    of their names. A damaged file is computed again. Raises InputError where the folder cannot be written.
    """
    key = content_id(
        {"dataset": images.sha256, **{field: getattr(protocol, field) for field in REAL_FIELDS}}, length=32
    )
    path = data_dir / "statistics" / f"{key}.npz"
    try:
        return Moments.from_arrays(read_npz(path))
    except ValueError:
        parts = (Moments.of(extractor.features(batch)) for batch in _real_images(images, protocol))
        moments = reduce(add, parts, Moments.empty(extractor.dimension))
    if not moments.scatter.isfinite().all():
        name = f"{extractor.name} (weights {extractor.weights_sha256[:12]})"
        raise InputError(f"--extractor-weights: features of real images by {name} are not finite; give other weights.")
    write_npz(path, moments.arrays())
    return moments


def _real_images(images: Images, protocol: MetricProtocol) -> Iterator[Tensor]:
    split = {"train": images.train, "test": images.test}[protocol.split]
    for start in range(0, protocol.n_real, BATCH_SIZE):
        batch = np.array(split[start : min(start + BATCH_SIZE, protocol.n_real)])  # a copy: PyTorch warns of maps
        yield torch.from_numpy(batch).float() / 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Scorer:
    """Scores generators under one protocol.

    Attributes:
        extractor, protocol: what is measured, and how.
        real: moments of the real images' features.
    """

    extractor: Extractor
    protocol: MetricProtocol
    real: Moments

    def __post_init__(self) -> None:
        asked = (self.protocol.extractor, self.protocol.weights_sha256)
        if asked != (self.extractor.name, self.extractor.weights_sha256):
            raise ValueError(f"the protocol is for {asked}, not for the extractor {self.extractor}")

    @classmethod
    def prepare(cls, images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path) -> "Scorer":
        """A scorer against the real images; see `real_moments` for what is kept and raised."""
        return cls(extractor=extractor, protocol=protocol, real=real_moments(images, extractor, protocol, data_dir))

    @torch.inference_mode()
    def frechet(self, generate: Callable[[Tensor], Tensor], latent_dim: int) -> float | None:
        """Frechet distance between n_fake generated images and the real ones; None where one is not finite.

        `generate` maps latents [B, latent_dim] (float32, on the CPU, B <= BATCH_SIZE) to images [B, C, H, W] in [0, 1]
        on any device. The latents are uniform in [-1, 1], as in the study, and the same for every generator. Given at
        once, they do not depend on the batches that they are used in.
        """
        rng = torch.Generator().manual_seed(self.protocol.seed)
        latents = torch.rand(self.protocol.n_fake, latent_dim, generator=rng) * 2 - 1
        fake = Moments.empty(self.extractor.dimension)
        for batch in latents.split(BATCH_SIZE):
            images = generate(batch)
            if self.protocol.quantize:
                images = (images.clamp(0, 1) * 255).round() / 255
            features = self.extractor.features(images)
            if not (images.isfinite().all() and features.isfinite().all()):
                return None
            fake = fake + Moments.of(features)
        return frechet_distance(self.real, fake)
