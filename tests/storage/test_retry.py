"""A disk that fills up while trials run, for real: none fails by it, and the study goes on or stops in order."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import study.driver.planning.plan
import study.storage.retry
from study.core.errors import InputError, StudyStops
from study.storage.retry import write_with_retry
from study.storage.tables import read_table
from study.worker.checkpoint import _save
from tests.parts import OWN

RUN = ("run", "grid", "--methods", "none", "--settings", 3, "--discriminator-steps", 30)
RUN = (*RUN, "--n-real", 64, "--n-fake", 64)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Sets the seconds that workers wait."""
    whole = study.driver.planning.plan.make_context

    def set_to(seconds: float) -> None:
        def make(*arguments: object) -> object:
            context, shape = whole(*arguments)  # type: ignore[arg-type]
            return replace(context, patience=seconds), shape

        monkeypatch.setattr(study.driver.planning.plan, "make_context", make)

    return set_to


def fill(folder: Path) -> Path:
    """Take all that is left of a file system; returns the file that holds it."""
    path = folder / "filling"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def when_a_trial_runs(
    folder: Path, spoil: Callable[[], object], mend: Callable[[], object], after: float | None, done: list[str]
) -> threading.Thread:
    """Spoil the disk, and mend it so many seconds later, or not; notes in `done` what it did.

    In a thread, so that the study can run in this one.
    """

    def work() -> None:
        deadline = time.monotonic() + 120
        while not list(folder.glob("results/unfinished/[!.]*.pt")) and time.monotonic() < deadline:
            time.sleep(0.005)
        spoil()
        done.append("spoilt")
        if after is not None:
            time.sleep(after)
            mend()
            done.append("mended")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def rows(folder: Path) -> dict[str, dict[str, object]]:
    return {row["trial_id"]: row for row in read_table(folder, "trials").to_pylist()}


