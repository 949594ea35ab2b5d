"""Distributions of scores against numbers worked out by hand, and their band against simulation."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.figures import NotEnough, figures
from analysis.frames.methods.distribution import STEPS, distribution_table, ecdf, quantiles
from analysis.rows.scores import scored
from analysis.rows.view import open_rows
from study.storage.schema import DIVERGED, FAILED

FIGURE = figures()["distribution"]


def table_of(study, **how):
    rows = open_rows(study.folder, **how)
    return distribution_table(rows.scored, rows.level).set_index("method")


def frame(scores):
    return pd.DataFrame({"dataset": "digits", "method_label": "SN", "score": np.asarray(scores, dtype=float)})


def test_a_curve_counts_all_trainings_and_ends_below_one(study):
    study.add_many(None, [4.0, 2.0, 2.0, DIVERGED, FAILED])
    curve = ecdf(open_rows(study.folder).scored)
    assert curve["score"].tolist() == [2.0, 4.0]
    assert curve["share"].tolist() == [0.4, 0.6], "ties rise at once, and five are counted"
    margin = math.sqrt(math.log(2 / 0.05) / 10)
    assert curve["low"].tolist() == [0.0, 0.0]
    assert curve["high"].tolist() == pytest.approx([1.0, 1.0])
    assert margin > 0.6


def test_the_band_has_massarts_width():
    curve = ecdf(frame(range(1, 201)), level=0.9)
    margin = math.sqrt(math.log(20) / 400)
    assert curve["share"].iloc[99] == 0.5
    assert (curve["low"].iloc[99], curve["high"].iloc[99]) == pytest.approx((0.5 - margin, 0.5 + margin))


@pytest.mark.full
def test_the_band_holds_the_whole_law_as_often_as_it_says():
    """Uniform scores, whose law is the diagonal: both ends of each step are compared."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        curve = ecdf(frame(rng.uniform(size=40)), level=0.9)
        margin = curve["high"].iloc[0] - curve["share"].iloc[0]
        before = curve["share"] - 1 / 40
        held += (curve["share"] - curve["score"]).max() <= margin and (curve["score"] - before).max() <= margin
    assert 0.87 <= held / 400 <= 0.97


def test_large_pools_are_thinned_exactly():
    curve = ecdf(frame(range(10_000)))
    assert len(curve) == STEPS
    assert np.allclose(curve["share"], (curve["score"] + 1) / 10_000, atol=1e-15)
    assert (curve["share"].iloc[0], curve["share"].iloc[-1]) == (1e-4, 1.0)


def test_the_table_by_hand(study, methods):
    study.add_many(methods["none"], [10.0, 12.0, 19.0, 21.0, 30.0, 40.0, DIVERGED, FAILED])
    study.add_many(methods["spectral_norm"], [11.0])
    row = table_of(study).loc["W/O"]
    assert row[["n", "diverged", "failed", "unscored", "best"]].tolist() == [8, 1, 1, 0, 10.0]
    assert (row["median"], row["q1"]) == (25.5, 17.25)
    assert row["q3"] == math.inf, "three quarters of seven steps lie between 40 and a training without a score"
    assert (row["low"], row["high"]) == (10.0, math.inf), "order statistics 1 and 8 of 8 cover 99 %, 2 and 7 only 93 %"
    assert row["close"] == 3 / 8, "at most twice 10"
    assert table_of(study).loc["SN", ["n", "close", "low", "high"]].tolist() == [1, 1.0, -math.inf, math.inf]


def test_close_is_measured_from_the_best_of_the_dataset(study, methods):
    study.add_many(methods["none"], [5.0])
    study.add_many(methods["spectral_norm"], [10.0, 11.0])
    assert table_of(study).loc["SN", "close"] == 0.5


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_quantiles_are_numpys_where_all_have_scores(n):
    scores = np.random.default_rng(n).normal(size=n)
    shares = [0, 0.1, 0.25, 0.5, 0.75, 1]
    assert quantiles(scores, shares) == pytest.approx(np.quantile(scores, shares), abs=1e-12)


def test_the_best_is_known_where_the_next_has_no_score():
    assert quantiles([3.0, math.nan, math.inf], [0, 0.25, 0.5]).tolist() == [3.0, math.inf, math.inf]


def test_the_figure_shows_a_method_without_any_score(study, methods):
    study.add_many(methods["none"], [1.0, 2.0, 3.0])
    study.add_many(methods["spectral_norm"], [DIVERGED] * 2)
    rows = open_rows(study.folder)
    frames = FIGURE.compute(rows)
    figure = FIGURE.draw(frames, FIGURE.caption(rows, frames))
    titles = [ax.get_title(loc="left") for part in figure.subfigs for ax in part.axes]
    texts = [text.get_text() for part in figure.subfigs for ax in part.axes for text in ax.texts]
    assert titles == ["W/O", "SN"]
    assert texts == ["n=3", "n=2, 2 unscored"]


def test_nothing_scored_is_said(study):
    study.add_many(None, [DIVERGED] * 3)
    with pytest.raises(NotEnough, match="No trial has a score"):
        FIGURE.compute(open_rows(study.folder))
    assert ecdf(scored(open_rows(study.folder).trials)).empty
