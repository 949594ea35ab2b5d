"""The published models: 31 of them, 29 settings, each with its dataset and scores."""

from collections import Counter

import pytest

from search_spaces import get
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method

SPACE = get("published")
DATASETS = {"celeba-hq-128": (11, 12), "cifar10": (9, 10), "lsun-bedroom-128": (9, 9)}


def listed(space):
    return [(method, setting) for method in space.methods("dcgan") for setting in space.settings(method)]


def test_31_models_29_settings():
    assert len(SPACE.blocks) == 29
    assert sum(len(entry.published) for entry in SPACE.blocks) == 31
    twins = [(entry.method["architecture"], entry.published) for entry in SPACE.blocks if len(entry.published) > 1]
    assert twins == [("resnet19", (30.02, 32.05)), ("resnet_cifar", (22.91, 23.22))]
    assert Counter(entry.method["architecture"] for entry in SPACE.blocks) == {
        "sndcgan": 15,
        "resnet19": 10,
        "resnet_cifar": 4,
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_a_dataset_has(dataset):
    space, (settings, models) = SPACE.on(dataset), DATASETS[dataset]
    rows = listed(space)
    assert len(rows) == len(set(rows)) == settings
    assert sum(len(space.settings_with_repeats(method)[setting].published) for method, setting in rows) == models
    assert all((setting.penalty_weight is None) == (method.penalty is None) for method, setting in rows)
    for method, setting in rows:
        steps = {"sndcgan": {1}, "resnet_cifar": {5}, "resnet19": {1, 5}}[method.architecture]
        assert setting.n_dis in steps
        assert 20 < min(space.settings_with_repeats(method)[setting].published) < 170


def test_some_models_as_they_were_published():
    best = Method(architecture="resnet_cifar", normalizations=("spectral_norm",))
    numbers = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.999, n_dis=5)
    assert SPACE.on("cifar10").settings_with_repeats(best)[numbers].published == (22.91, 23.22)
    lsun = Method(architecture="resnet19", normalizations=("layer_norm",), penalty="gradient_penalty")
    assert SPACE.on("lsun-bedroom-128").settings(lsun) == [
        Hyperparameters(learning_rate=1.281e-4, beta1=0.711, beta2=0.979, n_dis=1, penalty_weight=0.1451)
    ]
    least_squares = Method(architecture="resnet19", loss="least_squares", normalizations=("spectral_norm",))
    (setting,) = SPACE.on("lsun-bedroom-128").settings(least_squares)
    assert SPACE.on("lsun-bedroom-128").settings_with_repeats(least_squares)[setting].published == (41.60,)


def test_a_method_that_was_not_published_has_no_settings():
    assert SPACE.on("cifar10").settings(Method(architecture="sndcgan", loss="hinge")) == []


def test_a_dataset_without_published_models():
    with pytest.raises(
        InputError, match="space published: has nothing for digits; it has entries for celeba-hq-128, cifar10"
    ):
        SPACE.on("digits")
