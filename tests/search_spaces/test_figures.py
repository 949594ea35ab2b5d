"""The spaces of the paper's figures have exactly the methods and numbers of settings that the figures have."""

import itertools

import pytest

from search_spaces import get
from study.core.trial import Hyperparameters, Method, Training, Trial

PLAIN, SN, GP = {}, {"normalizations": ("spectral_norm",)}, {"penalty": "gradient_penalty"}
THREE = (PLAIN, SN, GP)


def ids(name, architecture="resnet19", resolution=128):
    """The ids of a space's trials with seed 0."""
    space, training = get(name), Training(discriminator_steps=1, width=8)
    return [
        Trial(dataset="mine", method=method, hyperparameters=setting, training=training).id
        for method in space.methods(architecture, resolution)
        for setting in space.settings(method)
    ]


def made(architecture, *fields):
    return [Method(architecture=architecture, **one) for one in fields]


def table_1(method):
    """Table 1, written out again."""
    betas = ((0.5, 0.9, 5), (0.5, 0.999, 1), (0.5, 0.999, 5), (0.9, 0.999, 5))
    weights = (1, 10) if method.penalty else (None,)
    return {
        Hyperparameters(learning_rate=rate, beta1=b1, beta2=b2, n_dis=n, penalty_weight=weight)
        for rate, weight, (b1, b2, n) in itertools.product((1e-3, 1e-4, 2e-4), weights, betas)
    }


LOSSES = [
    *({"loss": loss, **one} for loss in ("non_saturating", "least_squares") for one in THREE),
    *({"loss": "wasserstein", **one} for one in (SN, GP)),
]
CIFAR = [{"loss": loss, **one} for loss in ("non_saturating", "wasserstein", "hinge") for one in THREE]
ON_GRID = [
    ("regularization", 128, 120, get("grid").methods("resnet19")),
    ("losses", 128, 132, made("resnet19", *LOSSES)),
    ("architectures", 256, 96, made("resnet19", *THREE) + made("sndcgan", *THREE)),
    ("architectures", 128, 96, made("resnet19", *THREE) + made("sndcgan", *THREE)),
    ("architectures", 120, 96, made("resnet_cifar", *THREE) + made("sndcgan", *THREE)),
    ("architectures", 8, 96, made("resnet_cifar", *THREE) + made("sndcgan", *THREE)),
    ("cifar", 32, 288, made("sndcgan", *CIFAR) + made("resnet_cifar", *CIFAR)),
]


@pytest.mark.parametrize(("name", "resolution", "count", "methods"), ON_GRID)
def test_methods_on_table_1(name, resolution, count, methods):
    space = get(name)
    assert space.seeds == 5
    assert set(space.methods("resnet19", resolution)) == set(methods)
    for method in methods:
        assert set(space.settings(method)) == table_1(method)
    found = ids(name, resolution=resolution)
    assert len(found) == len(set(found)) == count


def test_an_architecture_that_is_asked_for_stands_for_those_by_resolution():
    assert {method.architecture for method in get("architectures").methods("dcgan")} == {"dcgan"}
    assert {method.architecture for method in get("architectures").methods("dcgan", 32)} == {"resnet_cifar", "sndcgan"}


def test_combinations():
    """Figure 4: six combinations, the 24 settings of Table 1 and 24 random ones each."""
    space = get("combinations")
    methods = space.methods("resnet19", 128)
    assert {method.name for method in methods} == {
        f"{norm}+{penalty}"
        for norm in ("spectral_norm", "batch_norm", "layer_norm")
        for penalty in ("gradient_penalty", "dragan")
    }
    for method in methods:
        fixed, drawn = space.settings(method)[:24], space.settings(method)[24:]
        assert set(fixed) == table_1(method)
        assert [setting.n_dis for setting in drawn] == [1, 5] * 12
    assert len(ids("combinations")) == len(set(ids("combinations"))) == 288
    assert space.seeds == 1


def test_resnet_ablation():
    """Appendix D: nine codes at one setting, on resnet_cifar whatever the dataset's architecture."""
    space = get("resnet-ablation")
    methods = space.methods("sndcgan", 32)
    assert {method.architecture for method in methods} == {"resnet_cifar"}
    codes = ["DEF", "RES", "CIN", "OPT", "CIN_OPT", "SUM", "TAN", "EPS", "ALL"]
    assert [dict(method.options)["ablation"] for method in methods] == codes
    assert {(m.loss, m.normalizations, m.penalty) for m in methods} == {("non_saturating", ("spectral_norm",), None)}
    published = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.999, n_dis=5)
    assert all(space.settings(method) == [published] for method in methods)
    assert len(ids("resnet-ablation")) * space.seeds == 45


def test_long_training():
    """Section 3.1: gradient penalty on Table 1 with five seeds, 100,000 steps longer where that is at most twice."""
    space = get("long-training")
    assert (space.seeds, space.datasets) == (5, ("celeba-hq-128", "lsun-bedroom-128"))
    (method,) = space.methods("resnet19", 128)
    assert method == Method(architecture="resnet19", penalty="gradient_penalty")
    assert set(space.settings(method)) == table_1(method)
    assert space.size(method) == 120
    assert set(ids("long-training")) < set(ids("regularization"))  # at equal steps they are the same trials
    assert [space.steps(base) for base in (100, 100_000, 200_000)] == [200, 200_000, 300_000]
    assert get("regularization").steps(100_000) == 100_000


def test_smoke_is_four_trials_of_the_grid():
    assert len(ids("smoke")) * get("smoke").seeds == 4
    assert set(ids("smoke")) < set(ids("grid"))


def test_shared_trials_are_the_same_trials():
    grid = set(ids("grid"))
    assert ids("regularization") == ids("grid")
    assert len(grid & set(ids("losses"))) == len(grid & set(ids("architectures"))) == 12 + 12 + 24
    assert len(grid & set(ids("architectures", "sndcgan"))) == 12 + 12 + 24  # the grid of another architecture
    assert len(set(ids("grid", "sndcgan")) & set(ids("architectures", "resnet19"))) == 12 + 12 + 24
    assert not set(ids("grid", "sndcgan")) & grid
    assert len(set(ids("grid", "sndcgan", 32)) & set(ids("cifar", "sndcgan", 32))) == 12 + 12 + 24


def test_the_grids_ids_are_what_they_were():
    """A results folder's rows stay this space's: the first and the last id of the grid under SEMANTICS 2."""
    space = get("grid")
    trials = [
        Trial(dataset="digits", method=m, hyperparameters=s, training=Training(discriminator_steps=100, width=8)).id
        for m in space.methods("sndcgan")
        for s in space.settings(m)
    ]
    assert (len(trials), trials[0], trials[-1]) == (120, "e7f49b8f5416c9b5", "84d159981a559165")
