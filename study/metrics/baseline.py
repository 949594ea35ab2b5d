"""The Frechet distance between the real images of a dataset's two splits: the score of a perfect generator."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from study.core.evaluation import MetricProtocol
from study.data import Images
from study.metrics.extractors.extractor import Extractor
from study.metrics.scores.frechet import frechet_distance
from study.metrics.scoring import real_sample

PAPER = {"cifar10": 5.19, "celeba-hq-128": 12.6, "lsun-bedroom-128": 3.8}
"""FID(train, test) by dataset, from section 2.5 of the paper."""


class SplitDistance(NamedTuple):
    """The Frechet distance between real images of the two splits.

    Attributes:
        distance: the Frechet distance, >= 0.
        split: the split of the protocol.
        n_real: number of images, the first ones of `split`.
        n_other: number of images, the first ones of the other split.
    """

    distance: float
    split: str
    n_real: int
    n_other: int


def split_distance(images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path) -> SplitDistance:
    """The Frechet distance of the protocol's real images, with images of the other split instead of generated ones.

    The other split gives as many images as the protocol has generated ones, or all images if it has fewer. Raises
    InputError as `study.metrics.scoring.real_sample` does.
    """
    other = "train" if protocol.split == "test" else "test"
    n_other = min(protocol.n_fake, len({"train": images.train, "test": images.test}[other]))
    sides = (protocol, replace(protocol, split=other, n_real=n_other))
    real, other_real = (real_sample(images, extractor, side, data_dir).moments for side in sides)
    return SplitDistance(frechet_distance(real, other_real), protocol.split, protocol.n_real, n_other)
