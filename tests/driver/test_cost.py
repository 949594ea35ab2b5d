"""Estimates of time: counted operations against hand arithmetic, and rows where there are any."""

import json
import math
from dataclasses import replace

import pytest

import search_spaces
from study import data
from study.core.evaluation import Evaluation
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.driver.cost import flops
from study.driver.cost.flops import (
    CostCase,
    estimated_seconds,
    kept_bytes,
    measured_rates,
    scored_steps,
    state_bytes,
    total_seconds,
)
from study.driver.cost.overview import Overview
from study.driver.cost.timings import MeasuredTimes
from study.driver.planning.plan import trials_of
from study.driver.request import SearchBudget
from study.gan.model import build, initial_state
from study.storage.schema import DIVERGED
from study.storage.tables import compact
from study.training.draws import stream
from study.training.loop import Checkpoint
from study.worker.checkpoint import save_generator, save_state
from study.worker.snapshot import Snapshot, generator_of
from tests.parts import PROTOCOL, leave
from tests.requests import make_request

SHAPE = (1, 8)
# SNDCGAN of width 8 on 1x8x8: two operations per multiplication, biases not counted. On maps of 1 and 2 px the taps
# that see nothing but padding are left out: a 4x4 kernel has 2x2 there and a 3x3 kernel has its centre.
GENERATOR = 2 * (
    128 * 64  # linear
    + 1 * 1 * 64 * 32 * 2 * 2  # transposed convolutions count the pixels that they read
    + 2 * 2 * 32 * 16 * 4 * 4
    + 4 * 4 * 16 * 8 * 4 * 4
    + 8 * 8 * 8 * 1 * 3 * 3
)
DISCRIMINATOR = 2 * (
    8 * 8 * 1 * 8 * 3 * 3
    + 4 * 4 * 8 * 16 * 4 * 4
    + 4 * 4 * 16 * 16 * 3 * 3
    + 2 * 2 * 16 * 32 * 4 * 4
    + 2 * 2 * 32 * 32 * 3 * 3
    + 1 * 1 * 32 * 64 * 2 * 2
    + 1 * 1 * 64 * 64 * 1 * 1
    + 64 * 1  # linear
)


def make(penalty=None, *, n_dis=1, steps=100, width=8, batch_size=64, seed=0):
    return Trial(
        dataset="digits",
        method=Method(architecture="sndcgan", penalty=penalty),
        hyperparameters=Hyperparameters(
            learning_rate=2e-4, beta1=0.5, beta2=0.9, n_dis=n_dis, penalty_weight=1 if penalty else None
        ),
        training=Training(discriminator_steps=steps, width=width, batch_size=batch_size),
        seed=seed,
    )


def test_operations_against_hand_arithmetic():
    gan = build(make(), *SHAPE)
    assert flops._forward_flops(gan.averaged_generator, 128) == GENERATOR == 173_056
    assert flops._forward_flops(gan.discriminator, SHAPE[0], SHAPE[1], SHAPE[1]) == DISCRIMINATOR == 312_448


@pytest.mark.parametrize(("penalty", "passes"), [(None, 0), ("l2", 0), ("gradient_penalty", 4), ("dragan", 4)])
@pytest.mark.parametrize("n_dis", [1, 5])
def test_seconds_from_operations(monkeypatch, penalty, passes, n_dis):
    """D's update takes D forward and back over two batches; G's takes both, D without the gradients of its weights."""
    monkeypatch.setattr(flops, "OVERHEAD", 0.0)
    monkeypatch.setattr(flops, "THROUGHPUT", {"cpu": 1e6, "gpu": 1e9})
    per_image = GENERATOR + (6 + passes) * DISCRIMINATOR + (3 * GENERATOR + 2 * DISCRIMINATOR) / n_dis
    trial = make(penalty, n_dis=n_dis, steps=100, batch_size=32)
    assert estimated_seconds(trial, *SHAPE, "cpu") == pytest.approx(100 * 32 * per_image / 1e6)
    assert estimated_seconds(trial, *SHAPE, "gpu") == pytest.approx(100 * 32 * per_image / 1e9)


