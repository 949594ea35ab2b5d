"""Budget curves against all orders of a small pool and a simulation of the paper's, and their figure."""

import itertools
import math

import numpy as np
import pytest

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.marks import _apart
from analysis.frames.methods.budget import best_of_budget, budget_curve
from analysis.rows.view import open_rows
from study.storage.schema import DIVERGED

FIGURE = figures()["budget"]


@pytest.mark.parametrize("scores", [[3.0, 1.0, 2.0, 2.0, 7.0], [3.0, math.nan, 2.0, math.nan, 5.0, 1.0]])
def test_the_mean_is_that_of_all_orders(scores):
    worst = 10.0
    filled = [worst if math.isnan(score) else score for score in scores]
    curves = np.array([np.minimum.accumulate(order) for order in itertools.permutations(filled)])
    found = best_of_budget(scores, range(1, len(scores) + 1), worst)
    assert found["mean"].tolist() == pytest.approx(curves.mean(axis=0).tolist(), abs=1e-12)
    assert found["unscored"].tolist() == pytest.approx((curves == worst).mean(axis=0).tolist(), abs=1e-12)


def test_the_band_is_that_of_all_orders():
    scores = [3.0, 1.0, 2.0, 4.0, 7.0, 6.0]
    curves = np.array([np.minimum.accumulate(order) for order in itertools.permutations(scores)])
    found = best_of_budget(scores, range(1, 7), 7.0)
    for end, share in (("low", 0.05), ("high", 0.95)):
        expected = np.quantile(curves, share, axis=0, method="inverted_cdf")
        assert found[end].tolist() == expected.tolist(), end


def test_the_papers_thousand_orders_come_to_the_same():
    rng = np.random.default_rng(0)
    scores = rng.lognormal(3, 0.5, 60)
    orders = np.minimum.accumulate(rng.permuted(np.tile(scores, (4000, 1)), axis=1), axis=1)
    found = best_of_budget(scores, range(1, 61), scores.max())
    error = orders.std(axis=0) / math.sqrt(4000)
    assert (np.abs(found["mean"] - orders.mean(axis=0)) <= 4.5 * error + 1e-9).all()


def test_the_band_is_open_where_an_order_may_have_no_score():
    found = best_of_budget([1.0, math.nan], [1, 2], 5.0)
    assert found["high"].tolist() == [math.inf, 1.0]
    assert found["mean"].tolist() == [3.0, 1.0]


def test_unscored_orders_count_as_the_worst_of_the_dataset(study, methods):
    study.add_many(methods["none"], [1.0, DIVERGED])
    study.add_many(methods["spectral_norm"], [9.0])
    curve = budget_curve(open_rows(study.folder).scored).set_index(["method", "k"])
    assert curve.loc[("W/O", 1), "mean"] == 5.0


def test_methods_without_a_score_are_named(study, methods):
    study.add_many(methods["none"], [1.0, 2.0])
    study.add_many(methods["spectral_norm"], [DIVERGED] * 3)
    rows = open_rows(study.folder)
    frames = FIGURE.compute(rows)
    caption = FIGURE.caption(rows, frames)
    assert "digits: no training of SN has a score (3)." in caption.splitlines()
    FIGURE.draw(frames, caption).draw_without_rendering()


def test_names_stand_at_the_ends_and_never_overlap(small_study):
    rows = open_rows(small_study.folder)
    frames = FIGURE.compute(rows)
    figure = FIGURE.draw(frames, FIGURE.caption(rows, frames))
    figure.draw_without_rendering()
    texts = figure.subfigs[0].axes[0].texts
    assert {text.get_text() for text in texts} == {"W/O (24)", "GP (6)", "GP 5 (18)", "SN (12)"}
    boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.y0)
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in itertools.pairwise(boxes))


def test_the_ends_of_all_lines_are_on_the_axis(study, methods):
    study.add_many(methods["none"], [1.0, 2.0])
    study.add_many(methods["spectral_norm"], [500.0, 900.0])
    curve = FIGURE.compute(open_rows(study.folder))["curve"]
    assert set(curve["far"]) == {500.0}, "beyond ten times the lowest, for the sake of the end of SN"


def test_places_are_moved_apart_about_where_they_were():
    assert _apart([0.1, 0.5, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.4, 0.6, 0.9])
    assert _apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    assert _apart([], 0.1) == []


def test_nothing_scored_is_said(study):
    study.add_many(None, [DIVERGED])
    with pytest.raises(NotEnough, match="No trial has a score"):
        FIGURE.compute(open_rows(study.folder))
