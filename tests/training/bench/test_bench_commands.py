"""`study bench` as a person uses it."""

import json

import pytest
import torch

from study.cli.run import bench
from study.training import device
from study.training.bench import cases, limits, measure

TINY = ("--architecture", "sndcgan", "--resolution", 8, "--width", 1, "--batch-size", 2, "--n-dis", 1, "--repeats", 1)


@pytest.fixture(autouse=True)
def quick(one_thread, monkeypatch):
    """No process of its own for memory, no large matrices, no second for a turn."""
    monkeypatch.setattr(measure, "memory_growth", lambda case: 5_000_000)
    monkeypatch.setattr(limits, "PRODUCT_SIZES", {"cpu": 64})
    monkeypatch.setattr(measure, "TURN_SECONDS", 0.001)


@pytest.mark.full
def test_json_is_a_list_of_rows(study):
    answer = study("bench", *TINY, "--method", "layer_norm", "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)
    words = {
        "architecture": "sndcgan",
        "method": "layer_norm",
        "n_dis": 1,
        "batch": 2,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
        "resolution": 8,
        "width": 1,
        "pack": 1,
        "plain_precision": "float32",
        "memory_growth_bytes": 5_000_000,
        "torch": torch.__version__,
        "instructions": device.instructions(),
        "compiler_refused": None,
    }
    assert {name: row[name] for name in words} == words
    assert row["ratio"] == pytest.approx(row["images_per_second"] / row["plain_images_per_second"])
    assert (
        0
        < row["share_of_peak"]
        == pytest.approx(row["flops_per_image"] * row["images_per_second"] / row["measured_peak_flops_per_second"])
    )
    assert answer.err.startswith("measuring sndcgan layer_norm, 8 px")


@pytest.mark.full
def test_the_table_says_where_and_with_what(study):
    answer = study("bench", *TINY)
    assert answer.code == 0, answer.err
    title, head, row, *_ = answer.out.splitlines()
    assert title.startswith(" ".join([cases.device_name("cpu"), *device.instructions()]) + "; ")
    assert f"torch {torch.__version__}; 20" in title
    cells = dict(zip(head.replace("plain images/s", "plain").split()[:6], row.split()[:6], strict=True))
    assert cells == {
        "architecture": "sndcgan",
        "method": "spectral_norm",
        "px": "8",
        "width": "1",
        "batch": "2",
        "n_dis": "1",
    }
    assert "plain: eager PyTorch in float32, with TF32 only in tf32 rows" in answer.out


@pytest.mark.parametrize(
    ("asked", "devices"),
    [({}, ["cpu"] * 9 + ["cuda"] * 6), ({"device": "cpu"}, ["cpu"] * 9), ({"device": "cuda:1"}, ["cuda:1"] * 6)],
)
def test_all_rows_are_those_of_the_table_on_the_devices(monkeypatch, asked, devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cases, "precisions", lambda device: ["float32", "tf32", "bfloat16"])
    assert [case.device for case in bench._cases(asked, all_rows=True)] == devices


@pytest.mark.full
def test_scoring_has_a_row_of_its_own(study, tmp_path):
    answer = study(
        *("bench", "--scoring", "--repeats", 1, "--width", 1, "--batch-size", 2, "--data-dir", tmp_path, "--json")
    )
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)
    expected = {"dataset": "digits", "extractor": "classifier", "scored_images": 10_000, "checkpoint_every": 25}
    assert {name: row[name] for name in expected} == expected
    assert row["share"] == pytest.approx(row["scoring_seconds"] / row["training_seconds"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cuda"], "--device cuda: PyTorch finds no GPU"),
        (["--device", "tpu"], "--device tpu: must be cpu, cuda or cuda:N"),
        (["--precision", "tf32"], "--precision tf32: this CPU does not support it"),
        (["--precision", "bfloat16"], "--precision bfloat16: this CPU does not support it"),
        (["--precision", "float16"], "--precision float16: unknown; did you mean bfloat16?"),
        (["--architecture", "resnet"], "--architecture resnet: unknown"),
        (["--architecture", "resnet19", "--resolution", "32"], "--architecture resnet19: 32 px does not fit"),
        (["--method", "spectralnorm"], "--method spectralnorm: unknown; did you mean spectral_norm?"),
        (["--method", "frobenius_norm"], "--method frobenius_norm: there is no plain loop with frobenius_norm"),
        (["--batch-size", "0"], "--batch-size 0: must be 1 or more"),
        (["--n-dis", "0"], "--n-dis 0: must be 1 or more"),
        (["--threads", "0"], "--threads 0: must be 1 or more"),
        (["--pack", "0"], "--pack 0: must be auto, or a whole number from 1"),
        (["--repeats", "0"], "--repeats 0: must be 1 or more"),
        (["--all", "--batch-size", "8"], "--all: measures the rows of the standard table"),
        (["--all", "--scoring"], "--all: measures the rows of the standard table"),
        (["--all", "--device", "cuda:1"], "--device cuda:1: PyTorch finds no GPU"),
        (["--dataset", "digits"], "--dataset: has an effect only with --scoring"),
        (["--extractor-weights", "x.npz"], "--extractor-weights: has an effect only with --scoring"),
        (["--scoring", "--pack", "2"], "--pack: has no effect with --scoring"),
        (["--scoring", "--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
        (["--scoring", "--extractor", "incption"], "--extractor incption: unknown"),
    ],
)
def test_bad_input_is_one_line(study, monkeypatch, arguments, words):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(device, "instructions", lambda: ["avx2"])
    answer = study("bench", *arguments)
    assert answer.code == 2
    assert len(answer.err.strip().splitlines()) == 1
    assert words in answer.err
    assert answer.out == ""
