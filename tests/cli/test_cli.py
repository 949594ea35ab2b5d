"""The commands as a person uses them: what they say, what they leave, and what bad input gets."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study.storage.schema import TRIALS
from study.storage.tables import read_table

Study = Callable[..., object]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def trained(study: Study, tmp_path: Path) -> Path:
    """A results folder with one short trial of `study train`."""
    answer = study(
        "train", "--discriminator-steps", 2, "--results", tmp_path / "results", "--data-dir", tmp_path / "data"
    )
    assert answer.code == 0, answer.err
    return tmp_path / "results"


BAD_PLANS = [
    (["grdi"], ["space grdi: unknown; did you mean grid?"]),
    (["grid", "--dataset", "digit"], ["--dataset digit: unknown; did you mean digits?", "celeba-hq-128"]),
    (["grid", "--dataset", "celebahq"], ["--dataset celebahq", "did you mean celeba-hq-128?"]),
    (["grid", "--dataset", "digits,"], ["--dataset", "digits"]),
    (["grid", "--methods", "spectralnorm"], ["--methods spectralnorm", "did you mean spectral_norm?"]),
    (["grid", "--methods", "gradient_penalty+dragan"], ["two penalties"]),
    (["grid", "--methods", "layer_norm+batch_norm"], ["at most one each"]),
    (["grid", "--methods", "none,"], ["--methods"]),
    (["grid", "--architecture", "resnet"], ["--architecture resnet: unknown", "sndcgan"]),
    (["grid", "--settings", "0"], ["--settings 0: must be 1 or more"]),
    (["grid", "--seeds", "0"], ["--seeds 0: must be 1 or more"]),
    (["grid", "--n-dis", "2"], ["--n-dis 2", "[1, 5]"]),
    (["grid", "--n-dis", "0"], ["--n-dis 0: must be 1 or more"]),
    (["grid", "--discriminator-steps", "0"], ["--discriminator-steps 0", "1 or more"]),
    (["grid", "--settings", "three"], ["--settings", "integer"]),
    (["grid", "--sedes", "3"], ["--sedes", "--seeds"]),
]
BAD_RUNS = [
    (["grid", "--dataset", "celeba-hq-128"], ["not prepared", "study data prepare celeba-hq-128 --source DIR"]),
    (["grid", "--extractor", "inception"], ["--extractor inception", "inception-v3-compat"]),
    (["grid", "--extractor-weights", "no-such-file"], ["--extractor-weights no-such-file: no such file"]),
    (["grid", "--n-real", "601"], ["--n-real 601", "600"]),
    (["grid", "--n-fake", "1"], ["--n-fake 1", "2"]),
    (["grid", "--max-concurrent", "0"], ["--max-concurrent 0: must be 1 or more"]),
    (["grid", "--gpus-per-trial", "64"], ["--gpus-per-trial 64"]),
    (["grid", "--trials-per-gpu", "0"], ["--trials-per-gpu 0: must be from 1 to 100"]),
    (["grid", "--max-failures", "-1"], ["--max-failures -1: must be 0 or more"]),
    (["grid", "--prepare-nodes"], ["--prepare-nodes: needs a cluster", "--address"]),
    ([], ["Missing argument", "space"]),
]
"""Of what `study plan` does not need: images, weights, scores and devices; and it needs no space."""


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [*(("run", *bad) for bad in BAD_PLANS + BAD_RUNS), *(("plan", *bad) for bad in BAD_PLANS)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:50],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    study: Study, tmp_path: Path, command: str, arguments: list[str], words: list[str]
) -> None:
    answer = study(command, *arguments, "--results", tmp_path / "results", "--data-dir", tmp_path / "data")
    assert answer.code == 2
    assert len(answer.err.strip().splitlines()) == 1
    for word in words:
        assert word in answer.err
    assert answer.out == ""
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--beta1", "1"], "beta1 1.0: must be a finite number at least 0 and below 1"),
        (["--beta2", "-0.1"], "beta2 -0.1"),
        (["--learning-rate", "0"], "learning_rate 0.0: must be a finite number above 0"),
        (["--learning-rate", "nan"], "learning_rate nan: must be a finite number"),
        (["--n-dis", "0"], "n_dis 0: must be a whole number, 1 or more"),
        (["--seed", "-1"], "seed -1"),
        (["--penalty", "gradient_penalty"], "gradient_penalty needs a weight"),
        (["--penalty-weight", "1"], "the method has no penalty"),
        (["--penalty", "gp", "--penalty-weight", "1"], "--penalty gp: unknown"),
        (["--loss", "hinges"], "--loss hinges: unknown"),
        (["--normalization", "spectral_norm+spectral_norm"], "each may be named once"),
        (["--normalization", "layer_norm+batch_norm"], "at most one each"),
        (["--dataset", "digits,cifar10", "--architecture", "sndcgan"], "--dataset digits,cifar10: unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_bad_numbers_and_names(study: Study, tmp_path: Path, arguments: list[str], words: str) -> None:
    answer = study("train", *arguments, "--results", tmp_path / "results")
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_train_leaves_a_row_a_generator_and_a_grid_per_checkpoint(study: Study, trained: Path, tmp_path: Path) -> None:
    (row,) = read_table(trained, "trials").to_pylist()
    assert (row["status"], row["final_step"], row["discriminator_steps"]) == ("finished", 2, 2)
    folder = trained / "states" / row["trial_id"][:2] / row["trial_id"]
    assert sorted(path.name for path in folder.iterdir()) == ["generator.pt", "samples-000002.png"]
    assert Image.open(folder / "samples-000002.png").size == (8 * 33 - 1, 8 * 33 - 1)

    again = study("train", "--discriminator-steps", 2, "--results", trained, "--data-dir", tmp_path / "data")
    assert (again.code, "already finished" in again.out) == (0, True)
    assert read_table(trained, "trials").to_pylist() == [row]

    drawn = study("sample", row["trial_id"][:6], "--n", 5, "--results", trained, "--output", tmp_path / "five.png")
    assert drawn.code == 0
    assert Image.open(tmp_path / "five.png").size == (3 * 33 - 1, 2 * 33 - 1)


@pytest.mark.full
def test_the_same_trial_twice_gives_the_same_rows(study: Study, tmp_path: Path) -> None:
    options = ["--normalization", "spectral_norm", "--penalty", "gradient_penalty", "--penalty-weight", 1]
    rows = []
    for name in ("a", "b"):
        answer = study("train", *options, "--discriminator-steps", 3, "--results", tmp_path / name)
        assert answer.code == 0, answer.err
        rows.append([read_table(tmp_path / name, table).to_pylist() for table in ("trials", "evaluations")])
    timing = {"started_at", "finished_at", "training_seconds", "scoring_seconds", "images_per_second"}
    (first, scores), (second, same_scores) = rows
    assert scores == same_scores
    assert {k: v for k, v in first[0].items() if k not in timing} == {
        k: v for k, v in second[0].items() if k not in timing
    }


def test_a_diverging_trial_is_a_row_and_no_failure(study: Study, tmp_path: Path) -> None:
    answer = study("train", "--learning-rate", 1e30, "--discriminator-steps", 5, "--results", tmp_path)
    (row,) = read_table(tmp_path, "trials").to_pylist()
    assert answer.code == 0
    assert row["status"] == "diverged"
    assert "at step" in row["reason"]
    assert row["final_frechet_distance"] is row["best_frechet_distance"] is None
    assert not list(tmp_path.glob("states/*/*/generator.pt"))


def test_a_failing_trial_is_a_row_and_exit_code_3(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error:\nout of memory")

    monkeypatch.setattr("study.worker.execute.train_pack", broken)
    answer = study("train", "--discriminator-steps", 2, "--results", tmp_path)
    (row,) = read_table(tmp_path, "trials").to_pylist()
    assert (answer.code, row["status"], row["reason"]) == (3, "failed", "RuntimeError: CUDA error: out of memory")
    assert "in broken" in next(tmp_path.glob("states/*/*/traceback.txt")).read_text()
    assert "CUDA error" in study("status", "--results", tmp_path).out
    monkeypatch.undo()

    answer = study("train", "--discriminator-steps", 2, "--results", tmp_path)
    (row,) = read_table(tmp_path, "trials").to_pylist()
    assert (answer.code, row["status"]) == (0, "finished")


def test_sample_refuses(study: Study, trained: Path, tmp_path: Path) -> None:
    assert study("sample", "ffff", "--results", trained).code == 2
    assert study("sample", "../..", "--results", trained).code == 2
    (generator,) = trained.glob("states/*/*/generator.pt")
    assert study("sample", generator.parent.name, "--n", 0, "--results", trained).code == 2
    blocked = tmp_path / "file"
    blocked.touch()
    unwritable = study("sample", generator.parent.name, "--results", trained, "--output", blocked / "x.png")
    assert (unwritable.code, len(unwritable.err.splitlines())) == (2, 1)
    generator.write_bytes(generator.read_bytes()[:1000])
    assert "not a readable generator" in study("sample", generator.parent.name, "--results", trained).err


def test_report_on_nothing_and_on_damage_touches_nothing(study: Study, trained: Path, tmp_path: Path) -> None:
    assert study("report", "--results", tmp_path / "none").code == 2
    assert not (tmp_path / "none").exists()
    path = trained / "trials.parquet"
    for content in (path.read_bytes()[:-20], b"", json.dumps({}).encode()):
        path.write_bytes(content)
        before = tree(trained)
        answer = study("report", "--results", trained)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert str(path) in answer.err
        assert tree(trained) == before


@pytest.mark.parametrize("damage", ["truncated", "other schema", "part"])
def test_train_sets_damaged_files_aside_and_goes_on(study: Study, trained: Path, tmp_path: Path, damage: str) -> None:
    path = trained / "trials.parquet"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "other schema":
        pq.write_table(pa.table({"trial_id": [1]}), path)
    else:
        path = trained / "parts" / "ab" / f"{'ab' * 8}-{'0' * 12}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"trial": {')
    content = path.read_bytes()
    answer = study("train", "--discriminator-steps", 2, "--results", trained, "--data-dir", tmp_path / "data")
    assert answer.code == 0
    (aside,) = path.parent.glob(f"{path.name}.damaged-*")
    assert str(aside) in answer.err
    assert aside.read_bytes() == content
    assert len(read_table(trained, "trials")) == 1


def test_other_images_under_the_same_name_are_refused(study: Study, trained: Path, tmp_path: Path) -> None:
    table = read_table(trained, "trials")
    other = table.set_column(table.schema.get_field_index("dataset_sha256"), "dataset_sha256", pa.array(["e" * 64]))
    pq.write_table(other.cast(TRIALS), trained / "trials.parquet")
    answer = study("run", "grid", "--settings", 1, "--results", trained, "--data-dir", tmp_path / "data")
    assert answer.code == 2
    assert "e" * 16 in answer.err
    assert "f3c9c90876e759d8" in answer.err
    assert read_table(trained, "trials").to_pylist()[0]["dataset_sha256"] == "e" * 64


def test_a_folder_that_cannot_be_written(study: Study, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    answer = study("train", "--discriminator-steps", 2, "--results", blocked / "results")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "--results" in answer.err


def test_a_dry_run_counts_and_writes_nothing(study: Study, tmp_path: Path) -> None:
    answer = study("run", "grid", "--dry-run", "--seeds", 2, "--results", tmp_path / "results")
    assert answer.code == 0
    assert "grid on digits: 240 trials, 0 done, 240 to run" in answer.out
    assert not (tmp_path / "results").exists()


def test_status_and_datasets(study: Study, trained: Path, tmp_path: Path) -> None:
    answer = study("status", "--results", trained)
    assert "train on digits: 1 finished, 0 to run" in answer.out
    assert "no run is using this folder" in answer.out
    assert study("status", "--results", tmp_path / "none").code == 2
    listed = study("datasets", "--data-dir", tmp_path / "data")
    assert "digits  (embedded)" in listed.out
    assert "study data prepare celeba-hq-128 --source DIR" in listed.out


def test_every_command_explains_itself_with_an_example(study: Study) -> None:
    for command in (
        "run",
        "plan",
        "train",
        "sample",
        "report",
        "figures",
        "status",
        "datasets",
        "data prepare",
        "data verify",
    ):
        answer = study(*command.split(), "--help")
        assert answer.code == 0
        assert f"study {command}" in answer.out.partition("Example")[2], command


def test_the_version_is_the_packages(study: Study) -> None:
    answer = study("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"gan-study {version('gan-study')}\n", "")


def test_help_answers_without_the_heavy_imports() -> None:
    code = "import sys; from study.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    start = time.monotonic()
    output = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True).stdout
    assert time.monotonic() - start < 30
    assert not {"torch", "ray", "pandas", "numpy", "pyarrow"} & set(output.split())
