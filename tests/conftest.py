"""What tests of several rooms need: the command line in this process, and in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs `study` in this process, which is quick."""
    from study import cli

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), captured.out, captured.err)

    return call


def study_process(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Starts `study` as a person does, with Ray for real."""
    command = [sys.executable, "-m", "study", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, "COLUMNS": "80"}, **{**pipes, **options})  # type: ignore[call-overload]
