"""Handwritten digits at 8 px, which scikit-learn contains: real images, small enough for a study on a laptop."""

import hashlib

import numpy as np

from study.data.dataset import Dataset, Images, array_sha256, describe, make_manifest

N_TEST = 600


def images() -> Images:
    """1,797 labelled grey digits: train uint8 [1197, 1, 8, 8], test [600, 1, 8, 8].

    The original grey levels 0 to 16 are scaled to 0 to 255 and stay distinct. The split is stratified by label and
    depends only on the pixels, not on random numbers.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    pixels = np.round(source.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = source.target.astype(np.int64)
    train, test = _split(pixels, labels)
    arrays = {"train": pixels[train], "test": pixels[test]}
    classes = {"train": labels[train], "test": labels[test]}
    entries = {split: describe(array.shape, array_sha256(array), classes[split]) for split, array in arrays.items()}
    return Images(
        **arrays,
        train_labels=classes["train"],
        test_labels=classes["test"],
        manifest=make_manifest(DATASET.name, entries, source="sklearn.datasets.load_digits"),
    )


def _split(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the test images, each sorted by hash, which mixes the classes.

    Of the images sorted by (label, hash), N_TEST evenly spaced ones are the test split, so that the share of each
    class is exact to within one image.
    """
    order = np.array(sorted(range(len(pixels)), key=lambda i: hashlib.sha256(pixels[i].tobytes()).digest()))
    line = np.argsort(labels[order], kind="stable")
    is_test = np.zeros(len(order), dtype=bool)
    is_test[line[np.arange(N_TEST) * len(order) // N_TEST]] = True
    return order[~is_test], order[is_test]


DATASET = Dataset(
    name="digits",
    description="1,797 handwritten digits, 8x8 grey (UCI Optical Recognition of Handwritten Digits, by scikit-learn)",
    resolution=8,
    channels=1,
    labelled=True,
    embedded=images,
    architecture="sndcgan",
    width=8,
    discriminator_steps=100,
    checkpoint_every=25,
    extractor="classifier",
)
