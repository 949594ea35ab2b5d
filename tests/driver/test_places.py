"""Studies through a real Ray where its own places cannot be had, and paths that are not text in the locale."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from study.driver.scheduler import ray_cluster, ray_session
from study.storage.tables import read_table
from tests.conftest import study_process
from tests.driver.cluster import ROOT

TINY = ("run", "grid", "--methods", "none", "--n-dis", "1", "--settings", "1", "--discriminator-steps", "4")
TINY += ("--n-real", "100", "--n-fake", "100", "--metrics", "none")
NAMED = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
USER = 12345
REACHABLE = """
for folder in "$@"; do [ "$folder" = -- ] && break; shift
    hidden=$(dirname "$folder")
    mkdir -p "$SPARE/0"; mount --bind "$folder" "$SPARE/0"; mount -t tmpfs -o mode=0755 none "$hidden"
    mkdir "$folder"; mount --bind "$SPARE/0" "$folder"; umount "$SPARE/0"
done
shift
"""
"""Hides all of a folder that others cannot enter, except for the one where Python is."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all users can write to."""
    path = Path(tempfile.mkdtemp(prefix="places", dir="/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def run(*arguments: str, before: tuple[str, ...] = (), **variables: str | None) -> subprocess.CompletedProcess[str]:
    """A command, with variables set or, if None, not set."""
    environment = {name: value for name, value in {**os.environ, **NAMED, **variables}.items() if value is not None}
    command = [*before, sys.executable, "-m", "study", *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, errors="replace")


def succeeded(answer: subprocess.CompletedProcess[str], results: Path) -> None:
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [row["status"] for row in read_table(results, "trials").to_pylist()] == ["finished"]


def namespace(script: str, *arguments: str) -> tuple[str, ...]:
    """What is put before a command for which file systems are mounted differently."""
    apart = ("unshare", "--mount", "--propagation", "private")
    within = (*apart, "bash", "-ec", f'{script}\nexec "$@"', "bash", *arguments)
    if os.geteuid() or subprocess.run([*within, "true"]).returncode:
        pytest.skip("no file system can be mounted here")
    return within


def closed_above(path: Path) -> list[str]:
    """The part of a path below the first folder that other users cannot enter; empty if they can enter all."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return [str(parent / path.relative_to(parent).parts[0])]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/nonexistent", "/", "closed"])
def test_a_user_without_a_home_can_run_a_study(folder: Path, home: str | None) -> None:
    (folder / "closed").mkdir(mode=0o700)
    home = str(folder / home) if home == "closed" else home
    closed = closed_above(Path(sys.base_prefix).resolve())
    before = namespace(f"SPARE={folder}{REACHABLE}", *closed, "--")
    before += ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups")
    answer = run(*TINY, "--results", str(folder / "results"), before=before, HOME=home, TMPDIR=str(folder))
    succeeded(answer, folder / "results")
    assert (folder / "results" / "trials.parquet").stat().st_uid == USER
    assert not list(folder.glob(f"{ray_session.PREFIX}*"))
    assert run("datasets", before=before, HOME=home).returncode == 0


READ_ONLY = "for each in {0} /dev/shm; do mount --bind $each $each; done; "
READ_ONLY += "for each in / /dev/shm; do mount -o remount,ro,bind $each; done"
"""Of the mounts alone, by `bind`: otherwise the file systems would become read-only for the whole machine."""


@pytest.mark.slow
def test_a_study_needs_only_its_results_and_a_folder_for_temporary_files(folder: Path) -> None:
    results = folder / "results"
    results.mkdir()
    before = namespace(f"{READ_ONLY.format(results)}; mount -t tmpfs none /var/tmp")
    succeeded(run(*TINY, "--results", str(results), before=before), results)


@pytest.mark.slow
def test_without_any_folder_for_temporary_files_the_remedy_is_one_line(folder: Path) -> None:
    results = folder / "results"
    results.mkdir()
    answer = run(*TINY, "--results", str(results), before=namespace(READ_ONLY.format(results)), TMPDIR=None)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith("TMPDIR: Ray needs a folder for temporary files; cannot use /tmp (Read-only file system), ")
    assert line.endswith("set TMPDIR to a writable folder with a short path.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("results", "variables"),
    [("r\udce9s", {"LC_ALL": "C"}), ("résü", ASCII), ("r\udce9s", {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"})],
)
def test_results_may_have_any_path_in_any_locale_and_temporary_files_a_long_one(
    folder: Path, results: str, variables: dict[str, str]
) -> None:
    long = folder / ("x" * 120)
    long.mkdir()
    succeeded(run(*TINY, "--results", str(folder / results), TMPDIR=str(long), **variables), folder / results)
    answer = run("report", "--results", str(folder / results), **variables)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_asked_to_end_says_so_and_leaves_nothing_behind(folder: Path, number: int) -> None:
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # who started the tests in the background ignores it
    long = [*TINY, "--discriminator-steps", 20_000, "--checkpoint-every", 100, "--results", folder / "results", "--yes"]
    process = study_process(*long, cwd="/", preexec_fn=heard, env={**os.environ, **NAMED, "TMPDIR": str(folder)})
    deadline = time.monotonic() + 200
    while not list(folder.glob("results/unfinished/[!.]*.pt")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert said == "Interrupted. All finished trials are saved; run the same command again to continue.\n"
    assert not list(folder.glob("results/.*")) and not list(folder.glob(f"{ray_session.PREFIX}*"))


@pytest.mark.slow
def test_a_current_folder_that_ray_cannot_name_is_one_line(folder: Path) -> None:
    strange = folder / "r\udce9s"
    strange.mkdir()
    command = ("bash", "-c", f'cd {folder}/r*s && exec "$@"', "bash")
    answer = run(*TINY, "--results", str(folder / "results"), before=command)
    assert answer.returncode == 2
    assert answer.stderr.startswith("the current folder: Ray cannot use its path, which is not text in the encoding ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.slow
def test_an_address_where_something_else_listens_is_one_line_soon(folder: Path) -> None:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    other = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert other.stdout
        address = f"127.0.0.1:{other.stdout.readline().split()[5]}"
        begun = time.monotonic()
        answer = run(*TINY, "--results", str(folder / "results"), "--address", address)
    finally:
        other.kill()
    assert answer.returncode == 2 and time.monotonic() - begun < 200
    assert answer.stderr.splitlines()[-1].startswith(f"--address {address}: no Ray cluster answers (")
    assert "Traceback" not in answer.stderr


def test_an_error_of_ray_is_shown_with_its_type_and_not_blamed_on_an_address() -> None:
    failed = r"^Ray does not start on this machine \(ValueError: temp_dir must be absolute"
    with ray_session.private_token(), pytest.raises(OSError, match=failed):
        ray_cluster._start(Path("relative"))
