"""Proposals: the Gaussian process against plain NumPy, batches, bad luck in what is told, and a synthetic study."""

import json
import math
import subprocess
import sys
import warnings
from itertools import combinations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.draws import DIGITS, Range
from study.core.errors import InputError
from study.driver import request
from study.driver.search import samplers
from study.driver.search.gp_bucb import STARTUP, WIDTH, GpBucbSampler, SobolSampler, fit, from_unit, lowest, to_unit
from study.driver.search.samplers import CAP, SAMPLERS, propose
from tests.conftest import quick_only
from tests.driver.objective import OPTIMUM, RANGES, fid, observed

BOX = {"rate": FloatDistribution(1e-5, 1e-2, log=True), "beta": FloatDistribution(0, 0.999)}
PLANE = {"rate": Range(1e-5, 1e-2, log=True), "beta": Range(0, 0.999)}
ODD = {"low": Range(1 / 3, 2 / 3), "high": Range(1.23456789e-5, 9.87654321e-3, log=True)}
SYNTHETIC = {name: FloatDistribution(r.low, r.high, log=r.log) for name, r in RANGES.items()}
POINT = {"rate": 1e-3, "beta": 0.5}
NONE = np.empty((0, 2))


def bowl(values):
    """A valley in both axes, lowest at rate 1e-3 and beta 0.5."""
    return (math.log10(values["rate"]) + 3) ** 2 + (values["beta"] - 0.5) ** 2


def tell(count, objective=bowl, ranges=PLANE):
    points = propose(ranges, [], count, sampler="random", seed=1)
    return [(point, objective(point)) for point in points]


def data(count=25, seed=0):
    """Points of the unit square and standardised values."""
    random = np.random.default_rng(seed)
    points = random.random((count, 2))
    values = np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + random.normal(0, 0.1, count)
    return points, (values - values.mean()) / values.std()


def plain_posterior(kernel, noise, points, values, queries):
    """Mean and deviation at (k, 2) queries by a Cholesky factor; `kernel` is (amplitude, scales) of a Matern 5/2."""
    amplitude, scales = kernel

    def covariance(a, b):
        distance = np.sqrt((((a[:, None] - b[None]) / scales) ** 2).sum(-1))
        root = math.sqrt(5) * distance
        return amplitude * (1 + root + root**2 / 3) * np.exp(-root)

    factor = np.linalg.cholesky(covariance(points, points) + noise * np.eye(len(points)))
    half = np.linalg.solve(factor, covariance(points, queries))
    mean = half.T @ np.linalg.solve(factor, values)
    return mean, np.sqrt(amplitude - (half**2).sum(0))


def test_the_options_offer_the_samplers_on_the_menu():
    assert sorted(request.SAMPLERS) == sorted(SAMPLERS)


def test_axes_go_to_the_unit_cube_and_back():
    assert to_unit(BOX, {"rate": 1e-5, "beta": 0}) == pytest.approx([0, 0], abs=1e-12)
    assert to_unit(BOX, {"rate": 10**-3.5, "beta": 0.4995}) == pytest.approx([0.5, 0.5])
    assert from_unit(BOX, [1, 1]) == {"rate": 1e-2, "beta": 0.999}
    for point in np.random.default_rng(0).random((100, 2)):
        assert to_unit(BOX, from_unit(BOX, point)) == pytest.approx(point, abs=1e-12)


def test_the_posterior_is_that_of_plain_numpy():
    points, values = data()
    process = fit(points, values)
    kernel = process.kernel_.k1.constant_value, process.kernel_.k2.length_scale
    queries = np.random.default_rng(1).random((50, 2))
    mean, deviation = process.predict(queries, return_std=True)
    plain_mean, plain_deviation = plain_posterior(kernel, process.alpha, points, values, queries)
    assert mean == pytest.approx(plain_mean, abs=1e-9)
    assert deviation == pytest.approx(plain_deviation, abs=1e-7)
    assert 1e-3 < process.alpha < 0.1, "the noise that was added, of about 0.15 standard deviations"


def test_hallucinations_leave_the_mean_and_shrink_the_deviation():
    points, values = data()
    pending, queries = np.random.default_rng(2).random((5, 2)), np.random.default_rng(3).random((50, 2))
    sampler = GpBucbSampler(BOX, seed=0)
    process, hallucinated = sampler.posterior(points, values, NONE), sampler.posterior(points, values, pending)
    assert hallucinated.kernel_ == process.kernel_ and hallucinated.alpha == process.alpha
    mean, deviation = process.predict(queries, return_std=True)
    mean_after, deviation_after = hallucinated.predict(queries, return_std=True)
    assert mean_after == pytest.approx(mean, abs=1e-6)
    assert (deviation_after < deviation + 1e-9).all()
    for place in (pending, np.clip(pending + 0.01, 0, 1)):
        before, after = process.predict(place, return_std=True)[1], hallucinated.predict(place, return_std=True)[1]
        assert (after < 0.95 * before).all()
    both = np.concatenate([points, pending]), np.concatenate([values, process.predict(pending)])
    kernel = process.kernel_.k1.constant_value, process.kernel_.k2.length_scale
    assert deviation_after == pytest.approx(plain_posterior(kernel, process.alpha, *both, queries)[1], abs=1e-7)


