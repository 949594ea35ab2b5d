"""Seconds of trainings: on one machine only, and their ratios against those worked out by hand."""

import math

import numpy as np
import pytest

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.frames.trainings.cost import seconds_and_scores, update_cost
from analysis.rows.load import load, select
from analysis.rows.view import Rows, open_rows
from analysis.statistics.quantile_bounds import quantile_difference_interval
from study.core.trial import Method
from study.storage.schema import DIVERGED, FAILED, KEPT_GENERATOR


def timed(study, seconds, **columns):
    """The rows of a study with seconds by method, in the order of seeds."""
    rows = select(load(study.compact())).sort_values(["method", "n_dis", "seed"], ignore_index=True)
    for method, values in seconds.items():
        rows.loc[rows["method"] == method, "training_seconds"] = values
    return rows.assign(**columns)


def cost_of(rows, **how):
    return {row["method"]: row for row in update_cost(rows, **how).to_dict("records")}


def test_the_ratio_is_that_of_medians_and_its_interval_that_of_their_logarithms(study, methods):
    rng = np.random.default_rng(0)
    study.add_many(methods["none"], [10] * 20)
    study.add_many(methods["spectral_norm"], [10] * 20)
    seconds = {"none": rng.uniform(1, 2, 20), "spectral_norm": rng.uniform(2, 3, 20)}

    found = cost_of(timed(study, seconds))

    base, other = found["W/O"], found["SN"]
    middle = {name: math.exp(np.median(np.log(4 * values))) for name, values in seconds.items()}  # 250 updates
    assert base["milliseconds"] == pytest.approx(middle["none"], rel=1e-12)
    assert other["ratio"] == pytest.approx(middle["spectral_norm"] / middle["none"], rel=1e-12)
    logs = {name: np.log(values) for name, values in seconds.items()}
    low, high = quantile_difference_interval(logs["spectral_norm"], logs["none"], 0.5)
    assert (other["low"], other["high"]) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-12)
    assert (other["n"], other["level"], other["verdict"]) == (20, 0.95, "higher")
    assert base["verdict"] == "baseline" and math.isnan(base["ratio"])


def test_cost_is_compared_at_equal_n_dis_architecture_and_machine_only(study, methods):
    study.add_many(methods["none"], [10] * 6)
    study.add_many(methods["spectral_norm"], [10] * 6, n_dis=5)
    study.add_many(Method(architecture="dcgan", normalizations=("spectral_norm",)), [10] * 6)
    study.add_many(methods["gradient_penalty"], [10] * 6)
    rows = timed(study, {})
    elsewhere = rows["host"].where(rows["penalty"] != "gradient_penalty", "there")

    found = cost_of(rows.assign(host=elsewhere))

    assert {name: row["verdict"] for name, row in found.items()} == {
        "W/O, sndcgan, n_dis 1": "baseline",
        "SN, sndcgan, n_dis 5": "no baseline",
        "SN, dcgan, n_dis 1": "no baseline",
        "GP, sndcgan": "no baseline",
    }
    on_one_gpu = cost_of(rows.assign(host=elsewhere, device="H100"))  # a GPU is known by its name, whatever its host
    assert on_one_gpu["GP, sndcgan"]["ratio"] == pytest.approx(1)


def test_few_trainings_have_a_ratio_and_no_interval(study, methods):
    study.add_many(methods["none"], [10] * 6)
    study.add_many(methods["spectral_norm"], [10] * 5)

    row = cost_of(timed(study, {}))["SN"]

    assert row["ratio"] == pytest.approx(1) and row["verdict"] == "no interval"
    assert (row["low"], row["high"]) == (0, math.inf)


def test_the_level_is_shared_by_the_ratios_of_a_dataset(study, methods):
    for name in ("none", "spectral_norm", "dragan"):
        study.add_many(methods[name], [10] * 8)
    study.add_many(methods["gradient_penalty"], [10] * 2)
    assert {row["level"] for row in cost_of(timed(study, {})).values()} == {1 - 0.05 / 2}


def test_only_whole_trainings_of_one_machine_are_timed(study, methods):
    study.add_many(methods["none"], [10, 11, 12, 13, DIVERGED, FAILED])
    rows = timed(study, {"none": range(1, 7)}).assign(
        source=["training", None, KEPT_GENERATOR, "continued from x", "training", "training"],
        resumptions=[0, math.nan, 0, 0, 0, 1],
    )

    found = seconds_and_scores(rows)

    assert found["seconds"].to_list() == [1, 2, 5]
    assert found["score"].fillna(-1).to_list() == [10, 11, -1]
    assert set(found["machine"]) == {"cpu of here"}
    assert cost_of(rows)["W/O"]["n"] == 2  # a diverged training made fewer updates than it was to


def test_versions_of_torch_are_machines_of_their_own(study, methods):
    study.add_many(methods["none"], [10, 11])
    found = seconds_and_scores(timed(study, {}, torch=["2.11", "2.13"]))
    assert found["machine"].to_list() == ["cpu of here, torch 2.11", "cpu of here, torch 2.13"]


def test_packs_of_another_size_are_machines_of_their_own(study, methods):
    """A trial of a pack has its share of the seconds, which are no measure of one that is trained alone."""
    study.add_many(methods["none"], [10] * 4)
    study.add_many(methods["spectral_norm"], [10] * 4)
    rows = timed(study, {"none": [8, 8, 1, 1], "spectral_norm": [16, 16, 3, 3]}).assign(pack=[math.nan, 1, 8, 8] * 2)
    assert sorted(set(seconds_and_scores(rows)["machine"])) == ["cpu of here, alone", "cpu of here, packs of 8"]
    found = update_cost(rows)
    ratios = found[found["method"] == "SN"].set_index("machine")["ratio"]
    assert ratios.to_dict() == pytest.approx({"cpu of here, alone": 2, "cpu of here, packs of 8": 3})
    assert set(seconds_and_scores(rows.assign(pack=8))["machine"]) == {"cpu of here"}


def test_the_figure_is_drawn_or_says_what_it_takes(study, methods, tmp_path):
    study.add_many(methods["none"], [10, 20, 40, DIVERGED, FAILED, 11, 10, 14, 10])
    study.add_many(methods["spectral_norm"], [10, 20, 40, DIVERGED, 10, 14, 13])
    study.add_many(methods["dragan"], [DIVERGED], dataset="rings")
    rows = open_rows(study.compact())
    kind = figures()["cost"]
    frames = kind.compute(rows)
    text = kind.caption(rows, frames)
    assert save(kind.draw(frames, text), tmp_path / "cost.png").stat().st_size > 10_000
    untimed = rows.trials.assign(training_seconds=math.nan)
    with pytest.raises(NotEnough, match="timed"):
        kind.compute(Rows(trials=untimed, everything=untimed, members=rows.members))
