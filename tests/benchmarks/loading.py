"""Measures how fast real images of 128 px reach the device: from a map, read ahead, and from the device's memory.

    python tests/benchmarks/loading.py [--gigabytes 2] [--folder DIR]

Makes a map of random pixels, and takes its batches of 64, as training does, as fast as they come. "Cold" is with the
system's copy of the file dropped, so that the disk is read (a virtual machine's host may still hold it); "warm" is the
second pass over the same batches. What needs a GPU is left out where there is none.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from study.core.trial import Training
from study.data import Images
from study.training.batches import BatchReader, from_device, from_map, prefetched

SHAPE = (3, 128, 128)
WRITTEN_AT_ONCE = 1000


def make(path: Path, n: int) -> None:
    """A file of n images of random pixels, on disk."""
    rng = np.random.default_rng(0)
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (n, *SHAPE))
    for start in range(0, n, WRITTEN_AT_ONCE):
        part = stored[start : start + WRITTEN_AT_ONCE]
        part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
    stored.flush()


def drop(path: Path) -> None:
    """Have the system forget the file's content; it does so only while nobody has mapped it."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(batches: BatchReader, training: Training, device: str) -> float:
    """Images per second of all steps, taken five at a time, as in a cycle."""
    start = time.perf_counter()
    for step in range(1, training.discriminator_steps + 1, 5):
        batches(range(step, min(step + 5, training.discriminator_steps + 1)))
    if device == "cuda":
        torch.cuda.synchronize()
    return training.discriminator_steps * training.batch_size / (time.perf_counter() - start)


def main() -> None:
    """Print images per second of each way, cold and warm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the file is made; on the disk that is to be measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Training(discriminator_steps=options.steps, width=1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "train.npy"
        make(path, int(options.gigabytes * 1e9) // int(np.prod(SHAPE)))
        print(f"{path.stat().st_size / 1e9:.1f} GB, {options.steps} batches of {training.batch_size}, on {device}")
        for way in (from_map, prefetched):
            drop(path)
            stored = np.load(path, mmap_mode="r")
            images = Images(train=stored, test=stored[:1], manifest={})
            cold, warm = (rate(way(images, training, device), training, device) for _ in range(2))
            print(f"{way.__name__:12} cold {cold:8,.0f}   warm {warm:8,.0f} images/s", flush=True)
            del stored, images
        if device == "cuda":
            stored = np.load(path, mmap_mode="r")
            images = Images(train=stored, test=stored[:1], manifest={})
            print(f"from_device  {rate(from_device(images, training, device), training, device):8,.0f} images/s")


if __name__ == "__main__":
    main()
