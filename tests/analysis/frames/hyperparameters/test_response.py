"""Responses and importance by hand, against scipy, and by planted effects."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.figures import NotEnough, figures
from analysis.frames.hyperparameters.response import DRAWN, grouped, importance, response, response_points
from analysis.rows.view import open_rows
from study.storage.schema import DIVERGED


def rng(seed=0):
    return np.random.default_rng(seed)


def frame(n, score, **columns):
    fixed = {"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.9, "n_dis": 1, "penalty_weight": math.nan}
    return pd.DataFrame({"dataset": "digits", "method_label": "SN", **fixed, **columns, "score": score}, index=range(n))


def test_few_values_are_groups_and_many_are_cut_into_neighbours():
    assert grouped([5, 1, 5, 3]).tolist() == [2, 0, 2, 1]
    codes = grouped(np.arange(24.0))
    assert np.bincount(codes).tolist() == [6, 6, 6, 6]
    assert (np.diff(codes) >= 0).all()
    assert grouped([2.0, 2.0]) is None
    assert grouped([math.nan] * 3) is None


def test_equal_values_are_never_parted():
    values = np.repeat(np.arange(10.0), [1, 1, 1, 1, 1, 20, 1, 1, 1, 1])
    codes = grouped(values)
    assert all(len(set(codes[values == value])) == 1 for value in np.unique(values))


def test_medians_and_quartiles_by_hand(study):
    for seed, score in enumerate([10.0, 20.0, 40.0]):
        study.add(None, score, seed=seed, learning_rate=1e-4)
    for seed, score in enumerate([30.0, DIVERGED, DIVERGED]):
        study.add(None, score, seed=seed, learning_rate=1e-3)
    table = response(open_rows(study.folder).scored)
    assert table["hyperparameter"].tolist() == ["learning_rate"] * 2, "nothing else varies"
    low, high = (row for _, row in table.iterrows())
    assert low[["value", "n", "scored", "q1", "median", "q3"]].tolist() == [1e-4, 3, 3, 15.0, 20.0, 30.0]
    assert high[["value", "n", "scored", "q1", "median", "q3"]].tolist() == [1e-3, 3, 1, math.inf, math.inf, math.inf]


def test_a_share_by_hand():
    """Ranks 1, 2 | 3, 4 | 5, 6: between 16, within 1.5, so (16 - 2 * 0.5) / 17.5."""
    rows = frame(6, [1, 2, 3, 4, 5, 6], learning_rate=[1e-4, 1e-4, 2e-4, 2e-4, 1e-3, 1e-3])
    row = importance(rows, rng()).iloc[0]
    assert (row["n"], row["groups"]) == (6, 3)
    assert row["share"] == pytest.approx(15 / 17.5)
    assert 0 <= row["share_low"] <= row["share"] <= row["share_high"] <= 1


def test_a_share_agrees_with_the_f_test_of_scipy():
    scores, rate = rng(1).normal(size=60), np.tile([1e-4, 2e-4, 1e-3], 20)
    scores = scores + (rate == 1e-3)
    row = importance(frame(60, scores, learning_rate=rate), rng()).iloc[0]
    ranks = stats.rankdata(scores)
    f = stats.f_oneway(*(ranks[rate == value] for value in np.unique(rate))).statistic
    assert row["share"] == pytest.approx((2 * f - 2) / (2 * f + 57), rel=1e-9)


def test_what_matters_is_told_from_what_does_not():
    n = 120
    draw = rng(2)
    rows = frame(
        n,
        draw.normal(size=n),
        learning_rate=draw.uniform(1e-5, 1e-2, n),
        beta1=draw.uniform(0, 0.9, n),
        n_dis=np.arange(n) % 2 * 4 + 1,
    )
    rows["score"] += 300 * rows["learning_rate"]
    table = importance(rows, rng()).set_index("hyperparameter")
    assert bool(table.loc["learning_rate", "resolved"])
    assert not table.loc[["beta1", "n_dis"], "resolved"].any()
    assert table.loc["learning_rate", "share"] > 0.3 > table.loc["beta1", "share"]


@pytest.mark.full
def test_shares_of_nothing_are_seldom_resolved():
    resolved = sum(
        bool(importance(frame(24, draw.normal(size=24), beta1=np.tile([0.1, 0.5, 0.9], 8)), draw).iloc[0]["resolved"])
        for draw in (rng(seed) for seed in range(200))
    )
    assert resolved / 200 <= 0.05


def test_trials_without_a_score_rank_last():
    rate = np.repeat([1e-4, 1e-3], 6)
    diverged = np.where(rate == 1e-3, math.nan, np.arange(12.0))
    share = importance(frame(12, diverged, learning_rate=rate), rng()).iloc[0]["share"]
    assert share == pytest.approx((108 - 1.75) / 125.5), "ranks 1 to 6, and six times 9.5"


def test_outliers_do_not_matter_and_the_stream_decides():
    rate, scores = np.tile([1e-4, 1e-3], 10), np.arange(20.0)
    one, other = (importance(frame(20, values, learning_rate=rate), rng()) for values in (scores, np.exp(3 * scores)))
    pd.testing.assert_frame_equal(one, other)


def test_what_was_not_varied_by_itself_is_named():
    betas, rates = [0.5, 0.5, 0.9, 0.9] * 2, [1e-4] * 4 + [1e-3] * 4
    rows = frame(8, range(8), beta1=betas, n_dis=[1, 5, 5, 5] * 2, learning_rate=rates)
    tied = importance(rows, rng()).set_index("hyperparameter")["tied_to"]
    assert tied.to_dict() == {"learning_rate": "", "beta1": "n_dis", "n_dis": "beta1"}


def test_too_few_settings_have_no_share():
    row = importance(frame(3, [1, 2, 3], learning_rate=[1e-4, 1e-3, 1e-3]), rng()).iloc[0]
    assert math.isnan(row["share"])
    assert row[["share_low", "share_high", "resolved"]].tolist() == [0.0, 1.0, False]


def test_clouds_are_drawn_in_part_and_say_so():
    n = DRAWN + 100
    points = response_points(frame(n, range(n), learning_rate=np.tile([1e-4, 1e-3], n // 2)), rng())
    assert len(points) == DRAWN
    assert points[["pool", "drawn"]].iloc[0].tolist() == [n, DRAWN]
    assert points["score"].is_unique


def test_seeds_of_one_setting_are_one_piece_of_evidence(study):
    for rate, score in ((1e-4, 1.0), (2e-4, 2.0), (1e-3, 3.0)):
        for seed in range(8):
            study.add(None, score + seed / 100, seed=seed, learning_rate=rate)
    with pytest.raises(NotEnough, match="two more settings than values"):
        figures()["importance"].compute(open_rows(study.folder))


@pytest.mark.parametrize("name", ["response", "importance"])
def test_one_setting_only_is_said(study, name):
    study.add_many(None, [1.0, 2.0])
    with pytest.raises(NotEnough):
        figures()[name].compute(open_rows(study.folder))


@pytest.mark.parametrize("name", ["response", "importance"])
def test_figures_of_two_datasets_draw(study, methods, name):
    for dataset in ("digits", "cifar10"):
        for at in range(12):
            study.add(methods["spectral_norm"], 1.0 + at, dataset=dataset, learning_rate=(1 + at) * 1e-4)
            study.add(methods["none"], DIVERGED if at == 3 else 20.0 + at, seed=at, dataset=dataset, n_dis=1 + at % 2)
            study.add(methods["dragan"], DIVERGED, dataset=dataset, n_dis=1 + at)
    rows = open_rows(study.folder)
    kind = figures()[name]
    frames = kind.compute(rows)
    figure = kind.draw(frames, kind.caption(rows, frames))
    figure.draw_without_rendering()
    assert len(figure.subfigs) == 2
