"""Paired ablations: what is a pair, and what is said of it."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.frames.methods.ablation import CODES, EQUAL, paired_ablations
from analysis.rows.load import load, select
from analysis.rows.view import open_rows
from study.core.trial import Hyperparameters, Method, Training, Trial, field_names
from study.storage.schema import DIVERGED, FAILED, STOPPED

SPECTRAL = ("spectral_norm",)


def with_options(**options):
    return Method(architecture="resnet_cifar", normalizations=SPECTRAL, options=tuple(options.items()))


def table_of(study, **how):
    table = paired_ablations(select(load(study.compact())), **how)
    return {(row["factor"], row["from"], row["to"]): row for row in table.to_dict("records")}


def test_a_normalisation_is_added_to_the_training_of_the_same_setting_and_seed(study, methods):
    study.add_many(methods["none"], [10, 20, 40])
    study.add_many(methods["spectral_norm"], [5, 25, 30])  # -50 %, +25 %, -25 %
    study.add(methods["spectral_norm"], 1.0, seed=9)  # no partner
    study.add(methods["spectral_norm"], 1.0, seed=0, learning_rate=5e-4)  # another setting

    (row,) = table_of(study).values()

    assert (row["dataset"], row["factor"], row["from"], row["to"]) == (
        "digits",
        "normalizations",
        "without",
        "spectral_norm",
    )
    assert (row["pairs"], row["unscored"]) == (3, 0)
    assert row["median"] == pytest.approx(-0.25)
    assert row["improved"] == pytest.approx(2 / 3)
    assert row["verdict"] == "no interval" and (row["low"], row["high"]) == (-math.inf, math.inf)


def test_two_changes_at_once_are_no_pair(study, methods):
    study.add(methods["none"], 10.0)
    study.add(Method(architecture="sndcgan", normalizations=SPECTRAL, penalty="dragan"), 5.0)
    study.add(Method(architecture="sndcgan", normalizations=SPECTRAL, loss="hinge"), 5.0)
    study.add(Method(architecture="dcgan", loss="hinge"), 5.0)

    assert table_of(study) == {}


def test_the_factors_and_what_they_change_from(study, methods):
    study.add(methods["none"], 10.0)
    study.add(Method(architecture="sndcgan", loss="hinge"), 11.0)
    study.add(Method(architecture="sndcgan", constraint="weight_clipping"), 12.0)
    study.add(methods["dragan"], 13.0)
    study.add(Method(architecture="dcgan"), 14.0)
    study.add(methods["none"], 15.0, n_dis=5)
    study.add(methods["none"], 16.0, n_dis=10)
    study.add(methods["none"], 17.0, steps=500)
    study.add(Method(architecture="sndcgan", options=(("power_iterations", 2),)), 18.0)

    found = table_of(study)

    assert {key: round(10 * (1 + row["median"]), 9) for key, row in found.items()} == {
        ("penalty", "without", "dragan"): 13,
        ("constraint", "without", "weight_clipping"): 12,
        ("loss", "non_saturating", "hinge"): 11,
        ("architecture", "sndcgan", "dcgan"): 14,
        ("n_dis", "1", "5"): 15,
        ("n_dis", "1", "10"): 16,
        ("discriminator_steps", "250", "500"): 17,
        ("power_iterations", "default", "2"): 18,
    }
    assert [key[2] for key in found][4:6] == ["5", "10"]  # by number


def test_the_codes_of_appendix_d_stand_against_def(study):
    for number, code in enumerate(CODES):
        method = with_options() if code == "DEF" else with_options(ablation=code)
        study.add_many(method, [10 + number] * 5)

    found = table_of(study)

    assert set(found) == {("ablation", "DEF", code) for code in CODES[1:]}
    assert found["ablation", "DEF", "CIN"]["median"] == pytest.approx(0.2)
    assert {row["pairs"] for row in found.values()} == {5}
    assert {row["verdict"] for row in found.values()} == {"no interval"}  # 2 / 2^5 is more than 5 %


def test_the_last_of_several_normalisations_is_added_to_the_others(study):
    study.add(Method(architecture="sndcgan", normalizations=("batch_norm",)), 10.0)
    study.add(Method(architecture="sndcgan", normalizations=("batch_norm", "spectral_norm")), 12.0)

    assert list(table_of(study)) == [("normalizations", "without", "spectral_norm")]


def test_weights_of_an_added_penalty_are_one_pair_by_the_median_of_their_changes(study, methods):
    study.add_many(methods["none"], [10, 10])
    study.add_many(methods["gradient_penalty"], [5, 8])
    rows = select(load(study.compact()))
    heavier = rows[rows["penalty"] == "gradient_penalty"].assign(penalty_weight=1.0, best_frechet_distance=[15, 9])
    heavier = heavier.assign(trial_id=heavier["trial_id"] + "b")

    (row,) = paired_ablations(pd.concat([rows, heavier])).to_dict("records")

    assert (row["pairs"], row["median"]) == (2, pytest.approx(np.median([(-0.5 + 0.5) / 2, (-0.2 - 0.1) / 2])))


def test_a_training_without_a_score_ranks_last_on_either_side(study, methods):
    study.add_many(methods["none"], [10, DIVERGED, FAILED, 10])
    study.add_many(methods["spectral_norm"], [DIVERGED, 10, DIVERGED, 5])  # inf, -inf, a tie, -0.5

    (row,) = table_of(study).values()

    assert (row["pairs"], row["unscored"]) == (4, 3)
    assert row["median"] == pytest.approx(-0.25)  # between -0.5 and the tie
    assert row["improved"] == 0.5


def test_stopped_trainings_have_no_part(study, methods):
    study.add(methods["none"], 10.0)
    study.add(methods["spectral_norm"], 5.0, status=STOPPED)

    assert table_of(study) == {}


def test_all_diverged_are_ties(study, methods):
    study.add_many(methods["none"], [DIVERGED] * 8)
    study.add_many(methods["spectral_norm"], [DIVERGED] * 8)

    (row,) = table_of(study).values()

    assert (row["median"], row["low"], row["high"], row["improved"]) == (0, 0, 0, 0)
    assert row["verdict"] == "not resolved"


def test_the_interval_is_that_of_the_sign_test(study, methods):
    rng = np.random.default_rng(3)
    without, with_it = rng.uniform(10, 20, 40), rng.uniform(5, 15, 40)
    study.add_many(methods["none"], list(without))
    study.add_many(methods["spectral_norm"], list(with_it))

    (row,) = table_of(study, level=0.9).values()

    changes = np.sort(with_it / without - 1)
    low, high = stats.quantile_test(changes, p=0.5).confidence_interval(confidence_level=0.9)
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-9)
    assert row["median"] == pytest.approx(np.median(changes), rel=1e-9)
    assert row["verdict"] == "lower"


def test_the_level_is_shared_by_the_rows_that_have_pairs_enough(study, methods):
    study.add_many(methods["none"], [10.0] * 8)
    study.add_many(methods["spectral_norm"], [9.0] * 8)
    study.add_many(methods["dragan"], [11.0] * 7)
    study.add_many(methods["gradient_penalty"], [9.0] * 2)

    found = table_of(study)

    assert {row["level"] for row in found.values()} == {1 - 0.05 / 2}
    said = {key[2]: row["verdict"] for key, row in found.items()}
    # seven pairs have an interval at 95 % (2 / 2^7 = 1.6 %), and at 97.5 %
    assert said == {"spectral_norm": "lower", "dragan": "higher", "gradient_penalty": "no interval"}


def test_by_splits_the_pairs(study):
    for architecture, scores in (("sndcgan", (10, 5)), ("dcgan", (10, 20))):
        study.add(Method(architecture=architecture), scores[0])
        study.add(Method(architecture=architecture, normalizations=SPECTRAL), scores[1])

    table = paired_ablations(select(load(study.compact())), by=["architecture"])

    added = table[table["factor"] == "normalizations"]
    assert dict(zip(added["architecture"], added["median"], strict=True)) == {"sndcgan": -0.5, "dcgan": 1.0}


@pytest.mark.full
def test_shuffled_labels_give_a_verdict_no_more_often_than_the_level(study, methods):
    """Nothing changes anything: 100 tables of three rows each, of scores that all have one law."""
    rng = np.random.default_rng(0)
    study.add_many(methods["none"], [1.0] * 20)
    for name in ("spectral_norm", "gradient_penalty", "dragan"):
        study.add_many(methods[name], [1.0] * 20)
    rows = select(load(study.compact()))

    wrong = 0
    for _ in range(100):
        scores = rng.lognormal(size=len(rows))
        wrong += paired_ablations(rows.assign(best_frechet_distance=scores))["verdict"].isin(["lower", "higher"]).any()

    assert wrong <= stats.binom.ppf(0.999, 100, 0.05)


def test_what_must_be_equal_is_all_that_a_trial_is():
    inner = {*field_names(Method), *field_names(Hyperparameters), *field_names(Training)}
    outer = {*field_names(Trial)} - {"method", "hyperparameters", "training", "semantics"}  # rows of two are refused
    assert set(EQUAL) == inner | outer


def test_the_figure_is_drawn_and_says_when_there_is_nothing(study, methods, tmp_path):
    study.add_many(methods["none"], [10, 20, 40, DIVERGED, 10, 10, 30, 11])
    kind = figures()["ablation"]
    with pytest.raises(NotEnough, match="differ in one factor"):
        kind.compute(open_rows(study.compact()))
    study.add_many(methods["spectral_norm"], [DIVERGED, 25, 30, 5, 1, 2, 3, 4])
    rows = open_rows(study.compact())
    frames = kind.compute(rows)
    text = kind.caption(rows, frames)
    assert "95.00 % each" in text and "1 diverged" not in text and "2 diverged" in text
    assert save(kind.draw(frames, text), tmp_path / "ablation.png").stat().st_size > 10_000
