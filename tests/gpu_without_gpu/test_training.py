"""Training, scoring, diagnostics and states on a GPU that computes nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from study.core.evaluation import MetricProtocol
from study.core.trial import Trial
from study.data import Images
from study.gan.program import INDUCTOR
from study.metrics import scoring
from study.metrics.extractors.extractor import Extractor
from study.metrics.sample import ImageStatistics
from study.metrics.scores.frechet import Moments
from study.training import batches, lockstep
from study.training.bench.cases import Case
from study.training.loop import Checkpoint, train_pack

pytestmark = pytest.mark.fakegpu
fake_gpu = pytest.importorskip("tests.gpu_without_gpu.fake_gpu")

STEPS, EVERY, N_FAKE, DIMENSION = 12, 6, 250, 16
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
IN_A_CHECKPOINT = {"training/lockstep.py": 2, "gan/diagnostics.py": 1, "metrics": 4}
"""How often the CPU may wait: for the sums and the parameters of all slots together, for the diagnostics of each slot,
and for the statistics of all images."""


@pytest.fixture
def images() -> Iterator[Images]:
    for cache in (batches._fit, batches._resident):
        cache.cache_clear()
    yield Images(train=PIXELS, test=PIXELS[:64], manifest={"sha256": "0"})
    for cache in (batches._fit, batches._resident):
        cache.cache_clear()


def scorer() -> scoring.Scorer:
    """Features that are products of the pixels, on the GPU."""
    weights = torch.zeros(PIXELS[0].size, DIMENSION, device="cuda")
    extractor = Extractor(
        name="products",
        weights_sha256="0",
        dimension=DIMENSION,
        resize="none",
        features=lambda pixels: pixels.flatten(1) @ weights,
        device="cuda",
    )
    protocol = MetricProtocol(
        extractor="products", weights_sha256="0", resize="none", split="test", n_real=64, n_fake=N_FAKE
    )
    real = ImageStatistics(Moments(64, torch.zeros(DIMENSION), torch.zeros(DIMENSION, DIMENSION)))
    return scoring.Scorer(extractor=extractor, protocol=protocol, real=real)


def trials(case: Case) -> list[Trial]:
    training = replace(case.trial.training, discriminator_steps=STEPS)
    return [replace(case.trial, training=training, seed=seed) for seed in range(case.pack)]


def trained(todo: Sequence[Trial], images: Images, **options: Any) -> list[Checkpoint]:
    """The checkpoints of all trials; scores are not compared, since there are none."""
    with mock.patch.object(scoring, "frechet_distance", return_value=1.0):
        made = train_pack(todo, images, scorer(), checkpoint_every=EVERY, device="cuda", compiler=INDUCTOR, **options)
        checkpoints = [checkpoint for _, checkpoint in made]
    assert all(isinstance(checkpoint, Checkpoint) for checkpoint in checkpoints)
    return checkpoints  # type: ignore[return-value]


@pytest.mark.parametrize("full", [False, True], ids=["images on the GPU", "images read ahead"])
@pytest.mark.parametrize("pack", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_from_images_to_scores(images: Images, full: bool, pack: int, precision: str) -> None:
    method = "spectral_norm+gradient_penalty"
    case = Case(architecture="sndcgan", method=method, width=8, batch_size=8, n_dis=3, pack=pack, precision=precision)
    case = replace(case, device="cuda")
    memory = mock.patch.object(torch.cuda, "mem_get_info", return_value=(0, 1)) if full else contextlib.nullcontext()
    with fake_gpu.fake_gpu() as log, memory:
        checkpoints = trained(trials(case), images)
        assert len(checkpoints) == pack * STEPS // EVERY
        assert checkpoints[0].lockstep.refused is None
        assert log.mixed == {}
        waits = dict.fromkeys(IN_A_CHECKPOINT, 0)
        for (_, where), count in log.syncs.items():
            for name in waits:
                waits[name] += count * where.startswith(name)
        every = {**IN_A_CHECKPOINT, "gan/diagnostics.py": pack}
        assert waits == {name: count * STEPS // EVERY for name, count in every.items()}
        assert log.launches["replay"] == STEPS // 3

        log.clear()
        starts = [one.position for one in checkpoints[:pack]]
        again = trained(trials(case), images, starts=starts)
        assert [one.evaluation.discriminator_step for one in again] == [STEPS] * pack
        assert log.mixed == {}


def test_after_an_out_of_memory_error_the_recording_is_gone(images: Images) -> None:
    """Two generations of packs: the smaller one does not pay for the larger."""
    case = Case(architecture="sndcgan", width=8, batch_size=8, n_dis=3, pack=4, device="cuda")
    with fake_gpu.fake_gpu():
        update, alive = lockstep.Lockstep.tallies, []

        def without_room(self: lockstep.Lockstep) -> Any:
            alive.append(fake_gpu.Graph.alive)
            if self.slots == 4:
                raise torch.OutOfMemoryError("made so")
            return update(self)

        with mock.patch.object(lockstep.Lockstep, "tallies", without_room):
            with contextlib.suppress(torch.OutOfMemoryError):
                trained(trials(case), images)
            trained(trials(case)[:2], images)
        assert alive == [1, *[1] * (STEPS // EVERY)]
        assert fake_gpu.Graph.alive == 0
