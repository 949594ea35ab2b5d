"""Where a Ray that a study starts keeps its files, and its token."""

import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ray import tune

from study.cli.session import opened
from study.core.errors import InputError
from study.driver.resources import Slots
from study.driver.scheduler import launch, ray_session
from study.driver.scheduler.ray_session import SOCKET, private_folder, private_token
from study.driver.scheduler.work import FixedWork

KILLED = (
    "import os, signal\n"
    "from study.driver.scheduler.ray_session import private_folder\n"
    "with private_folder() as folder:\n"
    "    print(folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def inside(path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "TMPDIR") -> Path:
    """The parent of the folder that is made if `path` is preferred."""
    monkeypatch.setenv(name, str(path))
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700 and folder.stat().st_uid == os.geteuid()
        with socket.socket(socket.AF_UNIX) as probe:
            (folder / SOCKET).parent.mkdir(parents=True)
            probe.bind(str(folder / SOCKET))
    assert not folder.exists()
    return folder.parent


def test_the_folder_is_where_temporary_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as short:
        spaced = Path(short, "a b")
        spaced.mkdir()
        assert inside(spaced, monkeypatch) == spaced
        assert inside(Path(short), monkeypatch, "RAY_TMPDIR") == Path(short)  # Ray's own variable goes first


@pytest.mark.parametrize("name", ["x" * 100, "ü", "\udce9", "missing", "a file"])
def test_a_place_that_ray_cannot_use_is_passed_over(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as short:
        path = Path(short, name)
        if name == "a file":
            path.touch()
        elif name != "missing":
            path.mkdir()
        assert inside(path, monkeypatch) in (Path("/tmp"), Path("/var/tmp"))
        assert not path.is_dir() or not list(path.iterdir())


def test_a_full_disk_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "ROOM", 2**62)
    with pytest.raises(InputError, match=r"^TMPDIR: .* /tmp \(No space left on device\), .*; set TMPDIR to a writable"):
        private_folder().__enter__()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), InputError),
        (ConnectionError("refused"), ConnectionError),
    ],
    ids=str,
)
def test_a_disk_that_is_full_while_trials_run_is_told_as_that_of_ray(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError, told: type[Exception]
) -> None:
    def fit(_: tune.Tuner) -> None:
        raise error

    monkeypatch.setattr(tune.Tuner, "fit", fit)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        with pytest.raises(told) as raised, opened(tmp_path):
            launch.launch(FixedWork([]), Slots(concurrent=1, gpus_per_trial=0), lambda *_: None)
    if told is InputError:
        assert str(raised.value) == (
            f"RAY_TMPDIR: Ray has no room for its temporary files in {place} ({error.strerror}); free disk space there,"
            " or set RAY_TMPDIR to another folder. All finished trials are saved."
        )


def test_the_folder_of_a_killed_process_is_removed_by_a_later_one_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as name:
        place = Path(name)
        monkeypatch.setenv("TMPDIR", name)
        killed = Path(subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True).stdout.strip())
        assert killed.parent == place
        old = time.time() - 2 * ray_session.ABANDONED_AFTER
        with private_folder() as used:
            for folder in (killed, used):
                os.utime(folder, (old, old))
            with private_folder():
                assert used.is_dir() and not killed.exists()


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_folder_is_not_taken_for_abandoned_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, jump: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as name:
        monkeypatch.setenv("TMPDIR", name)
        make = ray_session._new_folder

        def late(place: str) -> Path:
            folder = make(place)
            os.utime(folder, (time.time() + jump,) * 2)
            return folder

        with private_folder() as first:
            monkeypatch.setattr(ray_session, "_new_folder", late)
            with private_folder() as second:
                assert first.is_dir() and second.is_dir()


def test_the_token_is_in_the_environment_within_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with private_token():
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert "RAY_AUTH_MODE" not in os.environ
    assert "RAY_AUTH_TOKEN" not in os.environ and os.environ["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    with private_token():
        assert os.environ["RAY_AUTH_TOKEN"] == "given"
    assert os.environ["RAY_AUTH_TOKEN"] == "given"
