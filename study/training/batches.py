"""The real images of each step: their order, and how they reach the device.

On a CPU, a batch is read from the (memory-mapped) images when it is needed. On a GPU, all training images are kept on
the device if they take at most a quarter of the memory that is free and the process may use, shared by the trials of a
process; otherwise the next batches are read and pinned while the device computes. The batches are bit-identical in all
three cases. The images of a batch are scattered over the file, so the operating system is asked for all of them before
the first is read.
"""

import mmap
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor

from study.core.trial import Training
from study.data import Images

BatchReader = Callable[[range], Tensor]
"""n consecutive steps of D, counted from 1 -> float32 [n, batch_size, C, H, W] in [0, 1] on the device."""


def real_batches(images: Images, training: Training, device: str) -> BatchReader:
    """The batches of training images of a trial, on `device`."""
    if not device.startswith("cuda"):
        return from_map(images, training, device)
    return (from_device if _fit(images, device) else prefetched)(images, training, device)


@lru_cache(maxsize=1)
def _fit(images: Images, device: str) -> bool:
    """Whether all training images are kept on a GPU; decided once, before they are there."""
    free, total = torch.cuda.mem_get_info(device)
    allowed = total * torch.cuda.get_per_process_memory_fraction(torch.device(device).index)  # None: the current one
    return images.train.nbytes <= min(free, allowed) / 4


def from_map(images: Images, training: Training, device: str = "cpu") -> BatchReader:
    """Batches that are read from disk on demand."""
    return lambda steps: _scaled(_read(images, training, steps).to(device))


def from_device(images: Images, training: Training, device: str) -> BatchReader:
    """Batches that are gathered from training images on the device."""
    resident = _resident(images, device)

    def batches(steps: range) -> Tensor:
        indices = send(torch.from_numpy(_indices(images, training, steps)), device)
        gathered = resident.index_select(0, indices.flatten())
        return _scaled(gathered.view(*indices.shape, *gathered.shape[1:]))

    return batches


@lru_cache(maxsize=1)
def _resident(images: Images, device: str) -> Tensor:
    return torch.from_numpy(np.array(images.train)).to(device)


def send(tensor: Tensor, device: str) -> Tensor:
    """A CPU tensor on a device, without waiting for a GPU."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor


def prefetched(images: Images, training: Training, device: str) -> BatchReader:
    """Batches that are read in a thread ahead of time, as many as were asked for, and pinned if the device is a GPU."""
    threads = ThreadPoolExecutor(1)
    pending: dict[range, Future[Tensor]] = {}

    def read(steps: range) -> Tensor:
        batches = _read(images, training, steps)
        return batches.pin_memory() if device.startswith("cuda") else batches

    def batches(steps: range) -> Tensor:
        current = pending.pop(steps, None) or threads.submit(read, steps)
        pending.clear()
        if following := range(steps.stop, min(steps.stop + len(steps), training.discriminator_steps + 1)):
            pending[following] = threads.submit(read, following)
        return _scaled(current.result().to(device, non_blocking=True))

    return batches


def _read(images: Images, training: Training, steps: range) -> Tensor:
    """The batches as stored, uint8 [n, batch_size, C, H, W]."""
    indices = _indices(images, training, steps)
    if isinstance(images.train, np.memmap):
        _request(images.train, indices.ravel())
    return torch.from_numpy(images.train[indices])


def _request(stored: np.memmap, indices: np.ndarray) -> None:
    """Ask the system to read images of a mapped file [N, ...] in parallel; otherwise each read waits for the disk."""
    mapped = cast(mmap.mmap, stored.base)
    size = stored[0].nbytes
    before = stored.offset % mmap.ALLOCATIONGRANULARITY  # bytes of the map before the first image
    for start in (before + indices * size).tolist():
        page = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 255


def _indices(images: Images, training: Training, steps: range) -> np.ndarray:
    """The indices of the images of several steps, int64 [n, batch_size]."""
    size = len(images.train), training.data_seed, training.batch_size
    return np.stack([batch_indices(*size, step) for step in steps])


def batch_indices(n: int, data_seed: int, batch_size: int, step: int) -> np.ndarray:
    """The indices of a step's images among n, int64 [batch_size].

    Images are visited in epochs, each with its own order; a batch can cross the end of an epoch. The order is the same
    for all trials with one data seed, as in the study's released code.
    """
    epochs, places = np.divmod(np.arange((step - 1) * batch_size, step * batch_size), n)
    return np.concatenate([_order(data_seed, int(epoch), n)[places[epochs == epoch]] for epoch in np.unique(epochs)])


@lru_cache(maxsize=4)
def _order(data_seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of n images in an epoch."""
    return np.random.Generator(np.random.PCG64([data_seed, epoch])).permutation(n)
