"""How fast a dataset is prepared, beside a bare loop of Pillow over the same files: python tests/benchmarks/prepare.py.

Prints images per second of a bare loop (open and decode, nothing else) in one process and in one process per core at
once, of preparing with as many, and the ratios; all take turns, since a shared machine changes its pace.
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from study import data
from study.data.decoding.parallel import available_cores

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


def bare_at_once(paths: list[Path], processes: int) -> float:
    """Images per second of Pillow alone in several processes together, their start not counted."""
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return sum(pool.map(bare, [paths[i::processes] for i in range(processes)], chunksize=1))


def prepared(source: Path, folder: Path, workers: int) -> float:
    """Images per second of the whole preparation: listing, decoding, hashing, writing, flushing to the disk."""
    made = data.prepare("celeba-hq-128", source, folder, workers=workers)
    shutil.rmtree(folder)
    return made.images / made.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = available_cores()
    found: dict[int, list[tuple[float, float]]] = {1: [], cores: []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = make(folder / "source", options.images)
        for _ in range(options.rounds):
            for n, rates in found.items():
                alone = bare(paths) if n == 1 else bare_at_once(paths, n)
                rates.append((alone, prepared(folder / "source", folder / "data", n)))
    one = statistics.median(alone for alone, _ in found[1])
    for n, rates in found.items():
        alone, ours = (statistics.median(column) for column in zip(*rates, strict=True))
        ratio = statistics.median(rate / bare for bare, rate in rates)
        print(f"{n} processes: Pillow alone {alone:,.0f} images/s, prepared {ours:,.0f}: {ratio:.2f} of it,", end=" ")
        print(f"{ours / one:.2f} of one bare loop")


if __name__ == "__main__":
    main()
