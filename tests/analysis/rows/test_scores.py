"""Which score stands for a trial, what is pooled, and under which name."""

import math

import pandas as pd
import pytest

from analysis import load, select
from analysis.rows.scores import (
    BEST,
    FINAL,
    RULES,
    SETTINGS,
    TRAININGS,
    check_fraction,
    labels,
    most_frequent_training,
    pools,
    scored,
    with_context,
)
from study.core.errors import InputError
from study.core.trial import Method
from study.storage.schema import DIVERGED, FAILED, STOPPED

NAN = math.nan


def rows_of(study):
    return select(load(study.compact()))


def seeds(study, method, scores, **how):
    """One setting, one training per score."""
    study.add_many(method, scores, **how)


def test_rules_take_the_best_or_the_final_checkpoint(study):
    study.add(score=[9.0, 4.0, 6.0])
    frame = rows_of(study)
    assert list(scored(frame)["score"]) == [4.0]
    assert list(scored(frame, RULES["final"])["score"]) == [6.0]
    assert set(scored(frame, FINAL)["rule"]) == {FINAL.words}


def test_trials_without_a_score_stay_and_stopped_ones_do_not(study):
    study.add_many(None, [3.0, DIVERGED, FAILED])
    study.add(score=[1.0], status=STOPPED, seed=9)
    rows = scored(rows_of(study))
    assert rows["score"].isna().tolist() == [status != "finished" for status in rows["status"]]
    assert sorted(rows["status"]) == [DIVERGED, FAILED, "finished"]
    assert set(rows["seeds"]) == {1} and set(rows["pool"]) == {TRAININGS.words}


@pytest.mark.parametrize("value", [math.inf, -math.inf, NAN])
def test_scores_that_are_not_finite_are_none(study, value):
    study.add_many(None, [3.0, 4.0])
    frame = rows_of(study)
    frame.loc[frame["best_frechet_distance"] == 3.0, "best_frechet_distance"] = value
    assert sorted(scored(frame)["score"].dropna()) == [4.0]
    assert len(scored(frame)) == 2


@pytest.mark.parametrize(
    ("scores", "median"),
    [
        ([5.0], 5.0),
        ([5.0, 9.0], 7.0),
        ([9.0, 5.0, 6.0], 6.0),
        ([5.0, 1.0, 9.0, 8.0], 6.5),
        ([5.0, 6.0, DIVERGED], 6.0),  # the third of three has none: it ranks last
        ([5.0, 6.0, 7.0, DIVERGED], 6.5),
        ([5.0, DIVERGED], NAN),  # half of the median has none
        ([5.0, FAILED, DIVERGED], NAN),
        ([DIVERGED], NAN),
    ],
)
def test_a_setting_is_its_median_over_seeds(study, scores, median):
    seeds(study, None, scores)
    (row,) = scored(rows_of(study), pool=SETTINGS).to_dict("records")
    assert row["score"] == median or (math.isnan(row["score"]) and math.isnan(median))
    assert row["seeds"] == len(scores)
    assert row["pool"] == SETTINGS.words
    ranked = sorted(math.inf if isinstance(score, str) else score for score in scores)
    middle = ranked[(len(scores) - 1) // 2]
    own = row["best_frechet_distance"]
    assert own == middle or (math.isnan(own) and math.isinf(middle))  # the other columns are of the seed nearest to it


def test_settings_are_told_apart_by_all_that_is_not_the_seed(study, methods):
    """Also where they have no penalty weight, which is an empty cell."""
    seeds(study, methods["none"], [1.0, 3.0])
    seeds(study, methods["none"], [5.0, 7.0], learning_rate=1e-4)
    seeds(study, methods["none"], [9.0, 11.0], n_dis=5)
    seeds(study, methods["none"], [13.0, 15.0], dataset="digits-32")
    seeds(study, methods["none"], [17.0, 19.0], steps=500)
    seeds(study, methods["dragan"], [21.0, 23.0])
    seeds(study, methods["spectral_norm"], [25.0, DIVERGED, 27.0])
    rows = scored(rows_of(study), pool=SETTINGS)
    assert sorted(rows["score"]) == [2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 27.0]
    assert list(rows.columns) == list(scored(rows_of(study)).columns)
    assert rows["seeds"].sum() == 15


def test_settings_of_one_seed_are_the_trainings(study, methods):
    for rate, score in enumerate([4.0, DIVERGED, 2.0, 3.0], 1):
        study.add(methods["dragan"], score, learning_rate=rate * 1e-4)
    frame = rows_of(study)
    one, other = (scored(frame, pool=pool).drop(columns="pool") for pool in (SETTINGS, TRAININGS))
    pd.testing.assert_frame_equal(
        *(each.sort_values("trial_id", ignore_index=True) for each in (one, other)), check_dtype=False
    )


def test_labels_name_methods_and_split_only_the_gradient_penalty(study, methods):
    for method in (*methods.values(), Method(architecture="sndcgan", loss="hinge", normalizations=("spectral_norm",))):
        study.add(method, 1.0, n_dis=1)
        study.add(method, 1.0, n_dis=5)
    frame = rows_of(study)
    found = dict(zip(labels(frame) + frame["n_dis"].astype(str), frame["method"], strict=True))
    assert sorted(found) == sorted(
        ["W/O1", "W/O5", "SN1", "SN5", "DR1", "DR5", "GP1", "GP 55", "hinge+SN1", "hinge+SN5"]
    )


def test_unknown_methods_get_a_generated_label(study):
    study.add(score=1.0)
    frame = rows_of(study).assign(method="my_own_loss+spectral_norm[alpha=2]")
    assert list(labels(frame)) == ["my own loss+SN [alpha=2]"]
    assert list(pools(scored(frame))) == [("digits", "my own loss+SN [alpha=2]")]


def test_labels_say_what_differs_within_a_dataset(study):
    study.add(score=1.0, steps=250)
    study.add(score=1.0, steps=500)
    study.add(score=1.0, steps=250, dataset="digits-32")
    study.add(Method(architecture="resnet19"), 1.0, dataset="digits-32")
    frame = rows_of(study)
    assert most_frequent_training(frame) == {"digits": {"discriminator_steps": 250}, "digits-32": {}}
    assert sorted(labels(frame)) == ["W/O", "W/O, discriminator steps 500", "W/O, resnet19", "W/O, sndcgan"]


def test_labels_say_what_few_trials_of_a_dataset_have(study):
    for steps, seed in ((500, 0), (500, 1), (250, 0)):
        study.add(score=1.0, steps=steps, seed=seed)
    study.add(Method(architecture="sndcgan", penalty="dragan"), 1.0, steps=1000)
    frame = rows_of(study)
    assert most_frequent_training(frame) == {"digits": {"discriminator_steps": 500}}
    assert set(labels(frame)) == {"W/O", "W/O, discriminator steps 250", "DR, discriminator steps 1000"}
    assert set(with_context(frame["method"], frame, all_values=True)) == {
        "none, discriminator steps 500", "none, discriminator steps 250", "dragan, discriminator steps 1000"
    }  # fmt: skip


def test_pools_come_in_the_order_of_the_paper_and_hold_all_rows(small_study):
    rows = scored(rows_of(small_study), BEST)
    found = pools(rows)
    assert [label for _, label in found] == ["W/O", "GP", "GP 5", "SN"]
    assert [len(pool) for pool in found.values()] == [24, 6, 18, 12]


@pytest.mark.parametrize("fraction", [0.0, 1.01, NAN, -1.0])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match="must be above 0 and at most 1"):
        check_fraction(fraction)
