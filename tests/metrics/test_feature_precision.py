"""Features in bfloat16: near those in float32, and a protocol of their own."""

import dataclasses

import pytest
import torch

from study.metrics.extractors.menu import load_extractor
from study.metrics.extractors.resize import resize
from study.metrics.protocols import resolve_protocol
from study.metrics.scoring import Scorer, real_sample

pytestmark = pytest.mark.usefixtures("one_thread")


def random_images(n, size):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def apart(features, exact):
    return float((features - exact).norm() / exact.norm())


@torch.inference_mode()
@pytest.mark.full
def test_inception_in_bfloat16_is_near_that_in_float32_and_is_not_it(random_inception, tmp_path):
    extractor = load_extractor("inception-v3-compat", dataset="digits", data_dir=tmp_path, weights=random_inception[0])
    images = random_images(3, 32)
    exact, rough = (extractor.extract(images, precision) for precision in ("float32", "bfloat16"))
    assert torch.equal(exact, extractor.features(images))
    assert rough.dtype == torch.float32
    assert 1e-3 < apart(rough, exact) < 2e-2
    assert exact.std(dim=0).norm() / exact.norm() > 2 * apart(rough, exact), "images must differ by more than rounding"


def test_pixels_are_not_rounded_on_their_way_to_the_network():
    images = random_images(2, 32)
    with torch.autocast("cpu", torch.bfloat16):
        resized = resize(images, 75)
    assert resized.dtype == torch.float32 and torch.equal(resized, resize(images, 75))


def test_scores_in_bfloat16_have_their_own_protocol_and_statistics(digits, tmp_path):
    extractor = load_extractor("classifier", dataset="digits", data_dir=tmp_path)
    weights = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    scores = {}
    for precision in ("float32", "bfloat16"):
        protocol = resolve_protocol(digits, extractor, feature_precision=precision)
        scorer = Scorer.prepare(digits, extractor, protocol, tmp_path)
        scores[protocol.id] = scorer.frechet(lambda z: (z @ weights).sigmoid().view(-1, 1, 8, 8), 4)
        assert len(list((tmp_path / "statistics").iterdir())) == len(scores)
    exact, rough = scores.values()
    assert 1e-6 < abs(rough / exact - 1) < 2e-2


def test_statistics_of_before_are_those_in_float32(digits, tmp_path):
    extractor = load_extractor("classifier", dataset="digits", data_dir=tmp_path)
    protocol = resolve_protocol(digits, extractor, n_real=40)
    real_sample(digits, extractor, protocol, tmp_path)
    (path,) = (tmp_path / "statistics").iterdir()
    assert path.name == "1dd320bab70a91324543f208effc0547.npz"
    real_sample(digits, extractor, dataclasses.replace(protocol, kid_subset=10), tmp_path)
    assert len(list(path.parent.iterdir())) == 1
