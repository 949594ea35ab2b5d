"""Rank agreement of two metrics against scipy, and what is left out."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.figures import NotEnough, figures
from analysis.figures.drawing.files import save
from analysis.frames.trainings.agreement import (
    ALL,
    _influence,
    both_distances,
    rank_correlation,
    spearman,
    spearman_interval,
    top_overlap,
)
from analysis.rows.load import load, load_checkpoints, select
from analysis.rows.view import open_rows
from study.storage.schema import DIVERGED, STOPPED


def pairs_of(frechet, kernel, method="SN", dataset="digits"):
    ids = [f"{method}{number:04d}" for number in range(len(frechet))]
    return pd.DataFrame({"dataset": dataset, "method": method, "trial_id": ids, "frechet": frechet, "kernel": kernel})


def test_the_kernel_distance_is_that_of_the_best_checkpoint(study, methods):
    study.add_many(methods["none"], [[10, 5, 7], [9, 8, 20], DIVERGED])
    study.add(methods["none"], [1, 2], seed=8, status=STOPPED)
    folder = study.compact()
    checkpoints = load_checkpoints(folder)
    checkpoints = checkpoints.assign(kernel_distance=checkpoints["frechet_distance"] / 100)

    pairs = both_distances(select(load(folder)), checkpoints)

    assert sorted(zip(pairs["frechet"], pairs["kernel"], strict=True)) == [(5, 0.05), (8, 0.08)]
    without = checkpoints.assign(kernel_distance=[math.nan, *checkpoints["kernel_distance"][1:]])
    without.loc[without["frechet_distance"] == 5, "kernel_distance"] = math.nan
    assert list(both_distances(select(load(folder)), without)["frechet"]) == [8]


def test_the_correlation_is_that_of_scipy_with_ties():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 20, 50).astype(float)
    b = a + rng.integers(0, 8, 50)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-11)
    assert math.isnan(spearman([1, 1], [2, 3])) and math.isnan(spearman([1], [2]))


def test_the_influence_of_a_pair_is_what_leaving_it_out_changes():
    rng = np.random.default_rng(0)
    a = rng.normal(size=150)
    b = a + rng.normal(size=150)
    without = np.array([spearman(np.delete(a, i), np.delete(b, i)) for i in range(150)])
    changed = 149 * (spearman(a, b) - without)
    influence = _influence(a, b)
    assert influence - influence.mean() == pytest.approx(changed - changed.mean(), abs=0.05)
    assert np.std(influence) == pytest.approx(np.std(changed), rel=0.02)


def test_the_interval_has_the_larger_of_two_errors():
    rng = np.random.default_rng(0)
    a = rng.normal(size=50)
    b = a + rng.normal(size=50)
    middle = (51 * spearman(a, b) - 3 * stats.kendalltau(a, b).statistic) / 48
    errors = np.std(_influence(a, b), ddof=1) / math.sqrt(50) / (1 - middle**2), math.sqrt((1 + middle**2 / 2) / 47)
    ends = math.atanh(middle) + np.array([-1, 1]) * stats.t.ppf(0.975, 49) * max(errors)
    assert spearman_interval(a, b) == pytest.approx(tuple(np.tanh(ends)), rel=1e-9)
    assert spearman_interval(a, -b) == pytest.approx(tuple(-np.tanh(ends)[::-1]), rel=1e-9)


def test_equal_ranks_leave_room_below_and_few_trainings_none_at_all():
    low, high = spearman_interval(range(10), range(10))
    assert 0.9 < low < 1 and high == 1
    assert spearman_interval(range(10), range(0, -10, -1)) == pytest.approx((-1, -low))
    assert spearman_interval(range(3), range(3)) == spearman_interval([1] * 50, range(50)) == (-1, 1)


@pytest.mark.full
@pytest.mark.parametrize(("truth", "n"), [(0.9, 25), (0.99, 30), (0.99, 150)])
def test_neither_end_misses_more_often_than_it_says(truth, n):
    """1,000 samples from a bivariate normal, whose Spearman correlation is 6 / pi asin(r / 2)."""
    rng, r = np.random.default_rng(0), 2 * math.sin(math.pi * truth / 6)
    drawn = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], (1000, n))
    ends = np.array([spearman_interval(*sample.T) for sample in drawn])
    assert (ends[:, 0] > truth).mean() < 0.035 and (ends[:, 1] < truth).mean() < 0.035
    assert np.median(ends[:, 0]) > truth - 10 * (1 - truth)


def test_the_table_has_all_first_and_each_method():
    pairs = pd.concat([pairs_of([1, 2, 3, 4], [1, 2, 3, 4]), pairs_of([5, 6, 7], [7, 6, 5], "W/O")])

    table = rank_correlation(pairs).set_index("method")

    assert list(table.index) == [ALL, "W/O", "SN"]
    assert list(table["n"]) == [7, 3, 4]
    assert list(table["correlation"])[1:] == [-1, 1]
    assert table.loc[ALL, "correlation"] == pytest.approx(stats.spearmanr(pairs["frechet"], pairs["kernel"]).statistic)
    assert table.loc["W/O", ["low", "high"]].to_list() == [-1, 1]


def test_the_overlap_counts_the_best_in_common():
    frechet, kernel = np.arange(10.0), np.array([1.0, 0, 9, 2, 3, 4, 5, 6, 7, 8])

    table = top_overlap(pairs_of(frechet, kernel), [1, 2, 3, 5, 10, 11]).set_index("k")

    assert table["overlap"].to_dict() == pytest.approx({1: 0, 2: 1, 3: 2 / 3, 5: 4 / 5, 10: 1})
    for k in (1, 2, 3, 5, 10):
        both = set(np.argsort(frechet)[:k]) & set(np.argsort(kernel)[:k])
        assert table.loc[k, "overlap"] == pytest.approx(len(both) / k)
    assert table.loc[5, ["chance", "chance_high"]].to_list() == [0.5, stats.hypergeom(10, 5, 5).ppf(0.95) / 5]


@pytest.mark.full
def test_unrelated_rankings_overlap_by_chance():
    rng = np.random.default_rng(1)
    tables = [top_overlap(pairs_of(rng.random(40), rng.random(40)), [10]) for _ in range(500)]
    overlaps = np.array([table["overlap"].item() for table in tables])
    assert overlaps.mean() == pytest.approx(0.25, abs=0.02)
    beyond = (overlaps > tables[0]["chance_high"].item()).sum()
    assert beyond <= stats.binom.ppf(0.999, 500, 0.05)


def test_the_figure_is_drawn_or_says_what_it_takes(study, methods, tmp_path):
    study.add_many(methods["none"], [10, 20, 40, DIVERGED])
    study.add_many(methods["spectral_norm"], [1, 2], dataset="rings")
    rows = open_rows(study.compact())
    kind = figures()["agreement"]
    with pytest.raises(NotEnough, match="--metrics kid"):
        kind.compute(rows)
    rows.__dict__["checkpoints"] = rows.checkpoints.assign(kernel_distance=rows.checkpoints["frechet_distance"])
    frames = kind.compute(rows)
    text = kind.caption(rows, frames)
    assert "the 5 of 5 finished trainings" in text
    assert save(kind.draw(frames, text), tmp_path / "agreement.png").stat().st_size > 10_000
