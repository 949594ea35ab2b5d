"""Training curves and diagnostics against quantiles worked out by hand and by numpy."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.frames.trainings.curves import diagnostic_curve, highlighted_trainings, outcomes, score_curve
from analysis.rows.load import load, load_checkpoints, select
from analysis.rows.view import open_rows
from analysis.statistics.intervals import quantile_interval
from analysis.statistics.quartiles import group_quartiles, median_places
from study.storage.schema import DIVERGED, FAILED, KEPT_GENERATOR, STOPPED

STEPS = (10, 20, 30)


def curve_of(study, **how):
    folder = study.compact()
    return score_curve(select(load(folder)), load_checkpoints(folder), **how)


def at(curve, method):
    return curve[curve["method"] == method].set_index("discriminator_step")


def test_quartiles_at_each_checkpoint_are_those_of_numpy(study, methods):
    scores = np.random.default_rng(1).uniform(10, 100, (9, 3))
    study.add_many(methods["none"], [list(row) for row in scores])

    curve = at(curve_of(study), "W/O")

    for column, step in enumerate(STEPS):
        expected = np.quantile(scores[:, column], [0.25, 0.5, 0.75])
        assert curve.loc[step, ["q1", "median", "q3"]].to_numpy(dtype=float) == pytest.approx(expected, rel=1e-12)
        assert curve.loc[step, ["low", "high"]].to_list() == list(quantile_interval(scores[:, column], 0.5))
    assert set(curve["n"]) == set(curve["scored"]) == {9}


def test_a_training_that_diverged_counts_to_the_end_without_a_score(study, methods):
    study.add_many(methods["none"], [[10, 9, 8], [20, 19, 18], DIVERGED])
    study.add(methods["none"], [30, 29], seed=7, status=DIVERGED)
    study.add(methods["none"], [40], seed=8, status=FAILED)

    curve = at(curve_of(study), "W/O")

    assert list(curve["n"]) == [5, 5, 5]
    assert list(curve["scored"]) == [4, 3, 2]
    assert list(curve["median"]) == [30, 29, math.inf]
    assert list(curve["q1"]) == [20, 19, 18]
    assert list(curve["q3"]) == [40, math.inf, math.inf]


def test_a_checkpoint_whose_images_were_not_finite_ranks_last(study, methods):
    study.add_many(methods["none"], [[10, 9], [20, 1], [30, 3]])
    folder = study.compact()
    checkpoints = load_checkpoints(folder).replace({"frechet_distance": {1: np.nan}})

    curve = at(score_curve(select(load(folder)), checkpoints), "W/O")

    assert list(curve["scored"]) == [3, 2]
    assert list(curve["median"]) == [20, 9]
    assert list(curve["q3"]) == [25, math.inf]


def test_stopped_trainings_and_kept_generators_are_left_out(study, methods):
    study.add_many(methods["none"], [[10, 9], [20, 19]])
    study.add(methods["none"], [1, 1], seed=5, status=STOPPED)
    folder = study.compact()
    trials = select(load(folder))
    kept = trials.assign(source=[KEPT_GENERATOR, *trials["source"][1:]])

    curve = score_curve(trials, load_checkpoints(folder))
    assert set(curve["n"]) == {2}
    assert len(score_curve(kept, load_checkpoints(folder))) in (1, 2)
    assert set(score_curve(kept, load_checkpoints(folder))["n"]) == {1}
    assert outcomes(trials).to_dict("records") == [
        {"dataset": "digits", "method": "W/O", "trainings": 2, "diverged": 0, "failed": 0, "stopped": 1}
    ]


def test_the_best_training_is_shown_and_all_that_ended_early(study, methods):
    study.add_many(methods["none"], [[10, 9, 12], [20, 8, 18], [30, 29]])
    study.add(methods["none"], [50, 60], seed=7, status=DIVERGED)
    study.add(methods["spectral_norm"], [50], seed=7, status=FAILED)
    folder = study.compact()

    shown = highlighted_trainings(select(load(folder)), load_checkpoints(folder))

    best = shown[shown["shown"] == "best"]
    assert list(best["frechet_distance"]) == [20, 8, 18]
    ends = shown[shown["end"] & (shown["shown"] != "best")]
    assert ends[["method", "discriminator_step", "frechet_distance", "shown"]].to_numpy().tolist() == [
        ["SN", 10, 50, FAILED],
        ["W/O", 20, 60, DIVERGED],
    ]


def test_nothing_scored_is_an_empty_curve(study, methods):
    study.add_many(methods["none"], [DIVERGED, FAILED])
    assert curve_of(study).empty


def with_diagnostics(checkpoints):
    """Sigmas 1 and 2 times the step, gradient norms that are the score; the first checkpoint without any."""
    step = checkpoints["discriminator_step"]
    known = step > 10
    norms = {
        f"gradient_norm_{where}": checkpoints["frechet_distance"].where(known) for where in ("train", "fake", "between")
    }
    sigmas = [[float(each), 2.0 * each] if each > 10 else None for each in step]
    return checkpoints.assign(sigmas=sigmas, sigma_product=(2.0 * step**2).where(known), **norms)


def test_diagnostics_are_by_layer_and_of_those_that_have_them(study, methods):
    study.add_many(methods["none"], [[1, 2, 3], [1, 4, 7], [1, 9, 5]])
    folder = study.compact()

    checkpoints = with_diagnostics(load_checkpoints(folder)).replace({"gradient_norm_fake": {7: np.nan}})
    curve = diagnostic_curve(select(load(folder)), checkpoints)

    assert set(curve["discriminator_step"]) == {20, 30}
    sigma = curve[curve["quantity"] == "sigma"].set_index(["layer", "discriminator_step"])["median"]
    assert sigma.to_dict() == {(1, 20): 20, (1, 30): 30, (2, 20): 40, (2, 30): 60}
    product = curve[curve["quantity"] == "sigma_product"]
    assert list(product["median"]) == [800, 1800] and set(product["layer"]) == {0}
    norm = curve[curve["quantity"] == "gradient_norm_fake"].set_index("discriminator_step")
    assert norm.loc[20, ["n", "q1", "median", "q3"]].to_list() == [3, 3, 4, 6.5]
    assert norm.loc[30, ["n", "median"]].to_list() == [2, 4]


def test_summaries_of_many_groups_are_those_of_each():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"group": rng.integers(0, 7, 300), "value": rng.normal(size=300)})
    more = pd.Series([0, 3, 50, 200, 1, 0, 9], index=pd.MultiIndex.from_arrays([range(7)], names=["group"]))

    table = group_quartiles(rows, ["group"], more, 0.9).set_index("group")

    for group, values in rows.groupby("group")["value"]:
        padded = np.sort([*values, *[math.inf] * more.loc[group].item()])
        row = table.loc[group]
        assert (row["low"], row["high"]) == quantile_interval(padded, 0.5, 0.9)
        with np.errstate(invalid="ignore"):
            expected = [np.quantile(padded, q, method="linear") for q in (0.25, 0.5, 0.75)]
        expected = [math.inf if math.isnan(each) else each for each in expected]
        assert row[["q1", "median", "q3"]].to_list() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [1, 5, 6, 20, 101])
def test_the_places_of_a_median_are_those_of_its_interval(n):
    low, high = median_places(n, 0.95)
    ends = quantile_interval(np.arange(1.0, n + 1), 0.5)
    assert (low == -1 and ends[0] == -math.inf) or ends[0] == low + 1
    assert (high == n and ends[1] == math.inf) or ends[1] == high + 1


@pytest.mark.full
def test_figures_are_drawn_with_ended_trainings_and_several_datasets(study, methods, tmp_path):
    study.add_many(methods["none"], [[10, 9, 8], [20, 19, 18], DIVERGED])
    study.add(methods["none"], [30, 29], seed=7, status=DIVERGED)
    study.add_many(methods["dragan"], [DIVERGED, DIVERGED])
    study.add_many(methods["spectral_norm"], [[10, 9], [0, 0]], dataset="rings")
    rows = open_rows(study.compact())
    kind = figures()["training"]
    frames = kind.compute(rows)
    assert save(kind.draw(frames, kind.caption(rows, frames)), tmp_path / "t.png").stat().st_size > 10_000
    with pytest.raises(NotEnough, match="diagnostics"):
        figures()["diagnostics"].compute(rows)
    kind = figures()["diagnostics"]
    frames = {"curve": diagnostic_curve(rows.trials, with_diagnostics(rows.checkpoints))}
    assert save(kind.draw(frames, kind.caption(rows, frames)), tmp_path / "d.png").stat().st_size > 10_000


def test_nothing_to_draw_is_said_in_a_sentence(study, methods):
    study.add(methods["none"], DIVERGED)
    folder = study.compact()
    for rows in (open_rows(folder), open_rows(folder / "trials.parquet")):
        for name in ("training", "diagnostics"):
            with pytest.raises(NotEnough, match=r"\.$"):
                figures()[name].compute(rows)
