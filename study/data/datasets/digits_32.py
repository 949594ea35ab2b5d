"""The digits at 32 px: each pixel of `digits` repeated four by four times, for networks of 32 px."""

from dataclasses import replace

import numpy as np

from study.data.dataset import SPLITS, Images, array_sha256, describe, make_manifest
from study.data.datasets import digits

SCALE = 4


def images() -> Images:
    """The images of `digits` with the same split and order: train uint8 [1197, 1, 32, 32], test [600, 1, 32, 32]."""
    small = digits.images()
    large = {split: getattr(small, split).repeat(SCALE, axis=2).repeat(SCALE, axis=3) for split in SPLITS}
    labels: dict[str, np.ndarray] = {split: getattr(small, f"{split}_labels") for split in SPLITS}
    entries = {split: describe(large[split].shape, array_sha256(large[split]), labels[split]) for split in SPLITS}
    return Images(
        train=large["train"],
        test=large["test"],
        train_labels=labels["train"],
        test_labels=labels["test"],
        manifest=make_manifest(DATASET.name, entries, source="sklearn.datasets.load_digits, enlarged"),
    )


DATASET = replace(
    digits.DATASET,
    name="digits-32",
    description="The same digits enlarged to 32x32 by repeating pixels: a small dataset for networks of 32 px",
    resolution=SCALE * digits.DATASET.resolution,
    embedded=images,
)
