"""One driver per results folder: a lock with a heartbeat.

The lock is a file that names its holder and counts up while the holder lives. A holder on this host is known to be
gone when its process is; one on another host, when the count stands still for longer than it ever should, which needs
no agreement between clocks.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from study.names import InputError
from study.results import temporary_name

HEARTBEAT = 2.0
"""Seconds between beats."""
STALE_AFTER = 15.0
"""Seconds without a beat after which a holder on another host is taken to be gone."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises InputError with the holder's host and process where another run has it."""
    path = folder / ".lock"
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": _process_start(os.getpid())}
    while (file := _create(path, holder)) is None:
        _remove_if_stale(path)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(file, holder, stop), daemon=True)
    with file:
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            with contextlib.suppress(OSError):
                if _is_at(file, path):
                    path.unlink()


def _create(path: Path, holder: dict[str, Any]) -> IO[bytes] | None:
    """The lock, open for its heartbeat; None where there is one already."""
    temporary = temporary_name(path)
    file = temporary.open("wb")
    try:
        file.write(_content(holder, 0))
        file.flush()
        os.link(temporary, path)  # unlike a rename, fails where the lock exists
    except OSError as error:
        file.close()
        if isinstance(error, FileExistsError):
            return None
        raise
    finally:
        temporary.unlink()
    return file


def _beat(file: IO[bytes], holder: dict[str, Any], stop: threading.Event) -> None:
    """Count up in the file itself: once it was taken over, no path leads to it, and the new holder is not disturbed."""
    beat = 0
    while not stop.wait(HEARTBEAT):
        beat += 1
        with contextlib.suppress(OSError):  # storage that is away for a moment costs a beat, not the study
            os.pwrite(file.fileno(), _content(holder, beat), 0)
            os.fsync(file.fileno())


def _content(holder: dict[str, Any], beat: int) -> bytes:
    return json.dumps({**holder, "beat": beat}).encode()


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether `path` still leads to this file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> dict[str, Any] | None:
    """Who holds the lock; None where it has gone; a file that is no lock names nobody."""
    try:
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _remove_if_stale(path: Path) -> None:
    """Remove a lock whose holder is gone; raises InputError where it is not."""
    held = _read(path)
    if held is None:
        return
    if _is_alive(path, held):
        raise InputError(
            f"--results {path.parent}: in use by process {held.get('pid')} on {held.get('host')}; wait for it, stop it,"
            " or choose another folder."
        )
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        with contextlib.suppress(OSError):  # where there is no flock, two that come within microseconds may both win
            fcntl.flock(file, fcntl.LOCK_EX)
        if _read(path) == held and _is_at(file, path):  # else somebody was quicker, and this is the new holder's
            path.unlink()


def holder(folder: Path) -> dict[str, Any] | None:
    """Host and process of the run that uses the folder; None where there is none, or only a lock left behind."""
    held = _read(folder / ".lock")
    return held if held is not None and _is_alive(folder / ".lock", held) else None


def _is_alive(path: Path, held: dict[str, Any]) -> bool:
    if held.get("host") == socket.gethostname():
        return held.get("started") is not None and _process_start(held.get("pid")) == held["started"]
    return _beats(path, held)


def _beats(path: Path, held: dict[str, Any]) -> bool:
    """Whether the lock's count moves within STALE_AFTER seconds."""
    deadline = time.monotonic() + STALE_AFTER
    while time.monotonic() < deadline:
        time.sleep(HEARTBEAT / 2)
        now = _read(path)
        if now != held:
            return now is not None
    return False


def _process_start(pid: Any) -> str | None:
    """When a process started, in the kernel's ticks, which tells a reused number apart; None where it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]  # a zombie has ended, and waits for its parent to hear of it
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return None
    try:  # where there is no /proc
        os.kill(int(pid), 0)
    except (OSError, ValueError, TypeError):
        return None
    return "running"
