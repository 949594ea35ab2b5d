"""The end of commands that run trials, and what they say of a folder that fails: the folder's fault, or another's."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from study.cli import session
from study.cli.session import FAILED_EXIT, compacting, exit_if_failed, opened
from study.core.errors import InputError
from study.storage.parts import part_path
from study.storage.schema import DIVERGED, FAILED, STOPPED
from study.storage.tables import read_table
from study.training import device
from study.training.bench import limits
from tests.cli.test_status import trial
from tests.parts import PROTOCOL, leave


def planned(*seeds: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(trial=trial(seed), key=(trial(seed).id, PROTOCOL.id)) for seed in seeds]


def test_trials_without_a_row_are_noticed_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(tmp_path, trial(0))
    leave(tmp_path, trial(1), None, status=DIVERGED)
    leave(tmp_path, trial(2), status=STOPPED)
    exit_if_failed(planned(0, 1, 2), tmp_path)
    assert capsys.readouterr().err == ""
    with pytest.raises(typer.Exit) as stopped:
        exit_if_failed(planned(0, 1, 2, 3, 4, 4), tmp_path)
    assert stopped.value.exit_code == FAILED_EXIT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("2 trials have no row: ") and str(tmp_path) in line


def test_failed_and_missing_trials_are_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(tmp_path, trial(0), None, status=FAILED)
    with pytest.raises(typer.Exit):
        exit_if_failed(planned(0, 1), tmp_path)
    failed, missing = capsys.readouterr().err.splitlines()
    assert failed.startswith("1 trial failed: ") and missing.startswith("1 trial has no row: ")


@pytest.mark.parametrize(
    ("number", "name"),
    [(errno.ENOSPC, None), (errno.ESTALE, None), (errno.ENOSPC, "parts/x"), (errno.ENOENT, "parts/x"), (errno.EIO, "")],
)
def test_storage_that_fails_meanwhile_is_told_as_the_folders(tmp_path: Path, number: int, name: str | None) -> None:
    error = OSError(number, "made so", *([] if name is None else [str(tmp_path / name)]))
    with pytest.raises(InputError, match=r"--results .*: cannot be written \(made so\)"), opened(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        FileNotFoundError(errno.ENOENT, "made so", "/data/prepared/digits.npy"),
        OSError(errno.ENOSPC, "made so", "/tmp/ray/session"),
        ConnectionError("refused"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
    ids=str,
)
def test_what_another_place_fails_with_is_not_told_as_the_folders(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)) as raised, opened(tmp_path / "results"):
        raise error
    assert raised.value is error
    assert not (tmp_path / "results").exists()


def test_an_error_of_the_system_is_one_line(study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/ray")

    monkeypatch.setattr("study.cli.show.view.View.open", full)
    answer = study("report", "--results", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "OSError: [Errno 28] No space left on device: '/tmp/ray'\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    command = [sys.executable, "-m", "study", "datasets"]
    writing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writing.stdout and writing.stderr
    writing.stdout.close()
    assert writing.stderr.read() == ""
    assert writing.wait(timeout=60) == 0


def test_a_file_that_is_damaged_while_a_study_runs_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "COMPACT_EVERY", -1)
    said: list[str] = []
    with opened(tmp_path) as folder_lock:
        add = compacting(tmp_path, folder_lock, lambda *_: None, said.append)
        for seed in range(2):
            leave(tmp_path, trial(seed))
        part_path(tmp_path, trial(1).id, PROTOCOL.id).write_text("{")
        add(None, None)
        assert [line.partition(" as ")[0] for line in said] == ["set aside a damaged file"]
        assert read_table(tmp_path, "trials")["trial_id"].to_pylist() == [trial(0).id]
        leave(tmp_path, trial(2))
        part_path(tmp_path, trial(2).id, PROTOCOL.id).write_text("{")
    assert capsys.readouterr().err.startswith("set aside a damaged file as ")
    assert len(list(tmp_path.glob("parts/*/*.damaged-*"))) == 2


@pytest.mark.parametrize("line", ["--precision bfloat16: slower", None])
def test_a_slow_precision_is_told_before_a_run(
    line: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(device, "precisions", lambda target: ["float32", "bfloat16"])
    monkeypatch.setattr(limits, "slower_precision", lambda precision: asked.append(precision) or line)
    session.check_precision("float32", "cpu")
    assert asked == []  # nothing is measured
    session.check_precision("bfloat16", "cuda")
    assert asked == []  # a GPU that has bfloat16 is faster with it
    session.check_precision("bfloat16", "cpu")
    assert asked == ["bfloat16"]
    assert capsys.readouterr().err.splitlines() == [*filter(None, [line])]
