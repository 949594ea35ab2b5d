"""Claims: statistics by hand, verdicts on planted truths, and how often labels without meaning resolve them."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.claims import CLAIMS, DOES_NOT_HOLD, HOLDS, NOT_ENOUGH, NOT_RESOLVED, evidence, judge
from analysis.claims.cells import CellKey, ClaimData
from analysis.claims.claim import Claim, Inequality, Measurement
from analysis.claims.quantities import (
    QuantityEstimate,
    largest,
    quantile,
    quantile_sum,
    spread_difference,
    welch,
)
from analysis.claims.statements.evaluation import PAPER
from analysis.claims.statements.repeats import symmetric_change
from analysis.claims.statements.tuning import quantile_of_best, trainings_needed
from analysis.claims.verdicts import evaluate, verdict
from analysis.frames.methods.compare import compare_scores
from analysis.rows.scores import SETTINGS
from analysis.rows.view import open_rows
from analysis.statistics.intervals import quantile_interval
from analysis.statistics.quantile_bounds import quantile_difference_interval
from study.core.errors import InputError
from study.core.trial import Method
from study.storage.baselines import RecordedBaseline, read_baselines, record_baseline
from tests.analysis.planted import TRUE_IN_A, A, B, finished, planted, rows_of, shuffled

SN, GP = {"normalizations": "spectral_norm"}, {"penalty": "gradient_penalty", "penalty_weight": 10.0}
IDS = [f"C{number}" for number in range(1, 21)]


def trainings(scores, **columns):
    """One trial per score, each with a setting of its own unless a learning rate is given."""
    rates = columns.pop("learning_rate", [1e-4 * (1 + i) for i in range(len(scores))])
    return pd.DataFrame({"score": scores, "learning_rate": rates, "options": "{}", **columns})


def made(*parts, **how):
    return rows_of(finished(pd.concat(parts, ignore_index=True)), **how)


def row(rows, claim):
    return judge(rows).set_index("id").loc[claim]


def verdicts(rows):
    return judge(rows).set_index("id")["verdict"].to_dict()


def lines_of(rows, claim):
    found = evidence(rows)
    return found[found["claim"] == claim]


# --- the statistics, by hand


def test_the_sum_of_quantiles_is_the_house_s_difference_for_two_terms():
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=40), rng.lognormal(size=70)
    expected = quantile_difference_interval(a, b, 0.2, 0.95)
    assert quantile_sum([(1, a, 0.2), (-1, b, 0.2)], 0.95)[1:] == pytest.approx(expected)
    scaled = quantile_difference_interval(2 * a, 0.9 * b, 0.2, 0.95)
    assert quantile_sum([(2, a, 0.2), (-0.9, b, 0.2)], 0.95)[1:] == pytest.approx(scaled)


def test_of_one_term_it_is_the_interval_between_order_statistics():
    for q in (0.1, 0.5):
        assert quantile_sum([(1, np.arange(60), q)], 0.95)[1:] == quantile_interval(np.arange(60), q, 0.95)


def test_three_terms_by_hand():
    """Two scores and the median: below the lower, between or above with 1/4, 1/2, 1/4; the others are known."""
    known = [7.0] * 5000
    value, low, high = quantile_sum([(2, [1.0, 3.0], 0.5), (-1, known, 0.5), (-1, known, 0.5)], 0.4)
    assert (value, low, high) == (2 - 14, 2 - 14, 6 - 14)  # 0.3 on either side: the lower bound is -inf, 1, 3
    assert quantile_sum([(2, [1.0, 3.0], 0.5), (-1, known, 0.5), (-1, known, 0.5)], 0.6)[1:] == (-math.inf, math.inf)


def test_a_quantile_on_trainings_without_a_score_is_above_all_that_have_one():
    scored, never = np.arange(40.0), np.full(40, math.nan)
    mostly = np.where(np.arange(40) < 10, 90.0, math.nan)
    assert quantile_sum([(1, scored, 0.5), (-1, never, 0.5)], 0.95)[1:] == (-math.inf, -math.inf)
    assert quantile_sum([(1, mostly, 0.1), (-1, scored, 0.1)], 0.95)[1] > 80
    value, low, high = quantile_sum([(1, never, 0.5), (-1, never, 0.5)], 0.95)
    assert math.isnan(value) and (low, high) == (-math.inf, math.inf)


def test_large_samples_are_joined_to_wider_bounds_and_little_wider():
    scores = stats.norm.ppf((np.arange(3000) + 0.5) / 3000)
    _, low, high = quantile_sum([(2, scores, 0.3), (-1, scores, 0.3), (-1, scores, 0.3)], 0.95)
    density = stats.norm.pdf(stats.norm.ppf(0.3))
    half = 1.96 * math.sqrt(6 * 0.3 * 0.7 / 3000) / density
    assert half < (high - low) / 2 < 1.1 * half


def test_joining_bounds_never_narrows_an_interval(monkeypatch):
    rng = np.random.default_rng(2)
    terms = [(factor, rng.lognormal(size=400), 0.3) for factor in (2, -1, -1)]
    joined = quantile_sum(terms, 0.95)
    monkeypatch.setattr("analysis.statistics.quantile_bounds.GRID_POINTS", 10**6)
    exact = quantile_sum(terms, 0.95)
    assert joined.low <= exact.low < exact.high <= joined.high


def test_sums_of_quantiles_cover_more_than_they_say():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        a, b, c = np.where(rng.random((3, 30)) < 0.2, 1.0, 10.0) * rng.lognormal(sigma=0.1, size=(3, 30))
        _, low, high = quantile_sum([(2, a, 0.25), (-1, b, 0.25), (-1, c, 0.25)], 0.9)
        inside += low <= 0 <= high
    assert inside / 300 > 0.9


def test_the_largest_takes_the_largest_of_each():
    assert largest([QuantityEstimate(1, 0, 5), QuantityEstimate(2, 1.5, 3)]) == (2, 1.5, 5)


def test_welch_is_scipy_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 5), rng.normal(1, 3, 7)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert welch(a, b, 0.9)[1:] == pytest.approx((theirs.low, theirs.high))
    assert welch(np.array([2.0, 2.0]), np.array([1.0, 1.0]), 0.95) == (1, 1, 1)


def test_a_quantile_is_a_score_that_was_seen_between_its_order_statistics():
    assert quantile(range(1, 21), 0.5, 0.95) == (10, 6, 15)
    assert quantile([math.nan, 1, 2], 0.9, 0.95).value == math.inf


def test_the_spread_of_the_best_is_between_its_quartiles():
    wide, narrow = np.arange(0, 16000, 40.0), np.arange(400.0)
    found = lines_of(made(trainings(wide, **GP), trainings(narrow, **SN)), "C3")
    found = found[found["part"] == "GP scatters more"].iloc[0]
    (low, high) = (round(400 * found["fraction"] * q) for q in (0.25, 0.75))
    assert found["estimate"] == pytest.approx(39 * (high - low), abs=40)
    assert found["outcome"] == "for"


@pytest.mark.full
def test_differences_of_spreads_cover_more_than_they_say_and_are_no_wider_than_theory():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        a, b = np.where(rng.random((2, 40)) < 0.5, 1.0, 3.0) * rng.lognormal(sigma=0.2, size=(2, 40))
        _, low, high = spread_difference(a, b, 0.25, 0.75, 0.9)
        inside += low <= 0 <= high
    assert inside / 300 > 0.9
    even, other = np.linspace(0, 1, 10_001), np.linspace(0, 3, 10_001)
    value, low, high = spread_difference(even, other, 0.25, 0.75, 0.95)
    half = 1.96 * math.sqrt(10 * 0.5 * 0.5 / 10_001)  # the share between two quantiles is binomial
    assert (value, low, high) == pytest.approx((-1, -1 - half, -1 + half), abs=0.1 * half)


def test_the_median_best_of_k_is_the_quantile_that_half_of_all_draws_of_k_reach():
    for k in (1, 3, 10):
        assert 1 - (1 - quantile_of_best(k)) ** k == pytest.approx(0.5)
    assert [trainings_needed(share) for share in (1, 0.5, 0.3, 0.2929, 0.0)] == ["1", "1", "2", "2", "none suffice"]


def test_a_change_bears_scores_that_are_missing():
    before, after = np.array([2, math.inf, 2, math.inf, 0.0]), np.array([1, 1, math.inf, math.inf, 0.0])
    assert symmetric_change(before, after).tolist() == pytest.approx([-1 / 3, -1, 1, 0, 0])


# --- from inequalities to a verdict


def inequality(low, high, *, together=None, part="", below=True, few=False):
    """An inequality with these intervals at the level and at that of all together."""
    ends = {0.95: (low, high)}

    def measure(level, least):
        return None if few else Measurement(0, *ends.get(level, together or (low, high)))

    return Inequality(cell_key=CellKey("digits"), part=part, n_a=1, statistic="x", below=below, measure=measure)


@pytest.mark.parametrize(
    ("inequalities", "expected"),
    [
        ([], NOT_ENOUGH),
        ([inequality(0, 0, few=True)], NOT_ENOUGH),
        ([inequality(-2, -1), inequality(-3, -1)], HOLDS),
        ([inequality(-2, -1), inequality(0, 0, few=True)], HOLDS),
        ([inequality(-2, -1), inequality(-1, 1)], NOT_RESOLVED),
        ([inequality(-2, -1), inequality(1, 2)], DOES_NOT_HOLD),
        ([inequality(-2, -1), inequality(1, 2, together=(-1, 4))], NOT_RESOLVED),
        ([inequality(1, 2, below=False), inequality(1, 2, below=False)], HOLDS),
        ([inequality(-2, -1, below=False), inequality(1, 2, below=False)], DOES_NOT_HOLD),
    ],
)
def test_all_must_be_for_and_one_against_suffices_when_all_are_corrected(inequalities, expected):
    claim = Claim(id="C0", statement="", test="", needs="", paper="", inequalities=lambda _: inequalities)
    assert verdict(claim, evaluate(inequalities, 0.95)) == expected


def test_a_claim_of_two_parts_needs_both_to_hold_and_one_not_to():
    claim = Claim(id="C0", statement="", test="", needs="", paper="", inequalities=lambda _: [], parts=("one", "two"))
    assert verdict(claim, evaluate([inequality(-2, -1, part="one")], 0.95)) == NOT_ENOUGH
    assert verdict(claim, evaluate([inequality(-2, -1, part="one"), inequality(-2, -1, part="two")], 0.95)) == HOLDS
    assert verdict(claim, evaluate([inequality(1, 2, part="one")], 0.95)) == DOES_NOT_HOLD


def test_the_level_of_all_together_is_bonferroni_s():
    seen = []

    def measure(level, least):
        seen.append((level, least))
        return Measurement(0, -1, 1)

    evaluate([replace(inequality(0, 0), measure=measure)] * 5, 0.9)
    assert np.array(seen) == pytest.approx(np.array([(0.9, 0.98), (0.98, 0.98)] * 5))


# --- claims on small studies


def test_the_comparison_of_medians_is_that_of_the_house():
    low, high = list(range(40, 80)), list(range(60, 100))
    rows = made(trainings(low, **SN), trainings(high))
    found = lines_of(rows, "C1").iloc[0]
    theirs = compare_scores(low, high, 0.05, 0.95)
    assert found[["estimate", "low", "high", "fraction"]].tolist() == pytest.approx(
        [theirs[name] for name in ("difference", "low", "high", "fraction")]
    )
    assert (found["outcome"], found["a"], found["b"], found["n_a"], found["n_b"]) == ("for", "SN", "W/O", 40, 40)
    assert row(rows, "C1")["verdict"] == HOLDS


def test_one_cell_against_makes_a_claim_of_all_cells_fail():
    parts = [
        trainings(range(low, low + 40), architecture=architecture, **method)
        for architecture, low, method in (
            ("sndcgan", 10, SN),
            ("sndcgan", 60, {}),
            ("dcgan", 60, SN),
            ("dcgan", 10, {}),
        )
    ]
    found = row(made(*parts), "C1")
    assert (found["verdict"], found["cells"], found["against"]) == (DOES_NOT_HOLD, 2, 1)
    assert "1 of 2 for, 1 against; strongest against: cifar10 dcgan, SN - W/O: 50" in found["numbers"]
    assert row(made(*parts[:2]), "C1")["verdict"] == HOLDS


def test_the_gap_between_architectures_is_held_against_either_gain():
    """Gains of 50 and 30, and a gap of 40 under spectral norm."""
    parts = [
        trainings([level + i / 100 for i in range(40)], architecture=architecture, **method)
        for architecture, level, method in (
            ("dcgan", 50, SN),
            ("dcgan", 100, {}),
            ("sndcgan", 10, SN),
            ("sndcgan", 40, {}),
        )
    ]
    rows = made(*parts)
    gaps = lines_of(rows, "C9").query("part == 'gap below the gains'")
    found = gaps.set_index("statistic")["estimate"].round(1).to_dict()
    assert found == {
        "dcgan SN - sndcgan W/O": 10.0,
        "2 dcgan SN - sndcgan SN - dcgan W/O": -10.0,
        "sndcgan SN - dcgan W/O": -90.0,
        "2 sndcgan SN - dcgan SN - sndcgan W/O": -70.0,
    }
    judged = row(rows, "C9")
    assert (judged["verdict"], judged["cells"], judged["against"]) == (DOES_NOT_HOLD, 6, 1)


def test_gp_is_parted_by_n_dis_and_options_and_constraints_are_other_methods():
    parts = [
        trainings(range(50, 90), **GP, n_dis=1),
        trainings(range(10, 50), **GP, n_dis=5),
        trainings(range(1, 41), **GP, n_dis=1, constraint="weight_clipping"),
        trainings(range(1, 41), **GP, n_dis=2),
    ]
    rows = made(*parts)
    assert row(rows, "C4")["verdict"] == HOLDS
    assert lines_of(rows, "C4")[["n_a", "n_b"]].to_numpy().tolist() == [[40, 40]]
    iterated = trainings(range(1, 41), **SN).assign(options='{"power_iterations": 2}')
    assert row(made(iterated, trainings(range(50, 90))), "C1")["verdict"] == NOT_ENOUGH


def test_trainings_of_different_lengths_are_different_cells():
    parts = [trainings(range(10, 50), **SN), trainings(range(60, 100), discriminator_steps=400)]
    assert row(made(*parts), "C1")["verdict"] == NOT_ENOUGH


def test_a_method_that_always_diverges_loses():
    rows = made(trainings(range(10, 50), **SN), trainings([math.nan] * 40))
    assert row(rows, "C1")["verdict"] == HOLDS
    rows = made(trainings(range(10, 50), **SN), trainings([90.0] * 10 + [math.nan] * 30))
    assert row(rows, "C1")["verdict"] == HOLDS


@pytest.mark.full
def test_budgets_go_as_far_as_the_pools_resolve():
    rows = made(trainings(range(10, 34), **SN), trainings(range(60, 84), **GP))
    assert lines_of(rows, "C5")["statistic"].tolist() == [f"best of {k}, SN - GP" for k in (1, 2)]
    assert row(rows, "C5")["verdict"] == NOT_ENOUGH  # that it is ahead at budgets of 3 to 10 is not known
    assert "2 of 2 for" in row(rows, "C5")["numbers"] and "budgets up to 2" in row(rows, "C5")["numbers"]
    assert row(made(trainings(range(10, 34), **GP), trainings(range(60, 84), **SN)), "C5")["verdict"] == DOES_NOT_HOLD
    many, least = np.linspace(10, 50, 97), np.linspace(60, 90, 97)
    assert row(made(trainings(many, **SN), trainings(least, **GP)), "C5")["verdict"] == HOLDS
    assert row(made(trainings(many[1:], **SN), trainings(least, **GP)), "C5")["verdict"] == NOT_ENOUGH


def test_the_target_is_the_paper_s_where_the_score_is_its_fid():
    parts = [trainings([50.0] * 20, **SN), trainings([90.0] * 4 + [110.0] * 16, **GP)]
    found = row(made(*(part.assign(dataset="celeba-hq-128") for part in parts)), "C6")
    assert "score 100.00 or less" in found["numbers"] and "SN 1, GP 4" in found["numbers"]
    assert found["verdict"] == HOLDS
    other = [part.assign(dataset="celeba-hq-128", extractor="mine") for part in parts]
    assert "score 50.00 or less" in row(made(*other), "C6")["numbers"]


def test_longer_training_is_compared_trial_by_trial():
    short = trainings([10.0] * 10, **GP)
    longer = short.assign(score=[5.0] * 9 + [math.nan], discriminator_steps=400)
    rows = made(short, longer)
    found = lines_of(rows, "C7").iloc[0]
    assert found[["estimate", "low", "high", "n_a"]].tolist() == [-0.5, -0.5, -0.5, 10]
    assert row(rows, "C7")["verdict"] == HOLDS
    worse = made(short, longer.assign(score=[20.0] * 9 + [math.nan]))
    assert row(worse, "C7")["verdict"] == DOES_NOT_HOLD
    thrice = made(short, longer.assign(discriminator_steps=600))
    assert row(thrice, "C7")["verdict"] == NOT_ENOUGH


def test_a_method_is_stable_when_few_trainings_fail():
    rows = made(trainings([50.0] * 200, **SN))
    found = row(rows, "C12")
    assert (found["verdict"], found["cells"]) == (DOES_NOT_HOLD, 1)
    half = made(trainings([50.0] * 20 + [101.0] * 10 + [math.nan] * 10, **SN))
    assert lines_of(half, "C12")["estimate"].tolist() == [0.5]
    assert row(half, "C12")["verdict"] == HOLDS


def test_ablation_codes_are_repeats_of_one_setting():
    values = np.array([0.99, 1.0, 1.01])
    codes = {"DEF": 30, "CIN": 60, "OPT": 30.3, "SUM": 29.7}
    parts = [
        trainings(level * values, architecture="resnet_cifar", learning_rate=2e-4, seed=[0, 1, 2], **SN).assign(
            options="{}" if code == "DEF" else json.dumps({"ablation": code})
        )
        for code, level in codes.items()
    ]
    rows = made(*parts)
    assert row(rows, "C13")["verdict"] == HOLDS
    assert len(lines_of(rows, "C13")) == 3 + 2 * 2
    first = lines_of(rows, "C13").iloc[0]
    logs = np.log(values)
    assert first[["estimate", "low", "high"]].tolist() == pytest.approx(
        welch(logs + math.log(60), logs + math.log(30), 0.95)
    )
    parts[3]["score"] *= 1.3
    assert row(made(*parts), "C13")["verdict"] == DOES_NOT_HOLD
    parts[3]["score"] = [30.0, math.nan, 30.0]
    assert row(made(*parts), "C13")["verdict"] == NOT_RESOLVED


def test_the_same_number_each_time_is_no_difference():
    same = trainings([5.0] * 20, learning_rate=[r for r in range(1, 11) for _ in (0, 1)], seed=[0, 1] * 10)
    assert row(made(same), "C20")["verdict"] == DOES_NOT_HOLD
    differs = same.assign(score=[4.0, 6.0] * 10)
    assert lines_of(made(differs), "C20")["estimate"].tolist() == [0.4]
    assert row(made(differs), "C20")["verdict"] == HOLDS


def test_protocols_are_compared_at_the_same_generators():
    first = finished(trainings(range(10, 30)))
    second = first.assign(protocol_id="q", best_frechet_distance=first["best_frechet_distance"] * 1.2)
    rows = rows_of(first, everything=pd.concat([first, second]))
    found = lines_of(rows, "C18").iloc[0]
    assert found[["estimate", "low", "n_a"]].tolist() == pytest.approx([math.log(1.2)] * 2 + [20])
    assert found["high"] == math.inf
    assert row(rows, "C18")["verdict"] == HOLDS
    little = second.assign(best_frechet_distance=first["best_frechet_distance"] * 1.05)
    assert row(rows_of(first, everything=pd.concat([first, little])), "C18")["verdict"] == NOT_RESOLVED
    third = little.assign(protocol_id="r")  # two definitions that agree do not speak for all others; three may
    assert row(rows_of(first, everything=pd.concat([first, little, third])), "C18")["verdict"] == DOES_NOT_HOLD
    elsewhere = second.assign(best_step=100)
    assert row(rows_of(first, everything=pd.concat([first, elsewhere])), "C18")["verdict"] == NOT_ENOUGH
    other = second.assign(extractor="mine")
    assert row(rows_of(first, everything=pd.concat([first, other])), "C18")["verdict"] == NOT_ENOUGH


@pytest.mark.full
def test_time_is_compared_on_one_device_at_one_n_dis():
    slow, quick = trainings([1.0] * 10, **GP, training_seconds=20.0), trainings([1.0] * 10, **SN, training_seconds=10.0)
    rows = made(slow, quick)
    assert lines_of(rows, "C19")[["estimate", "low", "high"]].to_numpy() == pytest.approx(math.log(0.5))
    assert row(rows, "C19")["verdict"] == HOLDS
    assert "50 and 100 ms" in row(rows, "C19")["numbers"]
    others = [{"host": "elsewhere"}, {"device": "H100"}, {"n_dis": 5}, {"resumptions": 1}, {"source": "kept generator"}]
    for other in others:
        assert row(made(slow, quick.assign(**other)), "C19")["verdict"] == NOT_ENOUGH


def baseline(distance, **other):
    first = finished(trainings([1.0])).iloc[0]
    names = ("dataset", "protocol_id", "dataset_sha256", "extractor", "weights_sha256", "split")
    numbers = {"n_real": 10_000, "n_other": 10_000, "frechet_distance": distance}
    return RecordedBaseline(**{**{name: first[name] for name in names}, **numbers, **other})


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (baseline(5.3), HOLDS),
        (baseline(5.6), DOES_NOT_HOLD),
        (baseline(4.6), DOES_NOT_HOLD),
        (baseline(5.2, extractor="mine"), NOT_ENOUGH),
        (baseline(5.2, n_real=5_000), NOT_ENOUGH),
        (baseline(5.2, dataset_sha256="other"), NOT_ENOUGH),
        (baseline(5.2, dataset="digits"), NOT_ENOUGH),
    ],
)
def test_the_baseline_on_record_is_held_against_the_paper_s(tmp_path, recorded, expected):
    record_baseline(tmp_path, recorded)
    assert row(made(trainings([1.0] * 3), folder=tmp_path), "C17")["verdict"] == expected


def test_a_baseline_takes_the_place_of_an_earlier_one_and_no_other_s(tmp_path):
    record_baseline(tmp_path, baseline(5.0))
    record_baseline(tmp_path, baseline(9.0, dataset="digits"))
    record_baseline(tmp_path, baseline(6.0))
    assert [found.frechet_distance for found in read_baselines(tmp_path)] == [6.0, 9.0]
    assert [path.name for path in tmp_path.iterdir()] == ["baselines.json"]
    (tmp_path / "baselines.json").write_text("[{}]")
    with pytest.raises(InputError, match="not a list of baselines"):
        read_baselines(tmp_path)


def test_the_paper_s_baselines_are_those_of_the_command():
    from study.metrics.baseline import PAPER as OF_COMMAND

    assert {name: distance for name, (distance, _) in PAPER.items()} == OF_COMMAND


# --- what is there and what is not


def test_every_claim_has_a_row_in_order_and_says_what_it_needs():
    judged = judge(made(trainings([1.0])))
    assert judged["id"].tolist() == IDS == [claim.id for claim in CLAIMS]
    assert set(judged["verdict"]) == {NOT_ENOUGH}
    assert judged[["claim", "numbers", "needs", "paper", "test"]].map(lambda text: len(text) > 10).all(axis=None)
    assert (judged["cells"] == 0).all()


@pytest.mark.parametrize(
    "parts",
    [
        [trainings([math.nan] * 30, **SN), trainings([math.nan] * 30), trainings([math.nan] * 30, **GP)],
        [trainings(range(1, 31), **SN)],
        [trainings(range(1, 31), normalizations="mine"), trainings(range(1, 31), loss="new", penalty="odd")],
        [trainings([math.inf] * 30, **SN), trainings([0.0] * 30)],
        [trainings([1.0], **SN), trainings([2.0])],
    ],
    ids=["all diverged", "one method", "unknown methods", "infinities and zeros", "one training each"],
)
def test_odd_studies_are_judged_without_an_error(parts):
    rows = made(*parts)
    judged = judge(rows)
    assert len(judged) == 20 and judged["numbers"].str.len().gt(5).all()
    assert not set(judged["verdict"]) - {HOLDS, DOES_NOT_HOLD, NOT_RESOLVED, NOT_ENOUGH}
    assert set(evidence(rows)["claim"]) <= set(IDS)


def test_all_diverged_resolves_no_comparison():
    assert verdicts(made(trainings([math.nan] * 30, **SN), trainings([math.nan] * 30)))["C1"] == NOT_RESOLVED


@pytest.mark.parametrize("space", ["bo", "seeds"])
def test_trials_that_scores_chose_are_left_out_and_counted(space):
    rows = made(trainings(range(10, 50), **SN), trainings(range(60, 100)))
    ids = rows.trials["trial_id"]
    chosen = replace(rows, members=rows_of(rows.trials, members={space: ids[:37], "grid": ids[35:]}).members)
    judged = judge(chosen).set_index("id")
    assert judged.loc["C1", "left_out"] == 35 and judged.loc["C1", "verdict"] == NOT_ENOUGH
    assert "1 comparison with too few trainings" in judged.loc["C1", "numbers"]


def test_settings_may_be_the_pool():
    rows = planted(A, settings=40)
    pooled = replace(rows, pool=SETTINGS)
    assert lines_of(pooled, "C2")["n_a"].tolist() == [40] and lines_of(rows, "C2")["n_a"].tolist() == [160]


def test_a_folder_and_a_parquet_file_are_judged_alike(study):
    study.add_many(Method(architecture="sndcgan", normalizations=("spectral_norm",)), list(range(10, 40)))
    study.add_many(None, list(range(60, 90)))
    folder = study.compact()
    first, second = (judge(open_rows(path)) for path in (folder, folder / "trials.parquet"))
    pd.testing.assert_frame_equal(first, second)
    assert first.set_index("id").loc["C1", "verdict"] == HOLDS


@pytest.mark.parametrize("how", [{"level": 1.0}, {"fraction": 0.0}])
def test_impossible_levels_and_fractions_are_refused(how):
    with pytest.raises(InputError, match="must be"):
        judge(made(trainings([1.0]), **how))


# --- planted truths


@pytest.mark.parametrize(("world", "truths"), [(A, TRUE_IN_A), (B, set(IDS) - TRUE_IN_A)], ids=["A", "swapped"])
def test_planted_truths_are_found(tmp_path, world, truths):
    found = verdicts(planted(world, settings=250, folder=tmp_path))
    assert found == {name: HOLDS if name in truths else DOES_NOT_HOLD for name in IDS}


COMPARED = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C11", "C13", "C15", "C16", "C19")
"""Those that compare labels; the others are of the score, of all trainings, or of each method by itself."""


def rates(count, world=A, settings=15):
    """How often shuffled labels resolve a claim, one way or the other; C15 holds where all are alike."""
    base, rng, wrong = planted(world, settings=settings), np.random.default_rng(1), Counter()
    for _ in range(count):
        data = ClaimData(rows=shuffled(base, rng))
        for claim in CLAIMS:
            if claim.id in COMPARED:
                found = verdict(claim, evaluate(claim.inequalities(data), 0.95))
                wrong[claim.id] += found == DOES_NOT_HOLD or (found == HOLDS and claim.id != "C15")
    return {name: wrong[name] / count for name in COMPARED}


@pytest.mark.full
def test_labels_without_meaning_seldom_resolve_a_claim():
    found = rates(40)
    assert max(found.values()) <= stats.binom.ppf(0.999, 40, 0.05) / 40, found
    assert sum(found.values()) / len(found) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("world", [A, B], ids=["A", "B"])
def test_labels_without_meaning_resolve_a_claim_no_more_often_than_the_level_says(world):
    found = rates(400, world)
    print(found)
    assert max(found.values()) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400), found
