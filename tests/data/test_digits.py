"""The embedded digits: lossless, split as declared, the same on every machine."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from study.data import load

GOLDEN = "f3c9c90876e759d838308301bf985fcfe4bb738947c5d2c69a0435e9015e20de"
GOLDEN_32 = "c61ab7e82c6e2c6ebcf964a61ea275d5f683de1355b42a1c170812993d31b7fa"


@pytest.fixture(scope="module")
def images():
    return load("digits")


def test_golden_hash(images):
    """Rows carry this hash: where it changes, no row of before can be compared with one of after."""
    assert images.sha256 == GOLDEN
    assert load("digits").sha256 == GOLDEN


def test_digits_32_are_the_digits_four_times_as_large(images):
    large = load("digits-32")
    assert large.sha256 == GOLDEN_32
    for split in ("train", "test"):
        ours, theirs = getattr(large, split), getattr(images, split)
        assert ours.shape[1:] == (1, 32, 32) and ours.dtype == np.uint8
        for top in range(4):
            for left in range(4):
                np.testing.assert_array_equal(ours[:, :, top::4, left::4], theirs)
        np.testing.assert_array_equal(getattr(large, f"{split}_labels"), getattr(images, f"{split}_labels"))


def test_shapes_and_types(images):
    assert (images.train.shape, images.test.shape) == ((1197, 1, 8, 8), (600, 1, 8, 8))
    assert images.train.dtype == images.test.dtype == np.uint8
    assert (images.train_labels.shape, images.test_labels.shape) == ((1197,), (600,))
    assert images.train_labels.dtype == images.test_labels.dtype == np.int64


def test_the_splits_hold_every_image_once_with_its_label_and_its_original_levels(images):
    levels = np.round(np.concatenate([images.train, images.test]) / (255 / 16)).reshape(-1, 64)
    labels = np.concatenate([images.train_labels, images.test_labels])
    source = load_digits()
    ours = np.column_stack([levels, labels])
    theirs = np.column_stack([source.data, source.target])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert images.train.max() == 255 and images.train.min() == 0


def test_the_split_is_stratified_and_its_order_mixed(images):
    total = np.bincount(load_digits().target)
    in_test = np.bincount(images.test_labels)
    assert np.abs(in_test - total * 600 / 1797).max() < 1
    for labels in (images.train_labels, images.test_labels):
        assert np.bincount(labels[:200], minlength=10).min() >= 10
