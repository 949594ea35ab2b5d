"""The order of the real images, and that it is the same however they reach the device."""

import dataclasses
import mmap

import numpy as np
import pytest
import torch

from study.core.trial import Training
from study.training.batches import _request, _resident, batch_indices, from_device, from_map, prefetched, real_batches

WAYS = [from_map, from_device, prefetched]


def training(batch_size=64, steps=12, data_seed=547):
    return Training(discriminator_steps=steps, width=1, batch_size=batch_size, data_seed=data_seed)


def order(n, batch_size, steps, data_seed=547):
    """The numbers of the images that pass by."""
    batches = [batch_indices(n, data_seed, batch_size, step) for step in range(1, steps + 1)]
    assert all(batch.shape == (batch_size,) for batch in batches)
    return np.concatenate(batches).tolist()


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (10, 10), (10, 1), (3, 8), (1, 5), (12, 5)])
def test_each_epoch_shows_every_image_once_and_batches_cross_its_end(n, batch_size):
    epochs = 5
    seen = order(n, batch_size, -(-epochs * n // batch_size))
    parts = [seen[i * n : (i + 1) * n] for i in range(epochs)]
    assert all(sorted(part) == list(range(n)) for part in parts)
    if n >= 10:
        assert len({tuple(part) for part in parts}) == epochs


def test_the_order_depends_on_the_data_seed_and_not_on_the_batch_size():
    assert order(12, 5, 12) == order(12, 4, 15) == order(12, 60, 1)
    assert order(12, 12, 1, data_seed=1) != order(12, 12, 1, data_seed=2)


@pytest.mark.parametrize("way", WAYS)
def test_batches_are_the_images_of_that_order_from_0_to_1(digits, way):
    batches = way(digits, training(), "cpu")
    for step in (1, 2, 3, 19, 20):  # 19 is past the end of an epoch of 1,197
        expected = digits.train[batch_indices(len(digits.train), 547, 64, step)].astype(np.float32) / np.float32(255)
        (got,) = batches(range(step, step + 1))
        assert got.dtype == torch.float32
        assert np.array_equal(got.numpy(), expected)
    assert got.max() == 1


@pytest.mark.parametrize("way", WAYS)
def test_images_of_a_mapped_file_are_those_in_memory(digits, tmp_path, way):
    np.save(tmp_path / "train.npy", digits.train)
    mapped = dataclasses.replace(digits, train=np.load(tmp_path / "train.npy", mmap_mode="r"))
    assert isinstance(mapped.train, np.memmap)
    batches, plain = way(mapped, training(), "cpu"), from_map(digits, training())
    assert torch.equal(batches(range(1, 20)), plain(range(1, 20)))  # all of an epoch


class Stored(list):
    """Images of a map whose file begins so many bytes before them; notes what is asked of the system."""

    def __init__(self, offset, images):
        super().__init__(images)
        self.offset, self.base, self.asked = offset, self, []

    def madvise(self, how, start, length):
        assert how == mmap.MADV_WILLNEED and start % mmap.PAGESIZE == 0
        self.asked.append((start, start + length))


def test_the_asked_images_are_requested_and_at_most_a_page_before_each():
    images = np.zeros((9, 3, 50, 70), np.uint8)
    for offset, before in ((128, 128), (mmap.ALLOCATIONGRANULARITY + 192, 192)):
        stored = Stored(offset, images)
        _request(stored, np.array([8, 0, 3]))
        for image, (start, end) in zip((8, 0, 3), stored.asked, strict=True):
            first = before + image * images[0].nbytes
            assert first - mmap.PAGESIZE < start <= first
            assert end == first + images[0].nbytes


@pytest.mark.parametrize("way", WAYS)
def test_steps_may_be_asked_for_in_any_order_and_twice_and_several_at_once(digits, way):
    batches, plain = way(digits, training(), "cpu"), from_map(digits, training())
    for start, end in ((5, 6), (5, 6), (1, 2), (12, 14), (13, 14), (2, 3), (3, 6), (6, 9), (9, 11), (11, 13)):
        every = [plain(range(step, step + 1))[0] for step in range(start, end)]
        assert torch.equal(batches(range(start, end)), torch.stack(every))


def test_images_that_lie_on_the_device_are_shared_by_the_trials_of_a_process(digits):
    fresh, before = dataclasses.replace(digits), _resident.cache_info()
    one, other = (from_device(fresh, training(data_seed=seed), "cpu") for seed in (1, 2))
    assert not torch.equal(one(range(1, 2)), other(range(1, 2)))
    assert (_resident.cache_info().misses, _resident.cache_info().hits) == (before.misses + 1, before.hits + 1)


@pytest.mark.parametrize(
    ("free", "total", "share", "way"),
    [
        (4, 100, 1, "from_device"),
        (3.99, 100, 1, "prefetched"),  # others have the rest
        (100, 100, 1 / 25, "from_device"),
        (100, 100, 1 / 25.1, "prefetched"),  # the process may use no more
    ],
)
def test_on_a_gpu_images_lie_there_if_they_take_at_most_a_quarter_of_what_is_to_be_had(
    digits, monkeypatch, free, total, share, way
):
    images = dataclasses.replace(digits)
    size = images.train.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * size), int(total * size)))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: share)
    for name in ("from_device", "prefetched"):
        monkeypatch.setattr(f"study.training.batches.{name}", lambda *arguments, name=name: name)
    assert real_batches(images, training(), "cuda") == way
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, size))  # now that they are there
    assert real_batches(images, training(), "cuda") == way
    assert real_batches(images, training(), "cpu") not in ("from_device", "prefetched")
