"""A command that the user interrupts says in one line what is kept and how to go on, and leaves nothing behind."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from study.storage.memberships import add_memberships
from tests.cli.test_status import trial
from tests.conftest import Answer
from tests.parts import leave

SMALL = ("--width", "8", "--batch-size", "8", "--n-real", "64", "--n-fake", "64", "--discriminator-steps", "100000")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """An interrupted command in this process leaves the next interrupt to the system; tests must not."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests in the background ignores it
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(command: tuple[object, ...], begun: Callable[[Path], object], where: Path, presses: int = 1) -> Answer:
    """Start a command like a terminal does, interrupt its process group when it has `begun`, and wait for all ends.

    `begun` gets the file of its standard output and error, which are also returned.
    """
    said = where / "said.txt"
    words = [sys.executable, "-m", "study", *map(str, command)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with (
        said.open("wb") as file,
        subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True, preexec_fn=heard) as process,
    ):
        deadline = time.monotonic() + 120
        while not begun(said):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"exit code {process.wait()} before the interrupt: {said.read_text()}")
            time.sleep(0.02)
        below = psutil.Process(process.pid).children(recursive=True)
        for _ in range(presses):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3 if presses > 1 else 0)
        code = process.wait(timeout=60)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert not alive
    out, _, last = said.read_text().rstrip("\n").rpartition("\n")
    return Answer(code, out, last)


def check(answer: Answer, kept: str, command: tuple[object, ...]) -> None:
    assert answer.code == 130
    assert answer.err == f"Interrupted. {kept}. To continue: {shlex.join(['study', *map(str, command)])}"
    assert "Traceback" not in answer.out


