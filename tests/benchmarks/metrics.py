"""Measures the Frechet distance and the Inception features beside torch-fidelity's, in one run on one thread.

    python tests/benchmarks/metrics.py --weights INCEPTION.pth

Without weights only the Frechet distance is measured. Both sides are timed in turns, and the best time of each counts:
on a shared machine ratios are to be trusted, seconds are not.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from study.metrics.frechet import Moments, frechet_distance
from study.metrics.torchvision_guard import import_torchvision

DIMENSION = 2048


def in_turns(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """The best seconds of each function."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def frechet(n: int, rounds: int) -> None:
    """Features after a ReLU, correlated, with a spectrum that falls as Inception's does."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    rng = torch.Generator().manual_seed(0)
    falling = torch.arange(1, DIMENSION + 1, dtype=torch.float64)[:, None] ** -0.5
    mixing = torch.randn(DIMENSION, DIMENSION, generator=rng, dtype=torch.float64) * falling
    sets = [
        (torch.randn(n, DIMENSION, generator=rng, dtype=torch.float64) @ mixing * scale + shift).clamp(min=0)
        for scale, shift in ((1, 0), (1.1, 0.1))
    ]
    a, b = map(Moments.of, sets)
    statistics = [{"mu": m.mean.numpy(), "sigma": m.covariance.numpy()} for m in (a, b)]

    def theirs() -> float:
        return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]

    def first() -> float:
        for moments in (a, b):
            for kept in ("triangle", "root"):
                moments.__dict__.pop(kept, None)
        return frechet_distance(a, b)

    slow, fresh, again = in_turns(rounds, theirs, first, lambda: frechet_distance(a, b))
    difference = abs(first() / theirs() - 1)
    print(f"Frechet distance, {DIMENSION}-d, {n} features: torch-fidelity {slow:.2f} s; {difference:.0e} apart")
    print(f"    first call {fresh:.2f} s, 1/{slow / fresh:.1f}; same real images {again:.2f} s, 1/{slow / again:.1f}")


def inception(weights: Path, size: int, images: int, rounds: int) -> None:
    """Features of uint8 images, which is all that torch-fidelity takes."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from study.metrics.inception import load

    theirs = FeatureExtractorInceptionV3("peer", ["2048"], feature_extractor_weights_path=str(weights))
    ours = load(dataset="", data_dir=Path(), weights=weights)
    pixels = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        slow, quick = in_turns(rounds, lambda: theirs(pixels), lambda: ours.features(pixels.float() / 255))
        expected = theirs(pixels)[0]
        difference = float((ours.features(pixels.float() / 255) - expected).abs().max() / expected.abs().max())
    rates = f"torch-fidelity {images / slow:.1f}, here {images / quick:.1f} images/s"
    print(f"Inception features at {size} px: {rates}, {slow / quick:.2f}x; {difference:.0e} apart")


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import_torchvision()
    with threadpool_limits(1):  # NumPy's libraries, which torch-fidelity computes with
        for n in (5000, 1500):
            frechet(n, options.rounds)
        if options.weights:
            for size in (32, 128):
                inception(options.weights, size, 32, options.rounds)


if __name__ == "__main__":
    main()
