"""Protocols, the cache of real statistics, and the scoring of generators."""

import dataclasses

import numpy as np
import pytest
import torch

from study import data
from study.core.errors import InputError
from study.metrics.extractors.extractor import Extractor
from study.metrics.protocols import resolve_protocol
from study.metrics.scores.frechet import Moments, frechet_distance
from study.metrics.scoring import BATCH_SIZE, Scorer, real_sample

PIXELS = Extractor(
    name="pixels",
    weights_sha256="1" * 64,
    dimension=64,
    resize="none",
    features=lambda images: images.flatten(1).float(),
)


def replaying(images):
    """A generator that returns the given images in order, whatever the latents."""
    remaining = iter(torch.as_tensor(images))
    return lambda latents: torch.stack([next(remaining) for _ in latents])


def as_float(images):
    return torch.from_numpy(np.ascontiguousarray(images)).float() / 255


def test_the_protocol_defaults_to_the_test_split(digits):
    protocol = resolve_protocol(digits, PIXELS)
    assert (protocol.n_real, protocol.n_fake, protocol.split) == (600, 600, "test")
    assert (protocol.extractor, protocol.weights_sha256) == ("pixels", "1" * 64)
    assert (protocol.dtype, protocol.seed, protocol.quantize) == ("float64", 42, False)
    assert resolve_protocol(digits, PIXELS, default_n=100).n_real == 100
    assert resolve_protocol(digits, PIXELS, n_real=16, n_fake=5000).n_fake == 5000


@pytest.mark.parametrize("asked", [{"n_real": 601}, {"n_real": 1}, {"n_fake": 0}, {"n_fake": -3}])
def test_numbers_of_images_that_cannot_be_are_refused(digits, asked):
    field = next(iter(asked)).replace("_", "-")
    with pytest.raises(InputError, match=f"--{field}"):
        resolve_protocol(digits, PIXELS, **asked)


def test_the_score_is_the_distance_to_the_first_real_images(digits, tmp_path):
    protocol = resolve_protocol(digits, PIXELS, n_real=250, n_fake=330)
    score = Scorer.prepare(digits, PIXELS, protocol, tmp_path).frechet(replaying(as_float(digits.train)), 8)
    real, fake = (Moments.of(as_float(part).flatten(1)) for part in (digits.test[:250], digits.train[:330]))
    assert score == pytest.approx(frechet_distance(real, fake), rel=1e-6)


def test_every_generator_gets_the_same_uniform_latents_whatever_the_global_seed(digits, tmp_path):
    scorer = Scorer.prepare(digits, PIXELS, resolve_protocol(digits, PIXELS, n_fake=2500), tmp_path)
    seen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        batches = []
        scorer.frechet(
            lambda latents, batches=batches: batches.append(latents) or torch.rand(len(latents), 1, 8, 8), 128
        )
        assert max(map(len, batches)) <= BATCH_SIZE
        seen.append(torch.cat(batches))
    assert torch.equal(*seen) and seen[0].shape == (2500, 128)
    assert seen[0].min() >= -1 and seen[0].max() <= 1
    assert float(seen[0].mean()) == pytest.approx(0, abs=0.01)
    assert float(seen[0].var()) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_have_no_score(digits, tmp_path, value):
    images = as_float(digits.train)
    images[555, 0, 3, 3] = value
    scorer = Scorer.prepare(digits, PIXELS, resolve_protocol(digits, PIXELS), tmp_path)
    assert scorer.frechet(replaying(images), 8) is None


def test_images_are_rounded_only_where_the_protocol_says_so(digits, tmp_path):
    real = as_float(digits.train)
    nearby = real + (torch.rand(real.shape, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.9 / 255
    scores = {}
    for quantize in (False, True):
        protocol = dataclasses.replace(resolve_protocol(digits, PIXELS), quantize=quantize)
        scorer = Scorer.prepare(digits, PIXELS, protocol, tmp_path)
        scores[quantize] = scorer.frechet(replaying(nearby), 8) - scorer.frechet(replaying(real), 8)
    assert scores[True] == pytest.approx(0, abs=1e-9) and abs(scores[False]) > 1e-6


def test_a_scorer_refuses_the_protocol_of_other_weights(digits, tmp_path):
    other = dataclasses.replace(PIXELS, weights_sha256="2" * 64)
    with pytest.raises(ValueError, match="not for the extractor"):
        Scorer.prepare(digits, PIXELS, resolve_protocol(digits, other), tmp_path)


def never(images):
    raise AssertionError("features were computed again")


def test_real_statistics_are_computed_once(digits, tmp_path):
    protocol = resolve_protocol(digits, PIXELS)
    first = real_sample(digits, PIXELS, protocol, tmp_path)
    silent = dataclasses.replace(PIXELS, features=never)
    # Neither the number of generated images nor the seed of their latents has to do with real ones.
    for same in (protocol, dataclasses.replace(protocol, n_fake=77, seed=7)):
        assert torch.equal(real_sample(digits, silent, same, tmp_path).moments.scatter, first.moments.scatter)
    assert len(list((tmp_path / "statistics").iterdir())) == 1


def test_other_content_never_hits_the_cache(digits, tmp_path):
    protocol = resolve_protocol(digits, PIXELS)
    real_sample(digits, PIXELS, protocol, tmp_path)
    silent = dataclasses.replace(PIXELS, features=never)
    renamed = data.Images(train=digits.train, test=255 - digits.test, manifest={**digits.manifest, "sha256": "3" * 64})
    with pytest.raises(AssertionError, match="computed again"):
        real_sample(renamed, silent, protocol, tmp_path)
    changes = {
        "extractor": "other",
        "weights_sha256": "2" * 64,
        "n_real": 599,
        "resize": "other",
        "quantize": True,
        "split": "train",
    }
    for field, value in changes.items():
        with pytest.raises(AssertionError, match="computed again"):
            real_sample(digits, silent, dataclasses.replace(protocol, **{field: value}), tmp_path)


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"", lambda content: b"x" * 500])
def test_a_damaged_cache_file_is_computed_again(digits, tmp_path, damage):
    protocol = resolve_protocol(digits, PIXELS)
    first = real_sample(digits, PIXELS, protocol, tmp_path)
    (path,) = (tmp_path / "statistics").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(real_sample(digits, PIXELS, protocol, tmp_path).moments.scatter, first.moments.scatter)
    assert path.read_bytes() == whole and len(list(path.parent.iterdir())) == 1


def test_statistics_that_cannot_be_kept_are_computed_each_time(digits, tmp_path):
    (tmp_path / "statistics").touch()  # and so no folder can be there
    protocol = resolve_protocol(digits, PIXELS)
    first = real_sample(digits, PIXELS, protocol, tmp_path)
    assert torch.equal(real_sample(digits, PIXELS, protocol, tmp_path).moments.scatter, first.moments.scatter)


def test_weights_that_give_no_finite_features_are_refused(digits, tmp_path):
    broken = dataclasses.replace(PIXELS, features=lambda images: images.flatten(1) * float("nan"))
    with pytest.raises(InputError, match="not finite"):
        real_sample(digits, broken, resolve_protocol(digits, broken), tmp_path)
    assert not (tmp_path / "statistics").exists()