def test_updates_take_time_however_small(monkeypatch):
    monkeypatch.setattr(flops, "OVERHEAD", 0.25)
    monkeypatch.setattr(flops, "THROUGHPUT", {"cpu": math.inf})
    assert estimated_seconds(make(n_dis=5, steps=100), *SHAPE, "cpu") == pytest.approx(100 * 0.25 * (1 + 1 / 5))


def score_of(trial, step, score):
    losses = {"discriminator_loss": 1.0, "generator_loss": 1.0, "penalty": 0.0}
    where = {"trial_id": trial.id, "discriminator_step": step, "protocol_id": PROTOCOL.id}
    return Evaluation(**where, **losses, frechet_distance=score)


@pytest.mark.parametrize("penalty", [None, "spectral_regularization"])
def test_bytes_are_those_of_the_files(tmp_path, penalty):
    """But for the names of tensors and what is between them."""
    trial = make(penalty)
    gan = build(trial, *SHAPE)
    state = initial_state(gan, stream(0, "initial", 0))
    first, second = (Checkpoint(score_of(trial, s, float(s)), gan, state, 1.0, 1.0, None) for s in (25, 50))
    so_far = Snapshot(trial, {"checkpoint_every": 25}).after(first).after(second)
    save_generator(tmp_path / "generator.pt", generator_of(trial, first), SHAPE)
    save_state(tmp_path / "state.pt", so_far, SHAPE)
    generator, whole = ((tmp_path / f"{name}.pt").stat().st_size for name in ("generator", "state"))
    assert 0 < generator - kept_bytes(trial, *SHAPE) < 30_000 < generator
    assert 0 < whole - state_bytes(trial, *SHAPE) < 60_000 < whole
    assert kept_bytes(trial, *SHAPE, generators=0) == 0
    assert kept_bytes(trial, *SHAPE, generators=5) == 5 * kept_bytes(trial, *SHAPE)
    assert kept_bytes(trial, *SHAPE, generators=0, state=True) == state_bytes(trial, *SHAPE)


@pytest.mark.parametrize(("steps", "every", "count"), [(100, 25, 4), (101, 25, 5), (3, 25, 1), (25, 25, 1)])
def test_scored_steps(steps, every, count):
    assert scored_steps(steps, every) == count


def test_measured_seconds_are_the_mean_of_like_trials_scaled_to_the_steps(tmp_path):
    leave(tmp_path, make(seed=0, steps=100), seconds=9, scoring=1.0)
    leave(tmp_path, make(seed=1, steps=200), seconds=39, scoring=1.0)
    leave(tmp_path, make(seed=2, steps=100), seconds=None, scoring=1.0, status=DIVERGED)
    leave(tmp_path, make(seed=3, steps=100), seconds=0, scoring=1.0, device="NVIDIA H200")
    compact(tmp_path)
    measured = MeasuredTimes(tmp_path)
    assert measured.seconds(make(seed=9, steps=1000), "cpu") == pytest.approx(1000 * (10 / 100 + 40 / 200) / 2)
    assert measured.seconds(make(steps=100), "gpu") == pytest.approx(1)
    for unlike in (make("l2"), make(n_dis=5), make(width=16), make(batch_size=32)):
        assert measured.seconds(unlike, "cpu") is None


def test_the_seconds_of_packs_are_those_of_packs_of_the_same_size(tmp_path):
    """A trial of a pack has its share of the seconds: alone it takes longer."""
    leave(tmp_path, make(seed=0), seconds=8, pack=1)
    leave(tmp_path, make(seed=1), seconds=2, pack=4)
    compact(tmp_path)
    measured = MeasuredTimes(tmp_path)
    assert [measured.seconds(make(), "cpu", pack) for pack in (1, 4)] == pytest.approx([8, 2])
    assert [measured.seconds(make(), "cpu", pack) for pack in (3, None)] == pytest.approx([5, 5])  # of all
    mixed = [CostCase(make(), SHAPE, 1), CostCase(make(), SHAPE, 4), CostCase(make(), SHAPE, 4)]
    assert total_seconds(mixed, measured, "cpu") == (pytest.approx(12), 3)