def same_as_undisturbed(study, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert study(*RUN, "--results", tmp_path / "whole").code == 0
    found, whole = rows(folder), rows(tmp_path / "whole")
    assert found.keys() == whole.keys() and len(whole) == 3
    for trial_id, row in whole.items():
        assert {k: v for k, v in row.items() if k not in OWN} == {
            k: v for k, v in found[trial_id].items() if k not in OWN
        }
    order = [("trial_id", "ascending"), ("discriminator_step", "ascending")]
    one, other = (read_table(each, "evaluations").sort_by(order) for each in (folder, tmp_path / "whole"))
    assert one == other


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_is_waited_for(study, disk: Path, patience, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    patience(120)
    done: list[str] = []
    thread = when_a_trial_runs(disk, lambda: fill(disk), (disk / "filling").unlink, 8, done)
    answer = study(*RUN, "--results", disk / "results")
    thread.join()
    assert done == ["spoilt", "mended"]
    assert answer.code == 0, answer.err
    assert answer.out.count("results cannot be written (No space left on device); waiting") == 1
    assert {row["status"] for row in rows(disk / "results").values()} == {"finished"}
    same_as_undisturbed(study, disk / "results", tmp_path)


@pytest.mark.slow
def test_a_disk_that_stays_full_stops_the_study_and_no_trial_fails(  # type: ignore[no-untyped-def]
    study, disk: Path, patience, tmp_path: Path
) -> None:
    patience(3)
    done: list[str] = []
    thread = when_a_trial_runs(disk, lambda: fill(disk), (disk / "filling").unlink, None, done)
    answer = study(*RUN, "--results", disk / "results")
    thread.join()
    assert answer.code == 2
    assert answer.err.startswith(f"--results {disk / 'results'}: cannot be written (No space left on device); ")
    assert "the same command continues from there" in answer.err and answer.err.count("\n") == 1
    assert "failed" not in answer.out
    (disk / "filling").unlink()
    assert list(disk.glob("results/unfinished/[!.]*.pt"))
    again = study(*RUN, "--results", disk / "results")
    assert again.code == 0, again.err
    assert {row["status"] for row in rows(disk / "results").values()} == {"finished"}
    same_as_undisturbed(study, disk / "results", tmp_path)


@pytest.mark.slow
def test_a_folder_that_is_read_only_is_refused_before_anything_runs(study, disk: Path) -> None:  # type: ignore[no-untyped-def]
    remount(disk, "ro")
    for results in (disk, disk / "results"):
        answer = study(*RUN, "--results", results)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"--results {results}: cannot be written (Read-only file system); ")
        assert answer.err.count("\n") == 1
    assert list(disk.iterdir()) == []


STALL = 60


@pytest.fixture
def freezer(tmp_path: Path) -> Iterator[Path]:
    """A file system that can be made to hang: whoever writes to it waits."""
    folder, image = tmp_path / "disk", tmp_path / "image"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * 1024**2)
    made = [["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(folder)]]
    if os.geteuid() or any(subprocess.run(command).returncode for command in made):
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["fsfreeze", "-u", str(folder)], stderr=subprocess.DEVNULL)
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_for_a_while_is_waited_for(  # type: ignore[no-untyped-def]
    study, freezer: Path, patience, tmp_path: Path
) -> None:
    patience(120)
    done: list[str] = []

    def change(how: str) -> None:
        subprocess.run(["chattr", "-R", "-f", how, str(freezer / "results")])

    thread = when_a_trial_runs(freezer, lambda: change("+i"), lambda: change("-i"), 8, done)
    answer = study(*RUN, "--results", freezer / "results")
    thread.join()
    assert done == ["spoilt", "mended"]
    assert answer.code == 0, answer.err
    assert answer.out.count("results cannot be written (Operation not permitted); waiting") == 1
    same_as_undisturbed(study, freezer / "results", tmp_path)


@pytest.mark.slow
def test_storage_that_hangs_for_a_minute_costs_a_minute(study, freezer: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done: list[str] = []

    def freeze(how: str) -> None:
        subprocess.run(["fsfreeze", how, str(freezer)], check=True)

    thread = when_a_trial_runs(freezer, lambda: freeze("-f"), lambda: freeze("-u"), STALL, done)
    begun = time.monotonic()
    answer = study(*RUN, "--results", freezer / "results")
    thread.join()
    assert time.monotonic() - begun > STALL
    assert done == ["spoilt", "mended"]
    assert answer.code == 0, answer.err
    assert "tried again" not in answer.out and "waiting" not in answer.out
    same_as_undisturbed(study, freezer / "results", tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.storage.retry, "PAUSES", (0.01, 0.02))


class Failing:
    """A write that fails so often."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error = times, error

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise self.error


FULL = OSError(28, "No space left on device")


@pytest.mark.usefixtures("quick")
def test_a_write_is_repeated_and_a_person_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    write = Failing(3, FULL)
    write_with_retry(write, tmp_path, told.append, 5)
    assert write.left == 0
    assert len(told) == 1 and told[0].startswith("results cannot be written (")


@pytest.mark.usefixtures("quick")
def test_patience_ends_with_one_line(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(StudyStops) as stopped:
        write_with_retry(Failing(10**9, FULL), tmp_path, lambda _: None, 0.3)
    assert 0.3 <= time.monotonic() - begun < 2
    assert isinstance(stopped.value, InputError) and "\n" not in str(stopped.value)
    assert "(No space left on device)" in str(stopped.value)


def test_pauses_double_up_to_the_longest_and_the_last_attempt_is_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("tenacity.nap.time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with pytest.raises(StudyStops):
        write_with_retry(Failing(10**9, FULL), tmp_path, lambda _: None, 100)
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 8.5])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory"), ValueError("x")])
def test_what_is_no_failure_of_storage_is_raised_at_once(tmp_path: Path, error: Exception) -> None:
    told: list[str] = []
    with pytest.raises(type(error), match=str(error)):
        write_with_retry(Failing(1, error), tmp_path, told.append, 5)
    assert told == []


@pytest.mark.slow
def test_the_reason_is_the_systems_though_pytorch_drops_it(disk: Path) -> None:
    import torch

    content = {"tensor": torch.zeros(10**7)}
    with pytest.raises(StudyStops, match="No space left on device"):
        write_with_retry(lambda: _save(disk / "tensor.pt", content), disk, lambda _: None, 0)
    assert list(disk.iterdir()) == []
    assert shutil.disk_usage(disk).total == 8 * 1024**2
