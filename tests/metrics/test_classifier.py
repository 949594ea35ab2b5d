"""The classifier extractor: the weights that come with the package, the command that made them, and bad files."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from study import data
from study.core.errors import InputError
from study.metrics.extractors import classifier
from study.metrics.extractors.classifier import Classifier, Recipe, train
from study.metrics.extractors.menu import load_extractor
from study.metrics.npz import file_sha256
from study.metrics.scores.frechet import Moments, frechet_distance

SHIPPED = classifier.WEIGHTS / "classifier-digits.npz"
QUICK = Recipe(steps=2, epochs=0)


@pytest.fixture
def digits_extractor(tmp_path):
    return load_extractor("classifier", dataset="digits", data_dir=tmp_path)


def test_shipped_weights_never_change(digits_extractor):
    """Rows of different machines and versions share a protocol by this hash. New weights are a new protocol."""
    golden = "a6e21d1b29f20a9f3a56a42935d734490f6770effc3ccbdc6f4ffb47386fa7d5"
    assert file_sha256(SHIPPED) == digits_extractor.weights_sha256 == golden
    assert SHIPPED.stat().st_size < 200_000


def test_shipped_weights_are_as_good_as_recorded(digits):
    shipped = Classifier.open(SHIPPED)
    assert shipped.about["dataset_sha256"] == digits.sha256
    assert shipped.about["test_accuracy"] >= 0.97
    # One image may fall on the other side under another machine's rounding.
    measured = classifier.accuracy(shipped.network, digits.test, digits.test_labels)
    assert measured == pytest.approx(shipped.about["test_accuracy"], abs=1.5 / len(digits.test))


@pytest.mark.full
def test_the_command_makes_weights_as_good_as_the_shipped_ones(tmp_path, capsys):
    """Equal bytes on the machine that made them; elsewhere within one percent of the test images."""
    threads = torch.get_num_threads()
    try:
        classifier.main(["--dataset", "digits", "--output", str(tmp_path / "again.npz")])
    finally:
        torch.set_num_threads(threads)
    recorded = Classifier.open(SHIPPED).about["test_accuracy"]
    assert Classifier.open(tmp_path / "again.npz").about["test_accuracy"] == pytest.approx(recorded, abs=0.01)
    assert "test accuracy 0.9" in capsys.readouterr().out


def test_the_command_keeps_an_existing_file(tmp_path, capsys):
    (tmp_path / "weights.npz").write_text("precious")
    with pytest.raises(SystemExit) as exit_:
        classifier.main(["--dataset", "digits", "--output", str(tmp_path / "weights.npz")])
    assert exit_.value.code == 2 and (tmp_path / "weights.npz").read_text() == "precious"
    assert "remove it first" in capsys.readouterr().err


def test_features_do_not_depend_on_the_batch(digits, digits_extractor):
    images = torch.from_numpy(digits.test[:20]).float() / 255
    features = digits_extractor.features(images)
    assert features.shape == (20, digits_extractor.dimension) and features.dtype == torch.float32
    torch.testing.assert_close(digits_extractor.features(images[7:8]), features[7:8], rtol=1e-5, atol=1e-5)


def test_the_distance_tells_real_digits_from_worse_ones(digits, digits_extractor):
    """Held-out digits are near; noise, blur and missing classes are farther, and the farther the worse."""
    images, labels = torch.from_numpy(digits.train).float() / 255, torch.from_numpy(digits.train_labels)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    blurred = F.avg_pool2d(images, 3, 1, 1)
    real = Moments.of(digits_extractor.features(torch.from_numpy(digits.test).float() / 255))

    def distance(fake):
        return frechet_distance(real, Moments.of(digits_extractor.features(fake.clamp(0, 1))))

    held_out = distance(images)
    assert held_out < 0.3
    noisy = [distance(images + level * noise) for level in (0.05, 0.1, 0.2, 0.4)]
    smooth = [distance(images.lerp(blurred, share)) for share in (0.25, 0.5, 1.0)]
    dropped = [distance(images[labels >= missing]) for missing in (1, 3, 5, 9)]
    for family in (noisy, smooth, dropped):
        assert held_out * 2 < family[0] and family == sorted(family)
    same = images.mean(dim=0, keepdim=True).expand_as(images)
    assert min(distance(same), distance(noise.abs()), distance(0 * images)) > 100 * held_out


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 48, 40), (1, 4, 4)])
def test_the_network_fits_any_shape(shape):
    network = classifier.build(shape, classes=7).eval()
    assert network(torch.rand(2, *shape)).shape == (2, 7)
    assert network[:-1](torch.rand(2, *shape)).shape == (2, classifier.DIMENSION)


def test_training_repeats_and_leaves_the_global_rng_alone(digits):
    state = torch.get_rng_state()
    first, second = (train("digits", digits, QUICK).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def other(digits, monkeypatch):
    """A prepared dataset called `other`: the digits, enlarged."""
    enlarge = {split: np.kron(getattr(digits, split), np.ones((1, 1, 2, 2), np.uint8)) for split in ("train", "test")}
    labels = {"train_labels": digits.train_labels, "test_labels": digits.test_labels}
    images = data.Images(**enlarge, **labels, manifest={"sha256": "0" * 64})
    monkeypatch.setattr(classifier.data, "load", lambda name, data_dir: images)
    return images


def test_other_datasets_train_once(other, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "Recipe", lambda: QUICK)
    first = load_extractor("classifier", dataset="other", data_dir=tmp_path)
    monkeypatch.setattr(classifier, "train", lambda *_, **__: pytest.fail("trained again"))
    assert load_extractor("classifier", dataset="other", data_dir=tmp_path).weights_sha256 == first.weights_sha256
    assert [path.name for path in (tmp_path / "classifiers").iterdir()] == ["other-0000000000000000.npz"]


def test_the_first_of_two_writers_wins(digits, tmp_path):
    first, second = (train("digits", digits, Recipe(steps=2, epochs=0, seed=seed)) for seed in (0, 1))
    first.save(tmp_path / "weights.npz")
    before = file_sha256(tmp_path / "weights.npz")
    second.save(tmp_path / "weights.npz")
    assert file_sha256(tmp_path / "weights.npz") == before
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]


def test_weights_for_another_shape_are_refused(other, tmp_path):
    with pytest.raises(InputError, match=r"made for images of shape \(1, 8, 8\)"):
        load_extractor("classifier", dataset="other", data_dir=tmp_path, weights=SHIPPED)


def test_unlabelled_data_are_refused(digits):
    unlabelled = data.Images(train=digits.train, test=digits.test, manifest=digits.manifest)
    with pytest.raises(InputError, match="has no labels"):
        train("faces", unlabelled)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"no weights at all",
        lambda content: content.replace(b"\x93NUMPY", b"\x93MUMPY"),
    ],
)
def test_damaged_weights_are_refused(damage, tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(damage(SHIPPED.read_bytes()))
    with pytest.raises(InputError, match=r"--extractor-weights .*: not a classifier") as error:
        load_extractor("classifier", dataset="digits", data_dir=tmp_path, weights=path)
    assert "\n" not in str(error.value)


def test_weights_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "statistics.npz", mean=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", about=np.array([{}], dtype=object))
    for path in tmp_path.glob("*.npz"):
        with pytest.raises(InputError, match="not a classifier"):
            load_extractor("classifier", dataset="digits", data_dir=tmp_path, weights=path)
