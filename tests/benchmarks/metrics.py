"""Measures scoring, and the Frechet distance and Inception features beside torch-fidelity's; on one thread of a CPU.

    python tests/benchmarks/metrics.py --weights INCEPTION.pth

Without weights Inception has random ones, on which its speed does not depend. What is compared is timed in turns, and
the best time of each counts: on a shared machine ratios are to be trusted, seconds are not.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from study import data
from study.core.evaluation import FEATURE_PRECISIONS
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.model import build, initial_state
from study.metrics.extractors.extractor import Extractor
from study.metrics.extractors.menu import load_extractor
from study.metrics.extractors.torchvision_guard import import_torchvision
from study.metrics.menu import resolve_metrics
from study.metrics.protocols import resolve_protocol
from study.metrics.scores.frechet import Moments, frechet_distance
from study.metrics.scoring import BATCH_SIZE, Scorer
from study.training.draws import stream

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


def scoring(folder: Path, n: int, k: int, rounds: int) -> None:
    """n images each of k generators of the digits, by the embedded classifier: one after the other, and at once."""
    images = data.load("digits")
    extractor = load_extractor("classifier", dataset="digits", data_dir=folder)
    protocol = resolve_protocol(images, extractor, n_fake=n)
    scorer = Scorer.prepare(images, extractor, protocol, folder, resolve_metrics(None, extractor, protocol))
    numbers = Hyperparameters(learning_rate=1e-4, beta1=0.5, beta2=0.9, n_dis=1)
    training = Training(discriminator_steps=1, width=8)
    trial = Trial(dataset="digits", method=Method(architecture="sndcgan"), hyperparameters=numbers, training=training)
    gan = build(trial, *images.train.shape[1:3])
    states = [initial_state(gan, stream(seed, "initial", 0)) for seed in range(k)]
    networks = [(state.generator, state.generator_buffers) for state in states]
    stacked = [{name: torch.stack([each[i][name] for each in networks]) for name in networks[0][i]} for i in (0, 1)]
    width = training.latent_dim

    def alone() -> None:
        for network in networks:
            scorer.score(lambda latents, network=network: gan.sample(*network, latents), width)

    def packed() -> None:
        scorer.score_pack(lambda latents: torch.vmap(gan.sample, (0, 0, None))(*stacked, latents), width, k)

    with torch.no_grad():
        slow, quick = in_turns(rounds, alone, packed)
    print(f"Scoring {n:,} images each of {k} generators, {extractor.name}: {k * n / slow:,.0f} images/s one by one")
    print(f"    {k * n / quick:,.0f} at once, {slow / quick:.2f}x; {slow / k:.2f} s a generator alone")


def precisions(extractor: Extractor, shape: tuple[int, int, int], n: int, rounds: int) -> None:
    """Features of the same images in each precision, in batches as scoring takes them."""
    batches = torch.rand(n, *shape).split(BATCH_SIZE)

    def features(precision: str) -> torch.Tensor:
        return torch.cat([extractor.extract(batch, precision) for batch in batches])

    with torch.inference_mode():
        seconds = in_turns(rounds, *(lambda p=p: features(p) for p in FEATURE_PRECISIONS))
        exact, rough = map(features, FEATURE_PRECISIONS)
    told = ", ".join(f"{name} {n / each:,.1f}" for name, each in zip(FEATURE_PRECISIONS, seconds, strict=True))
    apart = float((rough - exact).norm() / exact.norm())
    print(f"Features by {extractor.name} of {n:,} images {shape}: {told} images/s; {apart:.1%} apart")


def random_inception(path: Path) -> Path:
    """A file of the structure of Inception's, whose weights keep the scale of what passes through."""
    from unittest.mock import patch

    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    network = fidelity.FeatureExtractorInceptionV3
    with (
        patch.object(fidelity, "load_state_dict_from_url", lambda *_, **__: {}),
        patch.object(network, "load_state_dict", lambda *_, **__: None),
    ):
        state = network("random", ["2048"]).state_dict()
    for name, value in state.items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(value)
    torch.save(state, path)
    return path


def inception(weights: Path, size: int, images: int, rounds: int) -> None:
    """Features of uint8 images, which is all that torch-fidelity takes."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("peer", ["2048"], feature_extractor_weights_path=str(weights))
    ours = load_extractor("inception-v3-compat", dataset="", data_dir=Path(), weights=weights)
    pixels = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        slow, quick = in_turns(rounds, lambda: theirs(pixels), lambda: ours.features(pixels.float() / 255))
        expected = theirs(pixels)[0]
        difference = float((ours.features(pixels.float() / 255) - expected).abs().max() / expected.abs().max())
    rates = f"torch-fidelity {images / slow:.1f}, here {images / quick:.1f} images/s"
    print(f"Inception features at {size} px: {rates}, {slow / quick:.2f}x; {difference:.0e} apart")
    precisions(ours, (3, size, size), images, rounds)


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="a generator's, for the classifier")
    parser.add_argument("--generators", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import_torchvision()
    # The threads are those of NumPy's libraries, which torch-fidelity computes with.
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        scoring(Path(folder), options.images, options.generators, options.rounds)
        digits = load_extractor("classifier", dataset="digits", data_dir=Path(folder))
        precisions(digits, (1, 8, 8), options.images, options.rounds)
        weights = options.weights or random_inception(Path(folder) / "inception.pth")
        for size in (32, 128):
            inception(weights, size, 32, options.rounds)
        for n in (5000, 1500):
            frechet(n, options.rounds)


if __name__ == "__main__":
    main()
