"""The grid is Table 1 of the paper over the methods of its Figure 1, no more and no less."""

import itertools
from collections import Counter

import pytest

from search_spaces import get
from study.core.trial import Method, Training, Trial

GRID = get("grid")
METHODS = GRID.methods("sndcgan")
WEIGHTED = {"gradient_penalty", "dragan", "l2"}
UNWEIGHTED = {"none", "spectral_norm", "layer_norm", "batch_norm"}
BETAS_AND_N_DIS = {(0.5, 0.9, 5), (0.5, 0.999, 1), (0.5, 0.999, 5), (0.9, 0.999, 5)}


def tuples(method):
    return [(s.learning_rate, s.penalty_weight, (s.beta1, s.beta2, s.n_dis)) for s in GRID.settings(method)]


def test_methods():
    assert [method.name for method in METHODS] == [
        "none",
        "gradient_penalty",
        "dragan",
        "l2",
        "spectral_norm",
        "layer_norm",
        "batch_norm",
    ]
    assert {method.architecture for method in METHODS} == {"sndcgan"}
    assert {method.loss for method in METHODS} == {"non_saturating"}
    assert {method.architecture for method in GRID.methods("resnet19")} == {"resnet19"}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_settings_are_the_whole_of_table_1(method):
    weights = (1, 10) if method.name in WEIGHTED else (None,)
    expected = set(itertools.product((2e-4, 1e-4, 1e-3), weights, BETAS_AND_N_DIS))
    assert set(tuples(method)) == expected
    assert len(tuples(method)) == len(expected) == (24 if method.name in WEIGHTED else 12)
    assert sum(s.n_dis == 1 for s in GRID.settings(method)) == len(expected) // 4


def test_120_trials_a_seed_each_once():
    training = Training(discriminator_steps=1, width=8)
    ids = [
        Trial(dataset="digits", method=method, hyperparameters=setting, training=training, seed=seed).id
        for seed in range(3)
        for method in METHODS
        for setting in GRID.settings(method)
    ]
    assert len(ids) == len(set(ids)) == 3 * 120
    assert {method.name for method in METHODS} == WEIGHTED | UNWEIGHTED
    assert GRID.seeds == 1


def test_the_order_of_settings_is_stable():
    """`--settings N` takes the first N: where the order changes, so does what it runs."""
    gradient_penalty = METHODS[1]
    assert tuples(gradient_penalty)[:5] == [
        (2e-4, 1, (0.5, 0.9, 5)),
        (2e-4, 1, (0.5, 0.999, 1)),
        (2e-4, 1, (0.5, 0.999, 5)),
        (2e-4, 1, (0.9, 0.999, 5)),
        (1e-4, 1, (0.5, 0.9, 5)),
    ]
    assert Counter(weight for _, weight, _ in tuples(gradient_penalty)[:12]) == {1: 12}
    assert tuples(gradient_penalty)[-1] == (1e-3, 10, (0.9, 0.999, 5))


@pytest.mark.parametrize(
    ("method", "count"),
    [
        (Method(architecture="resnet19", loss="hinge"), 12),
        (Method(architecture="sndcgan", normalizations=("spectral_norm",), penalty="dragan"), 24),
        (Method(architecture="sndcgan", normalizations=("spectral_norm",), options={"power_iterations": 5}), 12),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_any_recipe_can_be_put_on_the_grid(method, count):
    assert len(GRID.settings(method)) == count
    assert all((s.penalty_weight is None) == (method.penalty is None) for s in GRID.settings(method))
