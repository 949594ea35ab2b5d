"""What `--pack auto` goes by: how it is measured, and which number is the best."""

import csv
import json

import pytest
import torch

from study.core.errors import InputError
from study.training.bench import packing
from study.training.bench.cases import PACKS, Case
from study.training.bench.packing import PackGain, measure_packs

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = Case(architecture="sndcgan", resolution=8, channels=1, width=1, batch_size=2, n_dis=1)


@pytest.mark.parametrize(
    ("gains", "best"),
    [
        ({1: 1.0, 6: 1.4, 12: 1.5, 24: 1.55}, 6),  # nearly as good, and more packs for other cores
        ({1: 1.0, 6: 1.2, 12: 1.5}, 12),
        ({1: 1.0, 6: 1.09}, 1),
        ({1: 1.0, 6: 0.8}, 1),
        ({1: 1.0}, 1),
    ],
)
def test_the_best_is_the_fewest_that_gain_nearly_the_most(gains, best):
    assert PackGain(case=TINY, gains=gains).best == best


def test_every_number_is_measured_with_every_method(monkeypatch):
    measured = []
    monkeypatch.setattr(
        packing, "seconds", lambda case, loop, *_: measured.append((case.method, loop.pack)) or 1.0 + loop.pack
    )
    found = measure_packs(TINY, 2, counts=(1, 3))
    assert found.gains == {1: 1.0, 3: pytest.approx(2 * 3 / 4)}
    assert {method for method, _ in measured} == set(packing.METHODS)
    assert measured.count(("none", 3)) == 3  # one turn to warm up


def test_a_number_that_does_not_fit_is_left_out_with_all_above(monkeypatch):
    def seconds(case, loop, *_):
        if loop.pack > 3:
            raise torch.OutOfMemoryError
        return 1.0

    monkeypatch.setattr(packing, "seconds", seconds)
    assert list(measure_packs(TINY, 1, counts=(1, 3, 6, 9)).gains) == [1, 3]


def test_a_case_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="8 px"):
        measure_packs(Case(architecture="sndcgan", resolution=9), 1)


@pytest.mark.full
def test_the_command_puts_it_on_record(study, tmp_path, monkeypatch):
    monkeypatch.setattr(packing.measure_packs, "__defaults__", ((1, 2),))
    how = ("--architecture", "sndcgan", "--resolution", 8, "--width", 1, "--batch-size", 2, "--repeats", 1)
    answer = study("bench", "--pack", "auto", *how, "--data-dir", tmp_path, "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)
    assert set(row["gains"]) == {"1", "2"}
    assert row["gains"]["1"] == 1.0 != row["gains"]["2"] > 0
    (kept,) = csv.DictReader((tmp_path / "packs.csv").open())
    size = {"architecture": "sndcgan", "width": "1", "resolution": "8", "batch_size": "2"}
    assert kept == {**size, "device": "cpu", "pack": str(row["pack"])}
    assert answer.err.endswith(f"saved for --pack auto: {tmp_path / 'packs.csv'}\n")


def test_sizes_that_are_measured_are_each_there_once():
    sizes = [(case.architecture, case.width, case.resolution, case.device) for case in PACKS]
    assert len(set(sizes)) == len(sizes)
