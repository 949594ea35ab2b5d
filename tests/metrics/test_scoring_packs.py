"""Many generators scored at once, against each on its own, and sums of many sets against those of one."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
import torch

from study.metrics.extractors.menu import load_extractor
from study.metrics.protocols import resolve_protocol
from study.metrics.sample import CLASSES, FEATURES, FINITE_CHECK_EVERY, IMAGES, collect
from study.metrics.scores.classes import Classes
from study.metrics.scores.frechet import Moments
from study.metrics.scoring import BATCH_SIZE, PACK_BATCH_SIZE, Scorer

K, LATENT_DIM = 5, 6
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scorer(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics")
    extractor = load_extractor("classifier", dataset="digits", data_dir=folder)
    protocol = resolve_protocol(digits, extractor, n_real=200, n_fake=250)
    return Scorer.prepare(digits, extractor, protocol, folder, ("is", "modes", "prc"))


@pytest.fixture(scope="module")
def weights():
    """Of K generators that differ: [K, LATENT_DIM, 64]."""
    rng = torch.Generator().manual_seed(0)
    return torch.randn(K, LATENT_DIM, 64, generator=rng) * torch.linspace(1, 4, K)[:, None, None]


def generator(weights):
    """Latents -> images, of one generator or of several side by side."""
    return lambda latents: (latents @ weights).sigmoid().unflatten(-1, (1, 8, 8))


def values(scored):
    scores = {name: value for name, value in vars(scored.scores).items() if value is not None}
    return {"frechet_distance": scored.frechet_distance, **scores}


def test_a_pack_scores_each_generator_as_it_would_be_alone(scorer, weights):
    packed = scorer.score_pack(generator(weights), LATENT_DIM, K)
    alone = [scorer.score(generator(each), LATENT_DIM) for each in weights]
    for one, other in zip(packed, alone, strict=True):
        assert len(values(other)) == 7
        assert values(one) == pytest.approx(values(other), rel=1e-5, abs=1e-6)
    distances = sorted(one.frechet_distance for one in alone)
    assert all(b > 1.001 * a for a, b in pairwise(distances)), "they must differ by more than what is tested"


def test_what_is_kept_of_a_set_beside_others_is_what_is_kept_of_it_alone(scorer, weights):
    latents = torch.rand(90, LATENT_DIM, generator=torch.Generator().manual_seed(1))
    how = (scorer.extractor, "float32", frozenset({FEATURES, CLASSES, IMAGES}), 70)
    beside = collect([generator(weights)(part) for part in latents.split(40)], *how)
    for sample, each in zip(beside, weights, strict=True):
        (alone,) = collect([generator(each)(part)[None] for part in latents.split(40)], *how)
        assert sample.images.shape == (70, 1, 8, 8) and sample.features.shape == (90, 32)
        torch.testing.assert_close(sample.images, alone.images, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(sample.features, alone.features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sample.moments.scatter, alone.moments.scatter, rtol=1e-5, atol=1e-4)
        assert torch.equal(sample.classes.hits, alone.classes.hits)


def test_a_pack_of_one_is_the_generator_alone_to_the_bit(scorer, weights):
    (packed,) = scorer.score_pack(generator(weights[:1]), LATENT_DIM, 1)
    assert packed == scorer.score(generator(weights[0]), LATENT_DIM)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_spoilt_generator_has_no_score_and_disturbs_none(scorer, weights, value):
    places = iter([value])  # one pixel of one batch

    def spoilt(latents):
        images = generator(weights)(latents)
        images[2, -1, 0, 3, 3] = next(places, 0.5)
        return images

    whole = scorer.score_pack(generator(weights), LATENT_DIM, K)
    scored = scorer.score_pack(spoilt, LATENT_DIM, K)
    assert scored[2] is None
    assert scored[:2] + scored[3:] == whole[:2] + whole[3:]


@pytest.mark.parametrize(("spoilt", "made"), [([0, 1], FINITE_CHECK_EVERY), ([0], 50)])
def test_only_where_all_are_spoilt_the_rest_is_not_made(digits, scorer, spoilt, made):
    protocol = resolve_protocol(digits, scorer.extractor, n_fake=50 * BATCH_SIZE)
    batches = []

    def generate(latents):
        batches.append(latents)
        images = torch.rand(2, len(latents), 1, 8, 8)
        images[spoilt] = float("nan")
        return images

    plain = Scorer(extractor=scorer.extractor, protocol=protocol, real=scorer.real)
    scored = plain.score_pack(generate, LATENT_DIM, 2)
    assert [one is None for one in scored] == [each in spoilt for each in range(2)]
    assert len(batches) == made


@pytest.mark.parametrize("k", [1, 4, 7, PACK_BATCH_SIZE + 1])
def test_latents_are_those_of_one_generator_and_images_are_held_in_bounds(scorer, k):
    seen = []

    def generate(latents):
        seen.append(latents)
        return torch.zeros(k, len(latents), 1, 8, 8).fill_(float("nan"))

    scorer.score_pack(generate, LATENT_DIM, k)
    assert len(seen[0]) == max(1, min(BATCH_SIZE, PACK_BATCH_SIZE // k))
    single = []
    scorer.score(lambda latents: single.append(latents) or torch.zeros(len(latents), 1, 8, 8), LATENT_DIM)
    every, some = torch.cat(single), torch.cat(seen)
    assert torch.equal(some, every[: len(some)])


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_moments_of_sets_side_by_side_are_those_of_each(device):
    features = torch.randn(3, 90, 5, generator=torch.Generator().manual_seed(0)) + 100
    parts = [Moments.of(part.to(device)) for part in features.split([40, 49, 1], dim=1)]
    assert all(part.scatter.device.type == device for part in parts)
    each = reduce(add, parts).each()
    for moments, plain in zip(each, features.double().numpy(), strict=True):
        assert (moments.count, moments.scatter.device.type) == (90, "cpu")
        np.testing.assert_allclose(moments.mean, plain.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(moments.covariance, np.cov(plain, rowvar=False), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("device", DEVICES)
def test_class_sums_of_sets_side_by_side_are_those_of_each(device):
    logits = torch.randn(3, 90, 10, generator=torch.Generator().manual_seed(0)) * 3
    each = reduce(add, [Classes.of(part.to(device)) for part in logits.split([40, 49, 1], dim=1)]).each()
    for classes, plain in zip(each, logits.double(), strict=True):
        p = plain.softmax(dim=1)
        assert classes.count == 90 and classes.hits.tolist() == plain.argmax(dim=1).bincount(minlength=10).tolist()
        torch.testing.assert_close(classes.probabilities, p.sum(dim=0), rtol=1e-12, atol=0)
        assert float(classes.negative_entropy) == pytest.approx(float((p * p.log()).sum()), rel=1e-12)