def test_the_kernel_is_fitted_once_per_batch(monkeypatch):
    fits = []
    monkeypatch.setattr("study.driver.search.gp_bucb.fit", lambda *arguments: fits.append(arguments) or fit(*arguments))
    propose(PLANE, tell(12), 6, seed=0)
    assert len(fits) == 1


def test_the_lowest_bound_is_that_of_a_fine_grid():
    process = fit(*data())
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), -1).reshape(-1, 2)

    def bound(points):
        mean, deviation = process.predict(np.atleast_2d(points), return_std=True)
        return mean - WIDTH * deviation

    found = bound(lowest(process, np.random.default_rng(0)))[0]
    best = bound(grid).min()
    assert best - 0.05 < found < best + 1e-3


def test_running_trials_are_pending_and_others_are_not():
    """Of a study that is not ours: failed trials count for nothing, running ones are kept away from."""
    told = [create_trial(params=p, distributions=BOX, value=v) for p, v in tell(12)]
    trials = {state: optuna.create_study(sampler=GpBucbSampler(BOX, seed=0)) for state in (None, "FAIL", "RUNNING")}
    first = None
    for state, study in trials.items():
        study.add_trials(told)
        if state:
            study.add_trial(create_trial(state=TrialState[state], params=first, distributions=BOX))
        params = study.ask(BOX).params
        first = first or params
        distance = np.abs(to_unit(BOX, params) - to_unit(BOX, first)).max()
        assert distance == 0 if state is None else distance < 0.02 if state == "FAIL" else distance > 0.02


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_batch_spreads(sampler):
    """Were pending points ignored, the Gaussian process would say the same place five times."""
    random = np.random.default_rng(0)
    told = [(point, observed(point, random)) for point in propose(RANGES, [], 20, sampler="qmc", seed=0)]
    points = [to_unit(SYNTHETIC, point) for point in propose(RANGES, told, 5, sampler=sampler, seed=0)]
    assert min(np.abs(a - b).max() for a, b in combinations(points, 2)) > 0.015


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("told", [0, 12])
def test_values_are_rounded_and_within_their_ranges(sampler, told):
    """Also where a range's end has more digits, and where the best lies in a corner."""
    trials = tell(told, lambda values: -values["low"] - math.log(values["high"]), ODD)
    for point in propose(ODD, trials, 6, sampler=sampler, seed=3):
        assert list(point) == list(ODD)
        for name, value in point.items():
            assert ODD[name].low <= value <= ODD[name].high
            assert value in (ODD[name].low, ODD[name].high, float(f"{value:.{DIGITS}g}"))


def test_rounding_does_not_leave_the_range():
    ends = [{name: range_.low for name, range_ in ODD.items()}, {name: range_.high for name, range_ in ODD.items()}]
    assert [samplers._rounded(end, ODD) for end in ends] == [
        {"low": 1 / 3, "high": 1.23457e-5},
        {"low": 2 / 3, "high": 9.87654e-3},
    ]


@pytest.mark.parametrize("sampler", quick_only(["gp-bucb", "tpe", "gp"], ["gp-bucb", "tpe"]))
def test_a_diverged_trial_counts_as_the_worst_score(sampler):
    scored = tell(14)
    worst = max(objective for _, objective in scored)
    as_none = [(p, None if i % 5 == 0 else o) for i, (p, o) in enumerate(scored)] + [(scored[0][0], worst)]
    as_worst = [(p, worst if o is None else o) for p, o in as_none]
    without = [(p, o) for p, o in as_none if o is not None]
    proposals = [propose(PLANE, told, 3, sampler=sampler, seed=0) for told in (as_none, as_worst, without)]
    assert proposals[0] == proposals[1] != proposals[2]


def test_diverged_trials_count_as_the_cap_while_there_is_no_score():
    points = [point for point, _ in tell(12)]
    assert math.exp(CAP) == pytest.approx(1000)
    assert samplers._objectives([None, None]) == [CAP, CAP]
    assert samplers._objectives([None, 2.0, 1.0]) == [2.0, 2.0, 1.0]
    told = [[(point, value) for point in points] for value in (None, CAP)]
    assert propose(PLANE, told[0], 3, seed=0) == propose(PLANE, told[1], 3, seed=0)


@pytest.mark.full
def test_another_process_proposes_the_same_in_silence():
    told = tell(12)
    code = (
        "import json, sys; from search_spaces.draws import Range; "
        "from study.driver.search.samplers import SAMPLERS, propose; "
        "ranges, told = json.load(sys.stdin); ranges = {name: Range(*ends) for name, ends in ranges.items()}; "
        "print(json.dumps([propose(ranges, told, 3, sampler=name, seed=5) for name in SAMPLERS]))"
    )
    given = json.dumps([{name: (range_.low, range_.high, range_.log) for name, range_ in PLANE.items()}, told])
    answer = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
    here = [propose(PLANE, told, 3, sampler=sampler, seed=5) for sampler in SAMPLERS]
    assert json.loads(answer.stdout) == here and answer.stderr == ""