def test_totals_say_how_much_is_measured(tmp_path):
    leave(tmp_path, make(steps=100), seconds=9, scoring=1.0)
    compact(tmp_path)
    trials = [CostCase(make(steps=100), SHAPE), CostCase(make("dragan"), SHAPE)]
    total, known = total_seconds(trials, MeasuredTimes(tmp_path), "cpu")
    assert known == 1
    assert total == pytest.approx(10 + estimated_seconds(make("dragan"), *SHAPE, "cpu"))
    assert total_seconds([], MeasuredTimes(tmp_path / "nothing"), "cpu") == (0, 0)


def test_a_plan_counts_what_is_kept_and_the_states_of_what_runs(tmp_path):
    """A new state is written beside the old one."""
    space = search_spaces.get("grid")
    counted = {}
    for how in ({}, {"keep": "none"}, {"keep": "all"}, {"keep": "none", "keep_states": True}):
        request = make_request(
            datasets=["digits"], methods="none", results=tmp_path / "results", data_dir=tmp_path, **how
        )
        overview = Overview(request, "cpu", budget=SearchBudget())
        overview.space(space, ["digits"])
        (line,) = overview.lines
        counted[tuple(how.values())] = line.bytes
        trial = next(iter(trials_of(request, space, data.get("digits"))))
        assert overview.running_bytes(3) == 2 * 3 * line.state == 2 * 3 * state_bytes(trial, *SHAPE)
        assert overview.running_bytes(100) == 2 * line.trials * line.state
    one = line.trials * kept_bytes(trial, *SHAPE)
    assert counted == {
        (): one,
        ("none",): 0,
        ("all",): one * (1 + trial.training.discriminator_steps // 25),
        ("none", True): line.trials * state_bytes(trial, *SHAPE),
    }


def bench_row(**changes):
    case = {
        "architecture": "sndcgan",
        "method": "gradient_penalty",
        "resolution": 8,
        "channels": 1,
        "width": 4,
        "batch": 32,
        "n_dis": 1,
        "precision": "float32",
        "pack": 1,
        "device": "cpu",
        "threads": 1,
    }
    return {**case, "images_per_second": 100.0, **changes}


def test_a_measured_speed_gives_back_the_time_that_it_was_measured_by():
    rows = [bench_row(images_per_second=speed) for speed in (50.0, 100.0, 400.0)]
    rows += [bench_row(device="cuda", images_per_second=9000.0), bench_row(architecture="resnet_cifar")]
    rates = measured_rates(rows, "cpu")
    assert set(rates) == {"sndcgan", "resnet_cifar"}
    trial = make("gradient_penalty", steps=300)
    images = 300 * trial.training.batch_size
    same = replace(trial, training=replace(trial.training, width=4))
    assert estimated_seconds(same, 1, 8, "cpu", rates) == pytest.approx(images / 100, rel=1e-12)
    twice = [CostCase(same, (1, 8))] * 2
    assert total_seconds(twice, MeasuredTimes(rows=[]), "cpu", rates)[0] == pytest.approx(2 * images / 100)
    other = replace(same, method=replace(same.method, architecture="dcgan"))
    assert estimated_seconds(other, 1, 16, "cpu", rates) == estimated_seconds(other, 1, 16, "cpu")
    assert measured_rates(rows, "gpu").keys() == {"sndcgan"}


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"architecture": "sndcgan"}]', "[]", '[["a"]]'])
def test_a_file_of_no_measurements_is_one_line(study, tmp_path, content):
    (tmp_path / "b.json").write_text(content)
    answer = study("plan", "grid", "--bench", tmp_path / "b.json", "--results", tmp_path / "r")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"--bench {tmp_path / 'b.json'}: ")


def test_a_plan_says_what_its_hours_rest_on(study, tmp_path):
    (tmp_path / "b.json").write_text(json.dumps([bench_row()]))
    how = ("plan", "grid", "--results", tmp_path / "r")
    measured, counted = study(*how, "--bench", tmp_path / "b.json"), study(*how)
    assert "from counted operations at the measured speed of sndcgan\n" in measured.out
    assert measured.code == counted.code == 0
    assert measured.out.splitlines()[-2].split(",")[0] != counted.out.splitlines()[-2].split(",")[0]
