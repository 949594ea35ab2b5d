"""How fast a dataset is prepared, beside a bare loop of Pillow over the same files: python tests/benchmarks/prepare.py.

Prints images per second of a bare loop (open and decode, nothing else; one process), of preparing with one process and
with one per core, and the ratios; the three take turns, since a shared machine changes its pace.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from study import data
from study.data.decoding import available_cores

SIDE = 128


def make(folder: Path, n: int) -> list[Path]:
    """PNGs as photographs compress: coarse colour with a little noise, about 32 kB each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = [folder / f"{i:06}.png" for i in range(n)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((SIDE, SIDE))
        pixels = np.asarray(coarse).astype(int) + rng.integers(-6, 7, (SIDE, SIDE, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return paths


def bare(paths: list[Path]) -> float:
    """Images per second of Pillow alone."""
    start = time.perf_counter()
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
    return len(paths) / (time.perf_counter() - start)


def prepared(source: Path, folder: Path, workers: int) -> float:
    """Images per second of the whole preparation: listing, decoding, hashing, writing, flushing to the disk."""
    made = data.prepare("celeba-hq-128", source, folder, workers=workers)
    shutil.rmtree(folder)
    return made.images / made.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cores = available_cores()
    ways = {"bare Pillow loop": [], "prepared, 1 process": [], f"prepared, {cores} processes": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = make(folder / "source", options.images)
        for _ in range(options.rounds):
            rates = (bare(paths), *(prepared(folder / "source", folder / "data", n) for n in (1, cores)))
            for found, rate in zip(ways.values(), rates, strict=True):
                found.append(rate)
    base = ways["bare Pillow loop"]
    for name, rates in ways.items():
        ratio = statistics.median(rate / bare for rate, bare in zip(rates, base, strict=True))
        print(f"{name}: {statistics.median(rates):,.0f} images/s, {ratio:.2f} of the bare loop")


if __name__ == "__main__":
    main()
