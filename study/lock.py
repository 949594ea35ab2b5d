"""One driver per results folder: a lock with a heartbeat.

The lock is a file that names its holder and counts up while the holder lives. A holder on this host is known to be
gone when its process is; one on another host, when the count stands still for longer than it ever should, which needs
no agreement between clocks.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    while not _create(path, {**holder, "beat": 0}):
        _remove_if_stale(path)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, holder, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)


def _create(path: Path, content: dict[str, Any]) -> bool:
    temporary = temporary_name(path)
    temporary.write_text(json.dumps(content))
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _beat(path: Path, holder: dict[str, Any], stop: threading.Event) -> None:
    beat = 0
    while not stop.wait(HEARTBEAT):
        beat += 1
        temporary = temporary_name(path)
        with contextlib.suppress(OSError):  # storage that is away for a moment costs a beat, not the study
            temporary.write_text(json.dumps({**holder, "beat": beat}))
            temporary.replace(path)


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
    if held.get("host") == socket.gethostname():
        alive = held.get("started") is not None and _process_start(int(held.get("pid", 0))) == held["started"]
    else:
        alive = _beats(path, held)
    if alive:
        raise InputError(
            f"--results {path.parent}: in use by process {held.get('pid')} on {held.get('host')}; wait for it, stop it, or"
            f" choose another folder."
        )
    aside = temporary_name(path)
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _read(aside) != held:  # somebody was quicker, and this is the new holder's
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _beats(path: Path, held: dict[str, Any]) -> bool:
    """Whether the lock's count moves within STALE_AFTER seconds."""
    deadline = time.monotonic() + STALE_AFTER
    while time.monotonic() < deadline:
        time.sleep(HEARTBEAT / 2)
        now = _read(path)
        if now != held:
            return now is not None
    return False


def _process_start(pid: int) -> str | None:
    """When a process of this host started, in the kernel's ticks; None where it is gone. Tells a reused number apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:  # where there is no /proc
        os.kill(pid, 0)
    except OSError:
        return None
    return "running"
