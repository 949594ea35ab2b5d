"""Locks on a results folder: one file per process that uses it, with a heartbeat.

Each process writes a lock file of its own, which says what it locks, and increments a counter in it while the process
is alive. No process writes into the file of another, and a process writes its own file before it reads the others: if
two start at the same time, at least one of them sees the other. This needs no more of the storage than that a written
file becomes visible to all hosts.

The holder of a lock counts as dead, if it is on this machine, when its process has ended; if it is on another machine,
when its counter has not changed for `STALE_AFTER` seconds on our clock, so that clocks need not agree.
"""

import contextlib
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple, NotRequired, TypedDict

import psutil

from study.core.errors import InputError
from study.core.output import show_error
from study.storage.files import exists, is_remote, list_files, read, remove, replace, temporary_name

HEARTBEAT = 2.0
"""Seconds between heartbeats."""
STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead; storage may fail for less."""
START_TOLERANCE = 2.0
"""Seconds by which two readings of the start of one process may differ, as the system clock is adjusted."""
ALL, TABLES = "all trials", "tables"
PREFIX = ".lock-"
_held_here: set[Path] = set()  # lock files of this process: one that could not be removed must not hold the folder
_beats_seen: dict[Path, tuple[str, float, bool]] = {}  # other machines: counter, since when, whether it ever changed


class LockContent(TypedDict):
    """The content of a lock file: `holds` is 1 for a held lock and 0 for a request, `beat` counts heartbeats."""

    what: str
    holds: int
    beat: str
    host: NotRequired[str]
    machine: NotRequired[str]
    pid: NotRequired[int]
    started: NotRequired[float | None]


class Holder(TypedDict):
    """A run that uses a results folder: its host, its process id, and the trials that it has locked."""

    host: str | None
    pid: int | None
    what: str


@contextlib.contextmanager
def locked(folder: Path, shard: str | None = None) -> Iterator["FolderLock"]:
    """Lock all trials of a results folder, or those of a shard such as "2/4".

    Raises InputError with the host and process of the holder, if another run has locked trials that may be the same.
    """
    start, warned = time.monotonic(), False
    while (rival := (lock := FolderLock(folder, ALL if shard is None else f"shard {shard}")).acquire()) is not None:
        holder = f"process {rival.content.get('pid')} on {rival.content.get('host')}"
        if rival.is_alive:
            use = f"in use by {holder}, for {rival.content['what']}"
            raise InputError(f"--results {folder}: {use}; wait for it, stop it, or choose another folder.")
        if not warned and time.monotonic() - start > 3 * HEARTBEAT:
            show_error(
                f"--results {folder}: {holder} does not respond; waiting up to {STALE_AFTER:g} s before its lock is"
                " removed",
            )
            warned = True
        time.sleep(HEARTBEAT / 4)
    with lock:
        yield lock


@contextlib.contextmanager
def locked_tables(folder: Path) -> Iterator["FolderLock"]:
    """Lock the parquet files of a results folder, which one process at a time may replace; waits for other holders."""
    while (lock := FolderLock(folder, TABLES)).acquire() is not None:
        time.sleep(random.uniform(0.02, 0.2))  # random, so that two waiting processes do not collide again and again
    with lock:
        yield lock


def holders(folder: Path) -> list[Holder]:
    """The runs that use the folder; dead runs are left out, and nothing is removed."""
    deadline = time.monotonic() + 3 * HEARTBEAT
    while True:
        found = [each for each in _read_locks(folder) if each.content["what"] != TABLES and each.content["holds"]]
        if all(each.is_alive for each in found) or time.monotonic() > deadline:
            alive = [each.content for each in found if each.is_alive]
            return [Holder(host=each.get("host"), pid=each.get("pid"), what=each["what"]) for each in alive]
        time.sleep(HEARTBEAT / 4)


class OtherLock(NamedTuple):
    """A lock file whose holder is not known to be dead; `is_alive` if the holder is known to be alive."""

    path: Path
    content: LockContent
    is_alive: bool


class FolderLock:
    """A lock of this process. Call `acquire` first, then use it as a context manager."""

    def __init__(self, folder: Path, what: str) -> None:
        self._path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        self._what = what
        self._identity = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
        }
        self._holds, self._beat = 0, 0
        self._file: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True)

    def acquire(self) -> OtherLock | None:
        """Try to lock: returns None on success, else the lock that is in the way, after this one is withdrawn."""
        self._announce()
        self._thread.start()
        try:
            while rivals := self._rivals():
                for rival in rivals:
                    if rival.content["holds"] or rival.path.name < self._path.name:
                        self._release()
                        return rival
                time.sleep(0.02)  # the others either see this lock and withdraw, or did not see it and will hold
            self._holds = 1
            self._write()
        except BaseException:
            self._release()
            raise
        return None

    def check(self) -> None:
        """Raises InputError if another run removed this lock because it took this process for dead."""
        if not exists(self._path):
            raise InputError(
                f"--results {self._path.parent}: another run took over this folder because this run did not update its"
                f" lock for {STALE_AFTER:g} s; this run stops."
            )

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _rivals(self) -> list[OtherLock]:
        """Locks of others that exclude this one; removes the lock files of dead holders."""
        found = _read_locks(self._path.parent, remove)
        return [each for each in found if each.path != self._path and _conflict(each.content["what"], self._what)]

    def _announce(self) -> None:
        _held_here.add(self._path)
        if is_remote(self._path):
            replace(self._path, lambda file: file.write(self._encoded()))
            return
        temporary = temporary_name(self._path)
        self._file = temporary.open("wb", buffering=0)
        try:
            self._file.write(self._encoded())
            temporary.rename(self._path)
        except OSError:
            self._file.close()
            temporary.unlink(missing_ok=True)
            raise

    def _write(self) -> None:
        """Write into the open file, not to its path: a lock file that another run removed must not reappear."""
        if self._file is not None:
            os.pwrite(self._file.fileno(), self._encoded(), 0)
            os.fsync(self._file.fileno())
        elif exists(self._path):
            replace(self._path, lambda file: file.write(self._encoded()))

    def _encoded(self) -> bytes:
        """Always of the same length, so that a concurrent reader never sees the rest of a longer version."""
        state = {"what": self._what, "holds": self._holds, "beat": f"{self._beat:012}"}
        return json.dumps({**self._identity, **state}).encode()

    def _send_heartbeats(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self._beat += 1
            with contextlib.suppress(Exception):  # a short failure of the storage costs a heartbeat, not the study
                self._write()

    def _release(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._file is not None:
            self._file.close()
        _held_here.discard(self._path)
        for pause in (0.2, 1.0, 3.0, 0.0):
            try:
                remove(self._path)
                break
            except OSError:  # a lock file that remains would block the folder for as long as this process lives
                time.sleep(pause)


def _conflict(one: str, other: str) -> bool:
    """Whether two locks exclude each other; different shards of the same number of shards do not."""
    if TABLES in (one, other) or ALL in (one, other):
        return (one == TABLES) == (other == TABLES)
    return one == other or one.partition("/")[2] != other.partition("/")[2]


def _read_locks(folder: Path, on_dead: Callable[[Path], object] = lambda _: None) -> list[OtherLock]:
    """All locks whose holders are not known to be dead; calls `on_dead` with the path of each other one."""
    paths = list_files(folder, f"{PREFIX}*")
    for gone in [path for path in _beats_seen if path.parent == folder and path not in paths]:
        del _beats_seen[gone]
    found = []
    for path in paths:
        if content := _read(path):
            alive = _is_alive(path, content)
            if alive is False:
                on_dead(path)
            else:
                found.append(OtherLock(path, content, bool(alive)))
    return found


def _read(path: Path) -> LockContent | None:
    """The content of a lock file; None if the file is gone or is not a lock file."""
    for _ in range(3):
        try:
            content: LockContent = json.loads(read(path))
            return content if {"what", "holds", "beat"} <= content.keys() else None
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError):  # not a lock file, or one that is being written
            time.sleep(0.01)
    return None


def _is_alive(path: Path, content: LockContent) -> bool | None:
    """Whether the holder of a lock is alive; None if that is not known yet.

    On this machine the process table answers at once. On another machine the counter must be seen to change, or not to
    change for `STALE_AFTER` seconds. This function does not wait for that: call it again later.
    """
    if content.get("machine") == _machine():
        if content.get("pid") == os.getpid():
            return path in _held_here
        return _same_start(content.get("started"), _process_start(content.get("pid")))
    now = time.monotonic()
    beat, since, changed = _beats_seen.get(path, (content["beat"], now, False))
    if beat != content["beat"]:
        since, changed = now, True
    _beats_seen[path] = (content["beat"], since, changed)
    if now - since > STALE_AFTER:
        return False
    return True if changed else None


@cache
def _machine() -> str:
    """Identifies the processes that see each other, of a host or a container; unique if /proc shows only others."""
    try:
        boot, shown = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), Path("/proc/self").readlink().name
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}" if shown == str(os.getpid()) else uuid.uuid4().hex
    except OSError:  # a system without /proc
        return socket.gethostname()


def _process_start(pid: object) -> float | None:
    """When a process started, in seconds since the boot, to tell reused process ids apart; None if it has ended.

    Counted from the boot because the start in calendar time changes whenever the system clock is set.
    """
    if not isinstance(pid, int) or pid < 1:
        return None
    try:
        process, boot = psutil.Process(pid), psutil.boot_time()  # psutil 7.0 adds to a start the boot that it read last
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None  # the process has ended, but its parent has not collected its exit status yet
        return float(process.create_time() - boot)
    except (psutil.Error, OverflowError):
        return None


def _same_start(one: object, other: object) -> bool:
    return isinstance(one, int | float) and isinstance(other, float) and abs(one - other) <= START_TOLERANCE
