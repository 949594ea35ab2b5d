"""The end of commands that run trials, and what they say of a folder that fails: the folder's fault, or another's."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from study.rows import DIVERGED, FAILED, STOPPED
from study.session import FAILED_EXIT, exit_if_failed
from tests.parts import PROTOCOL, leave
from tests.test_status import trial


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
    assert failed.startswith("1 trials failed: ") and missing.startswith("1 trials have no row: ")
