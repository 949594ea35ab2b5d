"""How far the real images of a dataset's two splits are from each other: what a perfect generator could reach."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from study.core.evaluation import MetricProtocol
from study.data import Images
from study.metrics.extractors.extractor import Extractor
from study.metrics.scores.frechet import frechet_distance
from study.metrics.scoring import real_sample

PAPER = {"cifar10": 5.19, "celeba-hq-128": 12.6, "lsun-bedroom-128": 3.8}
"""FID(train, test) by dataset, as the paper gives it in section 2.5."""


class SplitDistance(NamedTuple):
    """A Frechet distance between the first n_real images of `split` and the first n_other of the other split."""

    distance: float
    split: str
    n_real: int
    n_other: int


def split_distance(images: Images, extractor: Extractor, protocol: MetricProtocol, data_dir: Path) -> SplitDistance:
    """The distance of the protocol's real images from images of the other split in the place of generated ones.

    These are as many as the protocol has generated ones, or all of the other split where it has fewer.
    """
    other = "train" if protocol.split == "test" else "test"
    n_other = min(protocol.n_fake, len({"train": images.train, "test": images.test}[other]))
    sides = (protocol, replace(protocol, split=other, n_real=n_other))
    real, rest = (real_sample(images, extractor, side, data_dir).moments for side in sides)
    return SplitDistance(frechet_distance(real, rest), protocol.split, protocol.n_real, n_other)