@pytest.mark.full
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_proposes_others_and_a_larger_batch_begins_with_the_smaller(sampler):
    told = tell(12)
    two = propose(PLANE, told, 2, sampler=sampler, seed=5)
    assert two == propose(PLANE, told, 3, sampler=sampler, seed=5)[:2]
    assert not {tuple(p.values()) for p in two} & {
        tuple(p.values()) for p in propose(PLANE, told, 2, sampler=sampler, seed=6)
    }


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_rounds_differ_and_start_ups_do(sampler):
    first = propose(PLANE, [], 4, sampler=sampler, seed=0)
    second = propose(PLANE, [(point, 1.0) for point in first], 4, sampler=sampler, seed=0)
    assert not {tuple(p.values()) for p in first} & {tuple(p.values()) for p in second}
    assert propose(PLANE, [], 4, sampler=sampler, seed=1) != first


@pytest.mark.parametrize("sampler", ["gp-bucb", "qmc"])
def test_the_first_points_are_one_sobol_sequence(sampler):
    """Sixteen of them have one in each of sixteen strips along either axis, over two rounds."""
    assert isinstance(SAMPLERS[sampler].make(BOX, 0, 0), SobolSampler)
    first = propose(PLANE, [], 7, sampler=sampler, seed=0)
    second = propose(PLANE, [(point, 1.0) for point in first], 9, sampler=sampler, seed=0)
    assert STARTUP > 7
    units = np.array([to_unit(BOX, point) for point in first + second])
    assert (np.sort((units * 16).astype(int), axis=0) == np.arange(16)[:, None]).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "objectives",
    [[1.0], [2.0] * 12, [None] * 12, [None, 1.0] * 6, [700.0, -700.0] * 6],
    ids=["one", "flat", "diverged", "half", "huge"],
)
def test_bad_luck_is_survived(sampler, objectives):
    points = [point for point, _ in tell(len(objectives))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proposed = propose(PLANE, list(zip(points, objectives, strict=True)), 3, sampler=sampler, seed=0)
    assert len({tuple(point.values()) for point in proposed}) == 3


@pytest.mark.full
@pytest.mark.parametrize("sampler", ["gp-bucb", "tpe"])
def test_five_hundred_trials(sampler):
    assert len(propose(PLANE, tell(500), 2, sampler=sampler, seed=0)) == 2


def test_what_was_tried_is_not_proposed_again(monkeypatch):
    """A sampler that always says the same: others are drawn, and where there are none, that is said."""

    class Same(SobolSampler):
        def sample_relative(self, study, trial, search_space):
            return POINT

    monkeypatch.setitem(SAMPLERS, "qmc", samplers.Sampler(make=lambda space, *_: Same(space, 0), description=""))
    points = propose(PLANE, [(POINT, 1.0)], 5, sampler="qmc", seed=0)
    assert len({tuple(point.values()) for point in points} - {(1e-3, 0.5)}) == 5
    narrow = {"beta": Range(0.5, 0.500001)}  # of six digits
    points = propose(narrow, [], 2, seed=0)
    assert sorted(point["beta"] for point in points) == [0.5, 0.500001]
    with pytest.raises(InputError, match="ranges beta: only 2 different settings"):
        propose(narrow, [], 3, seed=0)


@pytest.mark.parametrize(
    ("ranges", "told", "options", "message"),
    [
        (PLANE, [], {"sampler": "gp-ucb"}, r"--sampler gp-ucb: unknown; did you mean gp-bucb\? Known: gp, gp-bucb"),
        (PLANE, [({"rate": 1e-3}, 1.0)], {}, "an observation has rate: give values of rate, beta"),
        (PLANE, [({**POINT, "beta": 1.1}, 1.0)], {}, "beta 1.1 of an observation: must be from 0 to 0.999"),
        (PLANE, [(POINT, math.nan)], {}, "objective nan: give a finite number, or None"),
    ],
)
def test_errors_of_the_user(ranges, told, options, message):
    with pytest.raises(InputError, match=message):
        propose(ranges, told, 1, **{"seed": 0, **options})


def test_nothing_global_is_changed():
    level, filters = optuna.logging.get_verbosity(), list(warnings.filters)
    state = np.random.get_state()[1].copy()
    propose(PLANE, tell(12), 2, seed=0)
    assert optuna.logging.get_verbosity() == level and warnings.filters == filters
    assert (np.random.get_state()[1] == state).all()


def regret(sampler, seed, rounds=6):
    random = np.random.default_rng(seed)
    told = []
    for _ in range(rounds):
        told += [(point, observed(point, random)) for point in propose(RANGES, told, 10, sampler=sampler, seed=seed)]
    return min(fid(point) for point, _ in told) - OPTIMUM


@pytest.mark.full
def test_the_bandit_beats_chance_on_the_synthetic_study():
    """Six rounds of ten."""
    bandit, chance = (sum(regret(sampler, seed) for seed in (50, 51)) for sampler in ("gp-bucb", "random"))
    assert 0 <= bandit < chance / 4