def holds(text: str) -> Callable[[Path], bool]:
    return lambda said: text in said.read_text()


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder of 2,000 images, each of which takes a while to decode."""
    folder = tmp_path / "images" / "one class"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(folder / "0.png", compress_level=1)
    for number in range(1, 2000):
        (folder / f"{number}.png").hardlink_to(folder / "0.png")
    return folder.parent


@pytest.mark.full
def test_train(tmp_path: Path) -> None:
    command = ("train", *SMALL, "--checkpoint-every", "2", "--results", tmp_path / "r")
    answer = interrupt(command, lambda _: list(tmp_path.glob("r/unfinished/[!.]*.pt")), tmp_path)
    check(answer, "The trial continues from its last saved state, if there is one", command)
    assert not list(tmp_path.glob("r/.lock*"))
    assert list(tmp_path.glob("r/unfinished/*.pt"))


def test_data_prepare(tmp_path: Path, slow: Path) -> None:
    command = ("data", "prepare", "mine", "--source", slow, "--resolution", 64, "--data-dir", tmp_path / "d")
    answer = interrupt(command, lambda _: list(tmp_path.glob("d/.mine.partial/train.npy")), tmp_path)
    check(answer, "Nothing was prepared, but a complete download is kept", command)
    assert not list(tmp_path.glob("d/*")) and not list(tmp_path.glob("d/.*"))


def test_status_watch(tmp_path: Path) -> None:
    leave(tmp_path / "r", trial(0))
    add_memberships(tmp_path / "r", "grid", "digits", [trial(seed) for seed in range(2)])
    command = ("status", "--watch", "--results", tmp_path / "r")
    answer = interrupt(command, holds("1/2 trials"), tmp_path)
    check(answer, "The watch ended, and the study goes on as before", command)


def test_report(tmp_path: Path) -> None:
    for seed in range(2):
        leave(tmp_path / "r", trial(seed), space="grid")
    command = ("report", "--results", tmp_path / "r")
    answer = interrupt(command, holds("best setting"), tmp_path)
    check(answer, "The page was not written; a page from before is unchanged", command)
    assert not (tmp_path / "r" / "report").exists()


def test_while_the_command_line_is_loaded(tmp_path: Path) -> None:
    """Whenever an interrupt comes: a slow import is where it comes most often."""
    (tmp_path / "typer.py").write_text("exec('import signal; signal.raise_signal(signal.SIGINT)')\n")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    answer = subprocess.run(
        [sys.executable, "-m", "study", "run", "a b\x1b"], env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 130
    assert answer.stderr == "Interrupted. Nothing was started. To continue: study run 'a b\\x1b'\n"


def test_while_the_options_are_built(study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.main.get_command", lambda _: signal.raise_signal(signal.SIGINT))
    answer = study("datasets")
    check(answer._replace(err=answer.err.rstrip("\n")), "No file was left incomplete", ("datasets",))


IN_PROCESS = {
    "bench": ("study.training.bench.measure.measure", "No measurement is kept"),
    "selfcheck --device cpu": ("study.driver.selfcheck.checks.checks", "No result is kept"),
    "train": ("study.worker.execute.execute", "The trial continues from its last saved state, if there is one"),
    "evaluate --all": ("study.cli.score.evaluate.check_targets", "All scores shown so far are saved"),
    "compare-protocols --all": (
        "study.cli.score.compare_protocols.check_targets",
        "Nothing is written by this command",
    ),
    "sample 12": ("study.storage.tables.statuses", "No image was written"),
    "data baseline digits": ("study.metrics.baseline.split_distance", "Nothing was recorded"),
    "data verify digits": ("study.data.verify", "Nothing is written by this command"),
    "claims": ("analysis.claims.judge", "Nothing is written by this command"),
    "figures": ("analysis.figures.figures", "All figures named so far are complete"),
    "table best": ("analysis.tables.tables", "No file was left incomplete"),
    "export --optuna x.db": ("analysis.rows.load.select", "No file was written"),
    "spaces": ("search_spaces.spaces", "No file was left incomplete"),
}


@pytest.mark.parametrize("raised", ["at once", "amid the handling"])
@pytest.mark.parametrize(("words", "expected"), IN_PROCESS.items(), ids=IN_PROCESS)
def test_other_commands(study, tmp_path, monkeypatch, words: str, expected: tuple[str, str], raised: str) -> None:
    """The signal is real; where it comes is chosen. Some libraries raise an error of their own amid its handling."""
    place, kept = expected

    def stop(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if raised == "at once" or words == "spaces":
                raise
            raise OSError("the library was interrupted") from None

    leave(tmp_path / "r", trial(0))
    monkeypatch.setattr(place, stop)
    monkeypatch.chdir(tmp_path)
    command = (
        *words.split(),
        *([] if words.split()[0] in ("data", "spaces", "bench", "selfcheck", "train") else ["--results", "r"]),
    )
    answer = study(*command)
    check(answer._replace(err=answer.err.splitlines()[-1]), kept, command)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


@pytest.mark.slow
def test_evaluate(tmp_path: Path) -> None:
    train = ("train", *SMALL[:-1], "4", "--results", tmp_path / "r")
    subprocess.run([sys.executable, "-m", "study", *map(str, train)], check=True, capture_output=True)
    command = ("evaluate", "--all", "--n-fake", 100_000, "--results", tmp_path / "r")
    answer = interrupt(command, lambda _: list(tmp_path.glob("r/.lock*")), tmp_path)
    check(answer, "All scores shown so far are saved", command)
    assert not list(tmp_path.glob("r/.lock*"))


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize(
    "words",
    ["run grid --methods none --settings 2 --yes", "bo --methods none --rounds 1 --trials-per-round 2 --yes"],
)
def test_run_and_bo(tmp_path: Path, words: str, presses: int) -> None:
    command = (*words.split(), *SMALL, "--checkpoint-every", "2", "--results", tmp_path / "r")
    answer = interrupt(command, lambda _: list(tmp_path.glob("r/unfinished/[!.]*.pt")), tmp_path, presses)
    assert not list(tmp_path.glob("r/.lock*"))
    if presses == 2 and answer.code == -signal.SIGINT:
        return  # the second one ended a process that had nothing left to do
    check(answer, "All finished trials are saved, and the others continue from their last saved states", command)
    assert re.search(r"about .* on ", answer.out)


@pytest.mark.slow
def test_while_ray_starts(tmp_path: Path) -> None:
    command = ("run", "grid", "--methods", "none", *SMALL, "--results", tmp_path / "r", "--yes")

    def begun(_: Path) -> bool:
        return any("gcs_server" in each.name() for each in psutil.Process().children(recursive=True))

    answer = interrupt(command, begun, tmp_path)
    check(answer, "All finished trials are saved, and the others continue from their last saved states", command)
