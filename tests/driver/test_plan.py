"""From what was asked for to the trials that are left to run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import get
from study import data
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method
from study.driver.cost.estimate import CONFIRM_ABOVE, estimate, longest_first
from study.driver.cost.flops import estimated_seconds
from study.driver.planning.plan import make_plan, pending, plan_trial
from study.driver.request import ResourceOptions
from study.driver.resources import Slots, local_resources, make_slots
from study.storage.parts import write_part
from study.storage.schema import DIVERGED, FAILED, FINISHED
from study.storage.tables import compact
from study.worker.record import make_record
from tests.requests import make_request

GRID = get("grid")
NUMBERS = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.999, n_dis=1)
SLOTS = Slots(concurrent=2, gpus_per_trial=0)


@pytest.fixture
def ask(tmp_path):
    """Request for digits in an empty results folder."""

    def ask(**how):
        return make_request(
            **{"datasets": ["digits"], "results": tmp_path / "results", "data_dir": tmp_path / "data", **how}
        )

    return ask


def end(planned, status=FINISHED, *, sha256=None, seconds=None):
    """Leave the part of a trial that ended this way."""
    context = planned.context if sha256 is None else replace(planned.context, dataset_sha256=sha256)
    made = make_record(
        context, status, None, started="2026-01-01T00:00:00+00:00", device="cpu", position=None, trial=planned.trial
    )
    made = replace(made, training_seconds=seconds, scoring_seconds=None if seconds is None else 0.0)
    assert write_part(context.results, planned.trial, context.protocol, made, [])


def names(planned):
    return list(dict.fromkeys(p.trial.method.name for p in planned))


def test_the_whole_grid(ask, tmp_path):
    planned = make_plan(ask(), GRID)
    assert len(planned) == len({p.key for p in planned}) == 120
    assert {p.trial.seed for p in planned} == {0}
    assert {p.shape for p in planned} == {(1, 8)}
    assert len({p.context for p in planned}) == 1
    assert not (tmp_path / "results").exists()
    assert [p.trial.id for p in planned] == [p.trial.id for p in make_plan(ask(), GRID)]


def test_narrowing(ask):
    assert len(make_plan(ask(seeds=2), GRID)) == 240
    assert len(make_plan(ask(settings=1), GRID)) == 7
    assert len(make_plan(ask(settings=100), GRID)) == 120
    assert len(make_plan(ask(n_dis=1), GRID)) == 30
    assert len(make_plan(ask(datasets=["digits", "digits"]), GRID)) == 120
    two = make_plan(ask(methods="spectral_norm, none,none", n_dis=5, settings=2, seeds=3), GRID)
    assert names(two) == ["spectral_norm", "none"]
    assert len(two) == 2 * 2 * 3
    assert {p.trial.hyperparameters.n_dis for p in two} == {5}
    assert [p.trial.seed for p in two] == [0] * 4 + [1] * 4 + [2] * 4


def test_more_seeds_keep_the_trials_of_fewer(ask):
    one, two = make_plan(ask(), GRID), make_plan(ask(seeds=2), GRID)
    assert [p.key for p in two[:120]] == [p.key for p in one]


def test_a_recipe_that_the_space_does_not_list(ask):
    planned = make_plan(ask(methods="spectral_norm+gradient_penalty"), GRID)
    assert len(planned) == 24
    assert {p.trial.hyperparameters.penalty_weight for p in planned} == {1, 10}


def test_what_the_dataset_declares_and_the_user_overrides(ask):
    (declared,) = make_plan(ask(methods="none", settings=1), GRID)
    assert declared.trial.training.discriminator_steps == data.get("digits").discriminator_steps
    assert (declared.context.protocol.n_real, declared.context.protocol.n_fake) == (600, 600)
    (asked,) = make_plan(ask(methods="none", settings=1, discriminator_steps=3, n_real=50, n_fake=40), GRID)
    assert asked.trial.training.discriminator_steps == 3
    assert asked.context.checkpoint_every == 3
    assert (asked.context.protocol.n_real, asked.context.protocol.n_fake) == (50, 40)
    assert asked.trial.id != declared.trial.id


def test_a_single_trial(ask):
    method = Method(architecture="sndcgan", normalizations=("spectral_norm",), options={"power_iterations": 1})
    planned = plan_trial(ask(), method, NUMBERS, 3)
    assert planned.trial.seed == 3
    assert planned.trial.method.options == ()  # at its declared default
    with pytest.raises(InputError, match=r"--architecture sndcgam: unknown; did you mean sndcgan\?"):
        plan_trial(ask(), Method(architecture="sndcgam"), NUMBERS, 0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"datasets": ["digit"]}, r"--dataset digit: unknown; did you mean digits\?"),
        ({"datasets": ["celeba-hq-128"]}, "celeba-hq-128: not prepared"),
        ({"methods": "spectral_nrm"}, r"--methods spectral_nrm: unknown; did you mean spectral_norm\?"),
        ({"methods": "none,l3"}, r"--methods l3: unknown"),
        ({"methods": "l2+dragan"}, "two penalties"),
        ({"architecture": "sndcgam"}, r"--architecture sndcgam: unknown; did you mean sndcgan\?"),
        ({"extractor": "classifer"}, r"--extractor classifer: unknown; did you mean classifier\?"),
        ({"extractor_weights": Path("none.npz")}, "--extractor-weights none.npz: no such file"),
        ({"n_real": 601}, "--n-real 601: the test split has only 600 images"),
        ({"n_fake": 1}, "--n-fake 1: must be 2 or more, since a covariance needs 2"),
        ({"settings": 0}, "--settings 0: must be 1 or more"),
        ({"seeds": 0}, "--seeds 0: must be 1 or more"),
        ({"n_dis": 0}, "--n-dis 0: must be 1 or more"),
        ({"n_dis": 2}, r"--n-dis 2: grid has no such setting; it has \[1, 5\]"),
        ({"discriminator_steps": 0}, "--discriminator-steps 0: must be 1 or more"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(ask, tmp_path, how, message):
    with pytest.raises(InputError, match=message):
        make_plan(ask(**how), GRID)
    assert not (tmp_path / "results").exists()


def test_what_is_done_is_not_run_again(ask):
    request = ask(methods="none")
    planned = make_plan(request, GRID)
    assert pending(planned, request.results, retry_failed=False) == planned
    for one, status in zip(planned, (FINISHED, DIVERGED, FAILED), strict=False):
        end(one, status)
    for _ in ("in parts", "in the table"):
        assert pending(planned, request.results, retry_failed=False) == planned[3:]
        assert pending(planned, request.results, retry_failed=True) == planned[2:]
        compact(request.results)


def test_another_protocol_makes_trials_pending_again(ask):
    request = ask(methods="none", settings=2)
    for one in make_plan(request, GRID):
        end(one)
    fewer = make_plan(ask(methods="none", settings=2, n_fake=100), GRID)
    assert pending(fewer, request.results, retry_failed=False) == fewer


def test_rows_about_other_images_of_the_same_name_are_refused(ask):
    request = ask(methods="none", settings=2)
    planned = make_plan(request, GRID)
    end(planned[0], sha256="0123456789abcdef" * 4)
    compact(request.results)
    with pytest.raises(InputError) as caught:
        pending(make_plan(request, GRID), request.results, retry_failed=False)
    assert "digits with hash 0123456789abcdef" in str(caught.value)
    assert planned[0].context.dataset_sha256[:16] in str(caught.value)


def test_an_estimate_says_what_it_rests_on(ask):
    request = ask(methods="none,l2", settings=1)
    planned = make_plan(request, GRID)
    none, l2 = planned

    def guess(todo, slots=SLOTS):
        return estimate(planned, todo, request.results, slots)

    assert guess(planned).basis == "from counted operations"
    assert guess(planned, Slots(concurrent=1, gpus_per_trial=1)).basis == (
        "from counted operations and an assumed speed"
    )
    end(none, seconds=30)
    compact(request.results)
    assert guess(planned).basis == "from 1 measured trials, the rest from counted operations"
    assert guess([none]).basis == "from measured trials"
    end(l2, seconds=50)
    compact(request.results)
    assert guess(planned).methods == {"none": (1, 1), "l2": (1, 1)}
    assert guess([l2]).methods == {"none": (1, 0), "l2": (1, 1)}
    assert guess(planned).seconds == pytest.approx((30 + 50) / 2)
    assert guess(planned, Slots(concurrent=1, gpus_per_trial=0)).seconds == pytest.approx(30 + 50)
    assert guess([l2], Slots(concurrent=8, gpus_per_trial=0)).seconds == pytest.approx(50)
    assert guess([]).seconds == 0


@pytest.mark.parametrize(
    ("cpus", "gpus", "gpus_per_trial", "max_concurrent", "concurrent", "part"),
    [
        (2, 0, None, None, 2, 0),
        (2, 0, None, 1, 1, 0),
        (2, 0, None, 9, 2, 0),
        (0.5, 0, None, None, 1, 0),
        (16, 1, None, None, 1, 1),
        (16, 4, None, None, 4, 1),
        (16, 4, 2, None, 2, 2),
        (16, 1, 0.1, None, 10, 0.1),
        (4, 1, 0.1, None, 4, 0.1),
        (16, 1, 0, None, 16, 0),
        (16, 1, 0.25, 3, 3, 0.25),
    ],
)
def test_slots(cpus, gpus, gpus_per_trial, max_concurrent, concurrent, part):
    slots = make_slots(cpus, gpus, ResourceOptions(gpus_per_trial=gpus_per_trial, max_concurrent=max_concurrent))
    assert (slots.concurrent, slots.gpus_per_trial) == (concurrent, part)
    assert slots.device == ("gpu" if part else "cpu")


@pytest.mark.parametrize(
    ("gpus", "gpus_per_trial", "max_concurrent", "message"),
    [
        (0, 1, None, "--gpus-per-trial 1: must be from 0 to the 0 GPUs present"),
        (1, -1, None, "--gpus-per-trial -1"),
        (1, 2, None, "--gpus-per-trial 2"),
        (1, None, 0, "--max-concurrent 0: must be 1 or more"),
    ],
)
def test_slots_that_cannot_be_had(gpus, gpus_per_trial, max_concurrent, message):
    with pytest.raises(InputError, match=message):
        make_slots(4, gpus, ResourceOptions(gpus_per_trial=gpus_per_trial, max_concurrent=max_concurrent))


@pytest.mark.parametrize("share", [1, 2, 3, 7, 64, 100])
def test_trials_share_a_gpu(share):
    slots = make_slots(4096, 2, ResourceOptions(trials_per_gpu=share))
    assert slots.concurrent == 2 * share
    parts = round(slots.gpus_per_trial * 10_000)  # in which Ray counts
    assert share * parts <= 10_000 < (share + 1) * parts


@pytest.mark.parametrize(
    ("gpus", "share", "gpus_per_trial", "message"),
    [
        (1, 0, None, "--trials-per-gpu 0: must be from 1 to 100"),
        (1, 2, 0.5, "--trials-per-gpu 2: --gpus-per-trial 0.5 also sets this"),
        (0, 2, None, "--trials-per-gpu 2: there is no GPU to share"),
    ],
)
def test_a_gpu_that_cannot_be_shared(gpus, share, gpus_per_trial, message):
    with pytest.raises(InputError, match=message):
        make_slots(4, gpus, ResourceOptions(trials_per_gpu=share, gpus_per_trial=gpus_per_trial))


def test_slots_follow_the_cluster_up_to_the_most_that_was_asked_for():
    free, bounded = make_slots(1, 0), make_slots(1, 0, ResourceOptions(max_concurrent=3))
    assert [free.concurrent_on(cpus, 0) for cpus in (0, 1, 5)] == [1, 1, 5]
    assert [bounded.concurrent_on(cpus, 0) for cpus in (0, 1, 5)] == [1, 1, 3]
    assert make_slots(16, 1).concurrent_on(64, 8) == 8


def test_the_longest_trials_come_first_and_equal_ones_in_their_order(ask):
    planned = make_plan(ask(methods="none,spectral_norm"), GRID)
    ordered = [one for (one,) in longest_first(planned, planned[0].context.results, "cpu")]
    seconds = [estimated_seconds(p.trial, *p.shape, "cpu") for p in ordered]
    assert seconds == sorted(seconds, reverse=True) and len(set(seconds)) > 1
    for each in set(seconds):
        mine = [p for p, s in zip(ordered, seconds, strict=True) if s == each]
        assert mine == [p for p in planned if p in mine]
    assert sorted(p.trial.id for p in ordered) == sorted(p.trial.id for p in planned)


def test_measured_time_orders_before_counted_operations(ask):
    planned = make_plan(ask(methods="none,spectral_norm", settings=2), GRID)
    results = planned[0].context.results
    (cheapest,) = longest_first(planned, results, "cpu")[-1]
    end(cheapest, seconds=1e6)
    compact(results)
    assert longest_first(planned, results, "cpu")[0][0].trial.method == cheapest.trial.method


def test_this_machine_has_cores():
    cpus, gpus = local_resources()
    assert cpus >= 1
    assert gpus >= 0
    assert math.isclose(CONFIRM_ABOVE, 3 * 86_400)
