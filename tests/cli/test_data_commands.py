"""The data commands as a person uses them."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study import data
from study.metrics.extractors.classifier import Recipe

Study = Callable[..., object]


def pictures(folder: Path, names: list[str], size: int = 32) -> Path:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return pictures(tmp_path / "pets", [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(20)], 20)


def test_a_folder_of_ones_own_from_preparation_to_a_plan_and_a_trial(
    study: Study, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.metrics.extractors.classifier.Recipe", partial(Recipe, steps=5, epochs=1))
    (pets / "cat" / "broken.png").write_text("no image")
    where = ["--data-dir", tmp_path / "data"]
    made = study("data", "prepare", "mine", "--source", pets, "--resolution", 16, "--fit", "crop", *where)
    assert made.code == 0, made.err
    for line in (
        f"prepared: {tmp_path / 'data' / 'mine'}",
        "37 train, 3 test, 16x16 RGB; ",
        "2 classes: cat, dog",
        "read 41 images, 0 used as stored",
        "  cropped: 40 (cropped at the centre)",
        "defaults: sndcgan of width 16, 2,000 D updates, scored every 400 by classifier on 3 images; fit crop",
        "use it: study run grid --dataset mine",
    ):
        assert line in made.out, line
    assert "not an image that Pillow can read: 1 (the first: cat/broken.png)" in made.out

    listed = study("datasets", *where).out
    assert f"mine  (0.0 MB in {tmp_path / 'data'})" in listed and "labelled images, 16x16 RGB" in listed
    checked = study("data", "verify", "mine", *where)
    assert checked.code == 0 and checked.out.startswith("mine: intact; 37 train, 3 test; ")

    results = ["--results", tmp_path / "results", *where]
    planned = study("run", "grid", "--dry-run", "--dataset", "mine", "--settings", 1, *results)
    assert planned.code == 0 and "grid on mine: 7 trials, 0 done, 7 to run" in planned.out, planned.err
    trained = study("train", "--dataset", "mine", "--discriminator-steps", 2, *results)
    assert trained.code == 0 and "FD (classifier)" in trained.out, trained.err


def test_verify_finds_a_changed_pixel(study: Study, pets: Path, tmp_path: Path) -> None:
    data.prepare("mine", pets, tmp_path / "data", resolution=16)
    path = tmp_path / "data" / "mine" / "train.npy"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    answer = study("data", "verify", "mine", "--data-dir", tmp_path / "data")
    assert answer.code == 2 and "train.npy was changed since it was prepared; prepare it again" in answer.err
    labels = tmp_path / "data" / "mine" / "test_labels.npy"
    np.save(labels, 1 - np.load(labels))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert study("data", "verify", "mine", "--data-dir", tmp_path / "data").code == 2
    assert study("data", "verify", "digits").out.startswith("digits: intact; 1,197 train, 600 test; f3c9c90876e759d8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar10"], "--source: missing; give the folder or file of the images, or --download"),
        (["cifar10", "--download", "--source", "x"], "--source x --download: give only one of the two"),
        (
            ["celeba-hq-128", "--download"],
            "celeba-hq-128: no source given; run: study data prepare celeba-hq-128 --source",
        ),
        (["digits", "--source", "x"], "dataset digits: comes with the package"),
        (["mine", "--source", "x"], "dataset mine: unknown. Known: .*--source PATH --resolution R"),
        (["mine", "--source", "x", "--resolution", "big"], "--resolution.*integer"),
        (["mine", "--source", "no-such-folder", "--resolution", "32"], "--source /.*/no-such-folder: no such folder"),
        (["mine", "--download", "--resolution", "32"], "dataset mine: no source given"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    study: Study, tmp_path: Path, arguments: list[str], words: str
) -> None:
    answer = study("data", "prepare", *arguments, "--data-dir", tmp_path / "data")
    assert answer.code == 2 and answer.out == ""
    assert len(answer.err.strip().splitlines()) == 1
    assert re.search(words, answer.err), answer.err
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_a_damaged_dataset_is_listed_as_such(study: Study, pets: Path, tmp_path: Path) -> None:
    data.prepare("mine", pets, tmp_path / "data", resolution=16)
    (tmp_path / "data" / "mine" / "manifest.json").write_text("{")
    listed = study("datasets", "--data-dir", tmp_path / "data")
    assert listed.code == 0 and "mine  (damaged)" in listed.out and "prepare it again" in listed.out


def test_a_bar_with_a_rate_on_a_terminal(tmp_path: Path) -> None:
    source = pictures(tmp_path / "many", [f"{i}.png" for i in range(200)], 8)
    command = [sys.executable, "-m", "study", "data", "prepare", "mine", "--source", source, "--resolution", "8"]
    terminal, theirs = pty.openpty()
    root = Path(data.__file__).parent.parent.parent
    process = subprocess.Popen(
        [*map(str, command), "--data-dir", str(tmp_path / "data")], stdout=theirs, stderr=theirs, cwd=root
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how Linux ends a terminal
        while block := os.read(terminal, 65536):
            said += block
    os.close(terminal)
    assert process.wait() == 0, said
    assert b"preparing" in said and b"200/200" in said and re.search(rb"[\d,]+/s", said), said
    assert b"180 train, 20 test, 8x8 RGB" in said


def test_plain_lines_where_output_is_no_terminal(pets: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study", "data", "prepare", "mine", "--source", pets, "--resolution", "16"]
    command += ["--data-dir", tmp_path / "a folder with a long name" / ("x" * 100)]
    root = Path(data.__file__).parent.parent.parent
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, cwd=root)
    assert done.stderr == "" and "\x1b" not in done.stdout
    assert any(line.endswith("/mine") and "x" * 100 in line for line in done.stdout.splitlines())


def test_the_baseline(study, tmp_path, monkeypatch):
    answer = study("data", "baseline", "digits", "--data-dir", tmp_path)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("digits: FD (classifier) 0.2") and "paper" not in answer.out
    assert "600 test images against 600 of the other split" in answer.out
    other = study("data", "baseline", "digits", "--data-dir", tmp_path, "--protocol", "train-50k")
    assert "1,197 train images against 600 of the other split" in other.out
    monkeypatch.setattr("study.metrics.baseline.PAPER", {"digits": 5.19})
    assert "5.19" not in study("data", "baseline", "digits", "--data-dir", tmp_path).out
    monkeypatch.setattr("study.storage.schema.score_label", lambda *_: "FID")
    assert "paper's value, section 2.5: 5.19" in study("data", "baseline", "digits", "--data-dir", tmp_path).out


def test_the_baseline_on_record(study, tmp_path):
    results = tmp_path / "new" / "results"
    for arguments in ((), (), ("--protocol", "train-50k")):
        answer = study("data", "baseline", "digits", "--data-dir", tmp_path, "--results", results, *arguments)
        assert answer.code == 0, answer.err
        assert f"recorded in {results / 'baselines.json'}" in answer.out
    found = json.loads((results / "baselines.json").read_text())
    assert sorted((one["dataset"], one["split"], one["n_real"], one["n_other"]) for one in found) == [
        ("digits", "test", 600, 600),
        ("digits", "train", 1197, 600),
    ]
    assert {one["feature_precision"] for one in found} == {"float32"}
    answer = study("data", "baseline", "digits", "--data-dir", tmp_path, "--feature-precision", "bfloat16")
    assert answer.out.startswith("digits: FD (classifier, bf16 features) 0.2")
    study_s = next(one for one in found if one["split"] == "test")
    assert study_s["frechet_distance"] == pytest.approx(0.2, abs=0.1)
    assert study_s["extractor"] == "classifier" and len(study_s["weights_sha256"]) == 64
