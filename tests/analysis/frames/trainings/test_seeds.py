"""Variation between seeds by hand, against closed forms, and by planted variances."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.figures import NotEnough, figures
from analysis.frames.trainings.seeds import intraclass, pooled_sd, repeated_settings, seed_table, setting_spread
from analysis.rows.view import open_rows
from study.storage.schema import DIVERGED, FAILED

FIGURE = figures()["seeds"]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def seeded(study):
    """Three settings of three, two and two seeds, one of which diverged, and a setting of one seed."""
    for rate, scores in ((1e-4, [10.0, 12.0, 14.0]), (2e-4, [20.0, 24.0]), (5e-4, [30.0, DIVERGED]), (1e-3, [1.0])):
        study.add_many(None, scores, learning_rate=rate)
    return study


def test_settings_are_in_the_order_of_their_medians(seeded):
    rows = repeated_settings(open_rows(seeded.folder).scored)
    assert len(rows) == 7, "the setting of one seed says nothing of seeds"
    order = rows.drop_duplicates("place").sort_values("place")
    assert order["learning_rate"].tolist() == [1e-4, 2e-4, 5e-4]
    assert order["median"].tolist() == [12.0, 22.0, math.inf]


def test_the_spread_of_each_setting_by_hand(seeded):
    spread = setting_spread(repeated_settings(open_rows(seeded.folder).scored)).sort_values("place").set_index("place")
    assert spread["seeds"].tolist() == [3, 2, 2]
    assert spread["scored"].tolist() == [3, 2, 1]
    assert spread.loc[1, ["lowest", "highest", "mean", "sd"]].tolist() == [10.0, 14.0, 12.0, 2.0]
    assert spread.loc[2, "sd"] == pytest.approx(math.sqrt(8))
    assert math.isnan(spread.loc[3, "sd"])


def test_the_table_by_hand(seeded):
    row = seed_table(repeated_settings(open_rows(seeded.folder).scored), rng()).iloc[0]
    assert row[["method", "settings", "trainings", "partly", "unscored"]].tolist() == ["W/O", 3, 7, 1, 1]
    assert row["sd"] == pytest.approx(math.sqrt((2 * 4 + 8) / 3))
    assert row["cv"] == pytest.approx(math.sqrt((2 * 4 / 144 + 8 / 484) / 3))
    assert row["range"] == pytest.approx((4 / 12 + 4 / 22) / 2)
    assert (row["sd_low"], row["sd_high"]) == (0.0, math.inf), "two settings say nothing of others"


def test_the_intraclass_correlation_by_hand():
    """Groups (1, 2), (3, 4), (5, 6): mean squares 8 between and 0.5 within, so 7.5 / 8.5."""
    share, (low, high) = intraclass([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2])
    assert share == pytest.approx(7.5 / 8.5)
    ends = [16 / stats.f.ppf(0.975, 2, 3), 16 * stats.f.ppf(0.975, 3, 2)]
    assert (low, high) == pytest.approx([(f - 1) / (f + 1) for f in ends])


def test_a_seed_that_does_the_same_everywhere_is_below_zero():
    assert intraclass([1, 5, 1, 5, 1, 5], [0, 0, 1, 1, 2, 2])[0] == -1


def test_the_intraclass_interval_covers_what_it_says():
    draw, held = rng(3), 0
    for _ in range(500):
        values = (draw.normal(size=(12, 1)) + draw.normal(size=(12, 3))).ravel()
        low, high = intraclass(values, np.repeat(np.arange(12), 3))[1]
        held += low <= 0.5 <= high
    assert 0.92 <= held / 500 <= 0.975


def test_the_interval_of_a_pooled_sd_covers_what_it_says():
    draw, held = rng(4), 0
    for _ in range(400):
        variances = draw.normal(size=(24, 3)).var(axis=1, ddof=1)
        low, high = pooled_sd(variances, np.full(24, 2.0), draw)[1]
        held += low <= 1 <= high
    assert 0.90 <= held / 400 <= 0.98


def test_the_same_stream_gives_the_same_interval(seeded):
    rows = repeated_settings(open_rows(seeded.folder).scored)
    assert seed_table(rows, rng(5)).equals(seed_table(rows, rng(5)))


def test_equal_scores_have_no_variation_and_no_interval():
    sd, ends = pooled_sd([0.0] * 5, [2.0] * 5, rng())
    assert (sd, ends) == (0.0, (0.0, math.inf))
    assert math.isnan(pooled_sd([], [], rng())[0])
    assert math.isnan(intraclass([1, 1, 1, 1], [0, 0, 1, 1])[0])


def test_settings_without_any_score_stand_last_and_count(study):
    study.add_many(None, [5.0, 6.0], learning_rate=1e-4)
    study.add_many(None, [DIVERGED, FAILED], learning_rate=1e-3)
    rows = repeated_settings(open_rows(study.folder).scored)
    assert rows[rows["score"].isna()]["place"].tolist() == [2, 2]
    row = seed_table(rows, rng()).iloc[0]
    assert (row["settings"], row["partly"], row["unscored"]) == (2, 0, 2)


def test_one_seed_only_is_said(study):
    study.add(None, 1.0, learning_rate=1e-4)
    study.add(None, 2.0, learning_rate=1e-3)
    with pytest.raises(NotEnough, match="several seeds"):
        FIGURE.compute(open_rows(study.folder))


def test_the_figure_of_two_datasets_draws(seeded):
    for rate in (1e-4, 1e-3):
        seeded.add_many(None, [3.0, 400.0, DIVERGED], learning_rate=rate, dataset="cifar10")
    rows = open_rows(seeded.folder)
    frames = FIGURE.compute(rows)
    caption = FIGURE.caption(rows, frames)
    assert "in 3 settings that also have scored seeds" in caption
    figure = FIGURE.draw(frames, caption)
    figure.draw_without_rendering()
    assert len(figure.subfigs) == 2


def test_of_many_settings_some_are_drawn_evenly_and_the_table_is_of_all(study, monkeypatch):
    for place in range(1, 11):
        study.add_many(None, [10.0 * place, 10.0 * place + 1], learning_rate=place * 1e-4)
    rows = open_rows(study.folder)
    whole = FIGURE.compute(rows)
    assert "evenly spaced by rank" not in FIGURE.caption(rows, whole)
    monkeypatch.setattr("analysis.figures.trainings.seeds.SHOWN", 4)
    frames = FIGURE.compute(open_rows(study.folder))
    assert sorted(whole["settings"]["place"]) == list(range(1, 11)) and len(whole["points"]) == 20
    assert sorted(frames["settings"]["place"]) == [1, 4, 7, 10], "the first, the last, and as far apart in between"
    assert sorted(frames["points"]["place"].unique()) == [1, 4, 7, 10] and len(frames["points"]) == 8
    assert frames["table"]["settings"].tolist() == [10]
    assert "Only 4 settings of a method are drawn, evenly spaced by rank" in FIGURE.caption(rows, frames)


def test_the_bootstrap_by_counts_is_that_by_rows():
    variances, freedom = np.array([1.0, 4.0, 9.0, 2.0, 6.0]), np.array([2.0, 2.0, 1.0, 2.0, 1.0])
    low, high = pooled_sd(variances, freedom, rng(3))[1]
    rows = np.stack([variances * freedom, freedom], axis=-1)

    def log_ratio(of):
        above, below = of[..., 0].sum(axis=1), of[..., 1].sum(axis=1)
        rest = of[..., 0] - (above / below)[:, None] * of[..., 1]
        return np.log(above / below), np.sqrt((rest**2).sum(axis=1) * 5 / 4) / above

    drawn = rng(3).integers(0, 5, (2000, 5))
    drawn = drawn[(drawn != drawn[:, :1]).any(axis=1)]  # one setting five times tells nothing of its error
    (mean,), (error,) = log_ratio(rows[None])
    means, errors = log_ratio(rows[drawn])
    ends = np.quantile((means - mean) / errors, [0.975, 0.025])
    assert (low, high) == pytest.approx(tuple(np.exp((mean - ends * error) / 2)), rel=1e-9)


def test_an_end_beyond_all_numbers_is_open():
    """Resamples of the two settings that are nearly alike have next to no error, and lie far from the whole."""
    assert pooled_sd([1.0, 1.001, 100.0], [2.0, 2.0, 2.0], rng())[1][1] == math.inf
