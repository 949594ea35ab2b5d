"""Table 2: the ranges, and draws that are the same everywhere and do not depend on each other."""

import math
from dataclasses import replace

import pytest

from search_spaces import get
from search_spaces.draws import Range, share
from search_spaces.ranges import PENALTY_WEIGHT, PENALTY_WEIGHTS, TABLE_2, random_settings
from study.core.trial import Method

METHODS = {method.name: method for method in get("ranges").methods("sndcgan")}
NUMBERS = ("learning_rate", "beta1", "beta2")


def draws(block, method):
    return list(block.settings(METHODS[method]))


def test_table_2():
    assert {
        "learning_rate": Range(1e-5, 1e-2, log=True),
        "beta1": Range(0, 0.999),
        "beta2": Range(0, 0.999),
        "penalty_weight": Range(0.1, 100, log=True),
        "l2": Range(1e-4, 10, log=True),
    } == {
        **TABLE_2,
        "penalty_weight": PENALTY_WEIGHT,
        **PENALTY_WEIGHTS,
    }


def test_the_space():
    """As many settings as the optimisation tries, 12 rounds of 10 for n_dis 1 and for n_dis 5."""
    space = get("ranges")
    assert list(METHODS) == [method.name for method in get("grid").methods("sndcgan")]
    for method in METHODS.values():
        settings = space.settings(method)
        assert len(set(settings)) == 240
        assert sum(setting.n_dis == 1 for setting in settings) == sum(setting.n_dis == 5 for setting in settings) == 120
        assert all((setting.penalty_weight is None) == (method.penalty is None) for setting in settings)


@pytest.mark.parametrize("method", ["gradient_penalty", "l2"])
def test_draws_fill_their_ranges(method):
    ranges = {**TABLE_2, "penalty_weight": PENALTY_WEIGHTS.get(method, PENALTY_WEIGHT)}
    settings = draws(random_settings((), 2000), method)
    for name, expected in ranges.items():
        scale = math.log if expected.log else float
        low, high = (scale(bound) if bound else 0.0 for bound in (expected.low, expected.high))
        values = [(scale(getattr(setting, name)) - low) / (high - low) for setting in settings]
        assert min(values) >= 0 and max(values) <= 1
        assert min(values) < 0.005 and max(values) > 0.995
        assert sum(values) / len(values) == pytest.approx(0.5, abs=4 / math.sqrt(12 * len(values)))


def test_streams_are_independent_of_each_other():
    """Neither a longer list, nor another hyperparameter, nor a penalty shifts what the others draw."""
    few, many = random_settings((), 5), random_settings((), 50)
    assert draws(many, "dragan")[:5] == draws(few, "dragan")
    without = replace(
        few, ranges={"beta2": TABLE_2["beta2"], "learning_rate": TABLE_2["learning_rate"], "beta1": Range(0, 0.5)}
    )
    for name in ("learning_rate", "beta2"):
        assert [getattr(s, name) for s in draws(without, "l2")] == [getattr(s, name) for s in draws(few, "l2")]
    plain, penalised = draws(few, "none"), draws(few, "gradient_penalty")
    assert [replace(setting, penalty_weight=None) for setting in penalised] == plain
    streams = {name: [share(0, name, index) for index in range(200)] for name in NUMBERS}
    streams["another seed"] = [share(1, "beta1", index) for index in range(200)]
    assert len({value for stream in streams.values() for value in stream}) == 4 * 200


def test_the_draws_are_what_they_were():
    """Equal on all machines: the first draw, and its stream, by hand."""
    (first,) = draws(random_settings((), 1), "l2")
    assert first == next(iter(get("ranges").settings(METHODS["l2"])))
    assert (first.learning_rate, first.beta1, first.beta2, first.n_dis, first.penalty_weight) == (
        7.80933e-05,
        0.637821,
        0.954236,
        1,
        0.691233,
    )
    assert first.learning_rate == float(f"{1e-5 * 1000 ** share(0, 'learning_rate', 0):.6g}")


def test_random_settings_of_the_combinations_are_the_first_of_the_ranges():
    method = Method(architecture="sndcgan", penalty="dragan", normalizations=("layer_norm",))
    assert get("combinations").settings(method)[24:] == get("ranges").settings(method)[:24]
