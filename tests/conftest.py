"""What tests of several rooms need: the command line in this process, and in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


def quick_only(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """Cases for `parametrize`: those in `quick` are in the quick tests, the others are marked `full`.

    Raises ValueError if one of `quick` is not among the cases, since it would then be tested nowhere.
    """
    listed, chosen = list(cases), list(quick)
    if missing := [case for case in chosen if case not in listed]:
        raise ValueError(f"not among the cases: {missing}")
    full = [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.full) for case in listed]
    return [case if case in chosen else marked for case, marked in zip(listed, full, strict=True)]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs `study` in this process, which is quick."""
    from study.cli import main

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main.main()
        captured = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), captured.out, captured.err)

    return call


def study_process(*arguments: object, within: Sequence[str] = (), **options: object) -> subprocess.Popen[str]:
    """Starts `study` as a person does, with Ray for real; `within` is put before the command."""
    command = [*within, sys.executable, "-m", "study", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{"env": {**os.environ, "COLUMNS": "80"}, **pipes, **options})  # type: ignore[call-overload]


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_each_process() -> None:
    """PyTorch computes with one thread, since two processes share the cores; this does not reach their children."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread: small tensors only wait for one another, and rounding depends on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Any:
    """The embedded images."""
    from study import data

    return data.load("digits")


@pytest.fixture(scope="module")
def scorer(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Scores images by their pixels, pooled: quick, and with no weights to load."""
    import torch

    from study.metrics.extractors.extractor import Extractor
    from study.metrics.protocols import resolve_protocol
    from study.metrics.scoring import Scorer

    pixels = Extractor(
        name="pixels",
        weights_sha256="1" * 64,
        dimension=16,
        resize="none",
        features=lambda images: torch.nn.functional.avg_pool2d(images, 2).flatten(1).double(),
    )
    protocol = resolve_protocol(digits, pixels, n_real=32, n_fake=32)
    return Scorer.prepare(digits, pixels, protocol, tmp_path_factory.mktemp("statistics"))
