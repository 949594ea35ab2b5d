"""The Inception extractor against torch-fidelity's own, on random weights of the same structure, and bad files."""

import hashlib
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from study.core.errors import InputError
from study.metrics.extractors import inception
from study.metrics.extractors.menu import EXTRACTORS, load_extractor
from study.metrics.scores.classes import Classes
from study.metrics.scores.inception_score import inception_score
from tests.conftest import quick_only

ROOT = Path(__file__).parents[2]


def load(tmp_path, weights=None):
    return load_extractor("inception-v3-compat", dataset="digits", data_dir=tmp_path, weights=weights)


@pytest.fixture(scope="module")
def extractor(random_inception):
    return load(Path("unused"), random_inception[0])


def pixels(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.full
def test_another_file_is_recorded_by_its_hash(extractor, random_inception):
    assert extractor.weights_sha256 == hashlib.sha256(random_inception[0].read_bytes()).hexdigest()
    assert extractor.weights_sha256 != inception.WEIGHTS_SHA256
    assert (extractor.name, extractor.dimension, extractor.resize) == ("inception-v3-compat", 2048, "tf1-bilinear-299")


def test_the_known_hash_is_whole():
    assert len(inception.WEIGHTS_SHA256) == 64
    assert inception.WEIGHTS_SHA256[:8] == Path(inception.WEIGHTS_FILE).stem.rpartition("-")[2]


@pytest.mark.parametrize("size", quick_only([32, 128], [128]))
def test_features_equal_torch_fidelitys_on_uint8_images(extractor, random_inception, size):
    images = pixels(3, 3, size, size)
    expected = random_inception[1](images)[0]
    features = extractor.features(images.float() / 255)
    assert features.shape == (3, 2048) and features.dtype == torch.float32
    tolerance = 1e-5 * float(expected.abs().max())
    assert features.std(dim=0).mean() > 100 * tolerance, "images must differ by more than what is tested"
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=tolerance)


def test_images_are_not_rounded(extractor):
    images = pixels(2, 3, 32, 32).float() / 255
    between = (images + 0.4 / 255).clamp(0, 1)
    assert not torch.allclose(extractor.features(between), extractor.features(images), rtol=1e-5)


def test_grey_images_are_repeated(extractor):
    images = pixels(2, 1, 8, 8).float() / 255
    assert torch.equal(extractor.features(images), extractor.features(images.repeat(1, 3, 1, 1)))


def write_nothing(path):
    path.write_bytes(b"")


def write_text(path):
    path.write_text("no weights")


def write_other_network(path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)


def write_list(path):
    torch.save([1, 2, 3], path)


def write_code(path):
    torch.save({"weight": print}, path)


@pytest.mark.parametrize("write", [write_nothing, write_text, write_other_network, write_list, write_code])
def test_files_that_are_no_inception_are_refused(write, tmp_path):
    write(tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"--extractor-weights .*weights.pth: not a state dict") as error:
        load(tmp_path, tmp_path / "weights.pth")
    assert "\n" not in str(error.value)


def test_a_pickle_that_runs_code_is_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(InputError):
        load(tmp_path, tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.pth: no such file"):
        load(tmp_path, tmp_path / "missing.pth")


def test_known_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"no network.*put weights-inception.*--extractor-weights") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_known_weights_of_another_hash_are_refused(tmp_path, monkeypatch, random_inception):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / inception.WEIGHTS_FILE).write_bytes(random_inception[0].read_bytes())
    with pytest.raises(InputError, match=f"not {inception.WEIGHTS_SHA256}; remove it"):
        load(tmp_path)


def test_an_unknown_extractor_gets_a_suggestion(tmp_path):
    with pytest.raises(InputError, match="--extractor inception: unknown; did you mean inception-v3-compat"):
        load_extractor("inception", dataset="digits", data_dir=tmp_path)
    assert {"inception-v3-compat", "classifier"} < set(EXTRACTORS)


def test_importing_the_metrics_imports_none_of_the_heavy_packages():
    code = "import sys, study.metrics.extractors.menu, study.metrics.scoring; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"torch_fidelity", "torchvision", "ray", "optuna", "sklearn"} & set(modules.split())


def test_logits_and_the_inception_score_equal_torch_fidelitys(extractor, random_inception):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_isc import isc_features_to_metric

    layers = ["logits_unbiased"]
    network = FeatureExtractorInceptionV3("peer", layers, feature_extractor_weights_path=str(random_inception[0]))
    images = pixels(6, 3, 32, 32)
    (expected,) = network(images)
    logits = extractor.logits(extractor.features(images.float() / 255))
    tolerance = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=tolerance)
    assert logits.shape == (6, 1008) and logits.std(dim=0).mean() > 10 * tolerance
    scale = 5 / float(expected.std())  # random weights are sure of nothing
    theirs = isc_features_to_metric(expected * scale, splits=1)["inception_score_mean"]
    assert inception_score(Classes.of(logits * scale)) == pytest.approx(theirs, rel=1e-3)
