"""Trials: their identity, which every row on every machine hangs on, and the refusal of what cannot be trained."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import study.core.trial
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial, content_id

PLAIN = Method(architecture="sndcgan")
SPECTRAL = Method(architecture="sndcgan", normalizations=("spectral_norm",))
PENALTY = Method(architecture="sndcgan", penalty="gradient_penalty")
EVERYTHING = Method(
    architecture="resnet19",
    loss="wasserstein",
    normalizations=("spectral_norm", "layer_norm"),
    penalty="dragan",
    constraint="weight_clipping",
    options={"power_iterations": 5, "clip": 0.01, "code": "CIN", "exact": True},
)
NUMBERS = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "n_dis": 1}
TRAINING = {"discriminator_steps": 400, "width": 8}


def make(method=PLAIN, *, dataset="digits", seed=0, training=(), **numbers):
    weight = {"penalty_weight": 10} if method.penalty else {}
    return Trial(
        dataset=dataset,
        method=method,
        hyperparameters=Hyperparameters(**{**NUMBERS, **weight, **numbers}),
        training=Training(**{**TRAINING, **dict(training)}),
        seed=seed,
    )


ABOVE_THE_DEFAULTS = {"batch_size": 32, "latent_dim": 64, "data_seed": 1}
GOLDEN = {
    "4c734a6a5d56041a": make(),
    "1be5c7b6da77fb94": make(SPECTRAL, seed=4, n_dis=5, learning_rate=1e-3),
    "968e7849823576a3": make(PENALTY, penalty_weight=1, beta2=0.9),
    "e3f582bca179fe12": make(EVERYTHING, dataset="celeba-hq-128", training=ABOVE_THE_DEFAULTS),
}


@pytest.mark.parametrize(("golden", "trial"), GOLDEN.items(), ids=lambda value: getattr(value, "id", value))
def test_golden_ids(golden, trial):
    """Where these change, every row that exists is orphaned: raise SEMANTICS on purpose, or find what moved."""
    assert trial.id == golden


FIRST = ("ee7e9fbc4136ae68", "64623aa71a1f84b5", "5125822b16b29b2a", "5064a50cec364519")
"""The ids of the same trials under SEMANTICS 1, in the rows of the first release."""


def test_trials_of_earlier_semantics_keep_their_ids():
    earlier = [trial.under(1) for trial in GOLDEN.values()]
    assert tuple(trial.id for trial in earlier) == FIRST
    for trial, old, first in zip(GOLDEN.values(), earlier, FIRST, strict=True):
        assert trial.identified(first) == old != trial == trial.identified(trial.id)
        assert old.cell == trial.cell and old.to_dict() == trial.to_dict()
    with pytest.raises(ValueError, match="it is defined as"):
        trial.identified("0" * 16)


def test_the_id_is_the_hash_of_canonical_json():
    content = {"z": 1, "a": {"y": None, "b": [0.1, True]}}
    turned_round = {"a": {"b": [0.1, True], "y": None}, "z": 1}
    assert content_id(content) == content_id(turned_round) == content_id(content, length=64)[:16]
    with pytest.raises(ValueError, match="Out of range"):
        content_id({"a": math.nan})


@pytest.mark.parametrize("one", [1, 1.0, np.int64(1), np.float64(1), np.float32(1), np.uint8(1)], ids=repr)
def test_a_number_has_one_id_whatever_its_type(one):
    other = make(PENALTY, seed=one, n_dis=one, learning_rate=one, penalty_weight=one, training={"batch_size": one})
    same = make(PENALTY, seed=1, n_dis=1, learning_rate=1, penalty_weight=1, training={"batch_size": 1})
    assert (other.id, other, hash(other)) == (same.id, same, hash(same))
    assert replace(PLAIN, options={"clip": one}) == replace(PLAIN, options={"clip": 1})
    assert make(replace(PLAIN, options={"clip": one})).id == make(replace(PLAIN, options={"clip": 1})).id
    assert type(other.seed) is type(other.hyperparameters.n_dis) is type(other.training.batch_size) is int
    assert type(other.hyperparameters.learning_rate) is float
    json.dumps(other.to_dict())


def test_minus_zero_is_zero():
    assert make(beta1=-0.0).id == make(beta1=0).id


def test_order_of_normalizations_and_options_is_no_part_of_the_id():
    turned = replace(
        EVERYTHING,
        normalizations=["layer_norm", "spectral_norm"],
        options=(("exact", True), ("code", "CIN"), ("power_iterations", 5), ("clip", 0.01)),
    )
    assert turned == EVERYTHING
    assert make(turned).id == make(EVERYTHING).id


CHANGED = {
    "dataset": make(dataset="celeba-hq-128"),
    "seed": make(seed=1),
    "architecture": make(replace(PLAIN, architecture="dcgan")),
    "loss": make(replace(PLAIN, loss="hinge")),
    "normalizations": make(SPECTRAL),
    "two normalizations": make(replace(PLAIN, normalizations=("spectral_norm", "layer_norm"))),
    "penalty": make(PENALTY),
    "another penalty": make(replace(PENALTY, penalty="dragan")),
    "penalty_weight": make(PENALTY, penalty_weight=1),
    "constraint": make(replace(PLAIN, constraint="weight_clipping")),
    "option": make(replace(PLAIN, options={"a": 1})),
    "option's name": make(replace(PLAIN, options={"b": 1})),
    "option's value": make(replace(PLAIN, options={"a": 2})),
    "learning_rate": make(learning_rate=1e-4),
    "beta1": make(beta1=0.9),
    "beta2": make(beta2=0.9),
    "n_dis": make(n_dis=5),
    **{field: make(training={field: 99}) for field in ("discriminator_steps", "width", "batch_size", "latent_dim")},
    "data_seed": make(training={"data_seed": 99}),
}


def test_every_field_is_part_of_the_id():
    ids = {name: trial.id for name, trial in {"plain": make(), **CHANGED}.items()}
    assert len(set(ids.values())) == len(ids), ids
    assert {"dataset", "seed", *NUMBERS, *TRAINING, "batch_size", "latent_dim", "data_seed"} <= set(CHANGED)


def test_a_cell_is_all_but_the_settings_and_the_seed():
    one = make(PENALTY)
    assert one.cell == make(PENALTY, seed=3, learning_rate=1, beta1=0, beta2=0, penalty_weight=1).cell
    others = (make(), make(PENALTY, dataset="mnist"), make(PENALTY, n_dis=2), make(PENALTY, training={"width": 9}))
    assert len({trial.cell for trial in (one, *others)}) == 5


def test_precision_is_part_of_the_id():
    assert len({make(training={"precision": precision}).id for precision in study.core.trial.PRECISIONS}) == 3


def test_semantics_is_part_of_the_id(monkeypatch):
    before = make().id
    monkeypatch.setattr(study.core.trial, "SEMANTICS", study.core.trial.SEMANTICS + 1)
    assert make().id != before


def test_ids_do_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "from study.core.trial import *\n"
        "m = Method(architecture='a', normalizations={'x', 'y', 'z'}, options={'p': 1, 'q': 2.5, 'r': 'w'})\n"
        "h = Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1)\n"
        "print(Trial(dataset='d', method=m, hyperparameters=h, training=Training(discriminator_steps=1, width=1)).id)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().strip()) == 16


@pytest.mark.parametrize("trial", [*GOLDEN.values(), *CHANGED.values()], ids=lambda trial: trial.id)
def test_round_trip_through_json(trial):
    back = Trial.from_dict(json.loads(json.dumps(trial.to_dict())))
    assert back == trial
    assert back.id == trial.id
    assert len({back, trial}) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.pop("method"),
        lambda content: content.pop("dataset"),
        lambda content: content["training"].pop("width"),
        lambda content: content["hyperparameters"].update(gamma=1),
        lambda content: content["hyperparameters"].update(beta1="0.5"),
        lambda content: content["method"].update(options="abc"),
        lambda content: content.update(method="none"),
        lambda content: content.update(epochs=3),
    ],
)
def test_from_dict_refuses_what_is_no_trial(spoil):
    content = make(EVERYTHING).to_dict()
    spoil(content)
    with pytest.raises(InputError):
        Trial.from_dict(content)


NO_NUMBERS = [math.nan, math.inf, -math.inf, True, "5", None, 10**400, 1j]
FLOATS = {
    "learning_rate": ([0, 0.0, -1e-4], "above 0."),
    "penalty_weight": ([0, -1], "above 0."),
    "beta1": ([1, 1.0, -0.1, np.float64(1)], "at least 0 and below 1."),
    "beta2": ([1, 2, -1e-9], "at least 0 and below 1."),
}
WHOLE = {"n_dis": 1, "discriminator_steps": 1, "width": 1, "batch_size": 1, "latent_dim": 1, "data_seed": 0, "seed": 0}
REFUSED = [
    *((field, value, allowed) for field, (values, allowed) in FLOATS.items() for value in [*values, *NO_NUMBERS]),
    *(
        (field, value, f"a whole number, {low} or more")
        for field, low in WHOLE.items()
        for value in [low - 1, -5, 1.5, 2**63, *NO_NUMBERS]
    ),
]
REFUSED.remove(("penalty_weight", None, "above 0."))  # means that there is no penalty


@pytest.mark.parametrize(("field", "value", "allowed"), REFUSED, ids=lambda value: str(value)[:20])
def test_numbers_out_of_range_are_refused(field, value, allowed):
    if field == "seed":
        maker, others = make, {}
    elif field in ("n_dis", *FLOATS):
        maker, others = Hyperparameters, NUMBERS
    else:
        maker, others = Training, TRAINING
    with pytest.raises(InputError) as caught:
        maker(**{**others, field: value})
    message = str(caught.value)
    assert message.startswith(f"{field} ")
    assert repr(value) in message
    assert allowed in message
    assert "\n" not in message


def test_the_edges_of_the_ranges_are_allowed():
    assert make(beta1=0, beta2=math.nextafter(1, 0), n_dis=1, learning_rate=5e-324).hyperparameters.beta1 == 0
    assert make(seed=2**63 - 1).seed == 2**63 - 1


def test_penalty_and_weight_come_together():
    with pytest.raises(InputError, match=r"penalty_weight 10: the method has no penalty"):
        make(PLAIN, penalty_weight=10)
    with pytest.raises(InputError, match=r"penalty_weight: gradient_penalty needs a weight"):
        make(PENALTY, penalty_weight=None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": ""}, "architecture '': must be a name"),
        ({"loss": None}, "loss None: must be a name"),
        ({"penalty": ""}, "penalty '': must be a name"),
        ({"constraint": 3}, "constraint 3: must be a name"),
        ({"normalizations": "spectral_norm"}, "normalizations 'spectral_norm': must be a list of names"),
        ({"normalizations": ["layer_norm", "layer_norm"]}, "each may be named once"),
        ({"options": {"clip": math.nan}}, "option clip nan: must be a finite number"),
        ({"options": {"clip": None}}, "option clip None: must be a finite number"),
        ({"options": {"clip": 10**400}}, "must be a finite number"),
        ({"options": {"": 1}}, "option '': must be a name"),
    ],
)
def test_methods_are_checked(fields, message):
    with pytest.raises(InputError, match=message.replace("'", ".")):
        Method(**{"architecture": "sndcgan", **fields})


def test_unknown_precision_and_empty_dataset():
    with pytest.raises(InputError, match=r"precision float8: unknown. Known: float32"):
        Training(**TRAINING, precision="float8")
    with pytest.raises(InputError, match="dataset '': must be a name"):
        make(dataset="")


def test_method_names():
    assert PLAIN.name == "none"
    assert PENALTY.name == "gradient_penalty"
    assert EVERYTHING.name == (
        "wasserstein+layer_norm+spectral_norm+dragan+weight_clipping[clip=0.01,code=CIN,exact=true,power_iterations=5]"
    )


def test_trials_are_frozen():
    with pytest.raises(AttributeError):
        make().seed = 3
