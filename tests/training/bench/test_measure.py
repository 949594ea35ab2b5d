"""Rows: their speeds, what they are made of, and which there are on a device."""

from dataclasses import replace

import pytest
import torch

from study.core.errors import InputError
from study.gan.architectures import ARCHITECTURES
from study.training.bench import cases, measure
from study.training.bench.cases import CASES, Case, check_device, possible
from study.training.bench.measure import BenchRow, Speed, measure_speed
from study.training.bench.scoring import ScoringRow, measure_scoring

SMALL = Case(architecture="sndcgan", resolution=8, width=1, batch_size=2, n_dis=2)


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


def test_the_ratio_is_taken_pair_by_pair():
    speed = Speed(plain=[1.0, 2.0, 4.0], study=[3.0, 4.0, 20.0])
    assert speed.ratios == pytest.approx([3, 2, 5])


def test_a_row_is_computed_from_what_was_measured():
    case = replace(SMALL, pack=3)
    speed = Speed(plain=[10.0, 20.0, 30.0], study=[60.0, 40.0, 300.0])
    row = BenchRow(case=case, speed=speed, memory=7, flops=1e6, peak=1e9).to_dict()
    assert row["images_per_second"] == 60 and row["plain_images_per_second"] == 20
    assert (row["ratio"], row["ratio_lowest"], row["ratio_highest"]) == (6, 2, 10)
    assert row["milliseconds_per_discriminator_update"] == pytest.approx(100)  # 6 images, of three trials
    assert row["share_of_peak"] == pytest.approx(0.06)
    assert row["memory_growth_bytes"] == 7
    assert (row["batch"], row["pack"], row["repeats"]) == (2, 3, 3)


@pytest.mark.parametrize(("precision", "plain"), [("float32", "float32"), ("bfloat16", "float32"), ("tf32", "tf32")])
def test_the_plain_loop_is_never_below_single_precision(precision, plain):
    assert measure.plain_precision(precision) == plain


def test_turns_are_whole_cycles_of_about_a_second(monkeypatch):
    """The clock says 0.3 s for the plain loop's warm update and 0.1 s for ours, then what a turn is worth."""
    asked = []

    def seconds(case, loop, inputs, cycles):
        asked.append((len(inputs.real), cycles))
        return 0.3 if len(asked) % 2 else 0.1

    monkeypatch.setattr(measure, "seconds", seconds)
    speed = measure_speed(replace(SMALL, pack=3), 2)
    assert asked == [(1, 1)] * 4 + [(2, 2), (2, 5)] * 2
    assert speed.plain == pytest.approx([2 * 2 * 2 / 0.3] * 2)
    assert speed.study == pytest.approx([2 * 2 * 5 * 3 / 0.1] * 2)


@pytest.mark.full
def test_both_loops_are_measured(monkeypatch):
    monkeypatch.setattr(measure, "TURN_SECONDS", 0.01)
    speed = measure_speed(SMALL, 2)
    assert len(speed.plain) == len(speed.study) == 2
    assert min(*speed.plain, *speed.study) > 0


@pytest.mark.parametrize(
    ("cuda", "able", "left"),
    [
        (False, ["float32"], [("cpu", "float32")] * 8),
        (False, ["float32", "bfloat16"], [*[("cpu", "float32")] * 8, ("cpu", "bfloat16")]),
        (True, ["float32"], [("cpu", "float32")] * 8 + [("cuda", "float32")] * 5),
    ],
)
def test_only_rows_are_left_that_the_devices_can_run(monkeypatch, cuda, able, left):
    monkeypatch.setattr(cases.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(cases, "precisions", lambda device: able)
    assert [(case.device, case.precision) for case in possible(CASES)] == left


def test_the_table_has_every_architecture_with_and_without_a_penalty_on_a_cpu():
    rows = [(case.architecture, case.method) for case in CASES if not case.on_gpu and case.precision == "float32"]
    assert sorted(rows) == sorted((name, method) for name in ARCHITECTURES for method in (cases.SPECTRAL, cases.BOTH))


def test_every_row_of_the_table_can_be_built_and_has_a_plain_loop(monkeypatch):
    monkeypatch.setattr(cases, "check_device", lambda device: None)
    monkeypatch.setattr(cases, "check_precision", lambda precision, device: None)
    for case in CASES:
        case.check()


@pytest.mark.parametrize("device", ["tpu", "cpu:0", "cuda:", "cuda:x", "cuda:9"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=f"^--device {device}: "):
        check_device(device)


def test_scoring_is_told_as_a_share_of_training(scorer):
    row = ScoringRow(
        case=SMALL, dataset="digits", scorer=scorer, checkpoint_every=50, scoring=0.2, update=0.1
    ).to_dict()
    assert (row["training_seconds"], row["share"]) == (pytest.approx(5), pytest.approx(0.04))
    assert (row["extractor"], row["scored_images"], row["checkpoint_every"]) == ("pixels", 32, 50)


def test_scoring_and_training_are_both_timed(scorer, monkeypatch):
    times = iter([0, 9, 18, 18, 21, 25, 25, 26, 32])  # a first score and cycle of 9 s, then 3 and 4 s, then 1 and 6 s
    monkeypatch.setattr("study.training.bench.scoring.wall_clock", lambda device: next(times))
    row = measure_scoring(replace(SMALL, channels=1), "digits", scorer, 25, repeats=2)
    assert row.scoring == pytest.approx(2)
    assert row.update == pytest.approx(5 / 2)
