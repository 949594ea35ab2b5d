"""Who uses a results folder: claims with a heartbeat.

A claim is a file of its holder's own that says who holds what, and counts up while the holder lives. Nobody writes in
another's, and a claim stands before its holder looks at those of others, so that of two that come at once one at least
sees the other. This asks nothing of the storage but that what is written is seen, on whatever host.

A holder on this machine is known to be gone when its process is; any other, when its count stands still for longer
than it ever should, which needs no agreement between clocks.
"""

import contextlib
import json
import os
import random
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from study.core.errors import InputError
from study.storage.files import exists, is_remote, listed, read, remove, replace, temporary_name

HEARTBEAT = 2.0
"""Seconds between beats."""
STALE_AFTER = 60.0
"""Seconds without a beat after which a holder on another machine is taken to be gone; storage may be away for less."""
ALL, TABLES = "all trials", "tables"
PREFIX = ".lock-"
_held_here: set[Path] = set()  # what this process claims: a file that could not be removed says so for ever
_beats_seen: dict[Path, tuple[str, float, bool]] = {}  # of other machines: the count, since when, and if it ever moved


@contextlib.contextmanager
def locked(folder: Path, shard: str | None = None) -> Iterator["Claim"]:
    """Hold all trials of a results folder, or those of a shard such as "2/4".

    Raises InputError with the holder's host and process where another run holds trials that may be the same.
    """
    asked, told = time.monotonic(), False
    while (rival := (claim := Claim(folder, ALL if shard is None else f"shard {shard}")).ask()) is not None:
        who = f"process {rival.held.get('pid')} on {rival.held.get('host')}"
        if rival.lives:
            what = f"in use by {who}, for {rival.held['what']}"
            raise InputError(f"--results {folder}: {what}; wait for it, stop it, or choose another folder.")
        if not told and time.monotonic() - asked > 3 * HEARTBEAT:
            print(f"--results {folder}: {who} is silent; it is given {STALE_AFTER:g} s", file=sys.stderr)
            told = True
        time.sleep(HEARTBEAT / 4)
    with claim:
        yield claim


@contextlib.contextmanager
def tables(folder: Path) -> Iterator["Claim"]:
    """Hold the parquet files of a results folder, of which one process at a time makes new ones; waits for others."""
    while (claim := Claim(folder, TABLES)).ask() is not None:
        time.sleep(random.uniform(0.02, 0.2))  # so that two that wait do not come at once for ever
    with claim:
        yield claim


def holders(folder: Path) -> list[dict[str, Any]]:
    """Host, process and `what` of the runs that use the folder, without those that were left behind."""
    deadline = time.monotonic() + 3 * HEARTBEAT
    while True:
        found = [each for each in _claims(folder) if each.held["what"] != TABLES and each.held["holds"]]
        if all(each.lives for each in found) or time.monotonic() > deadline:
            return [{name: each.held.get(name) for name in ("host", "pid", "what")} for each in found if each.lives]
        time.sleep(HEARTBEAT / 4)


class Seen(NamedTuple):
    """A claim that is not known to be left behind; `lives` where its holder is known to live, too."""

    path: Path
    held: dict[str, Any]
    lives: bool


class Claim:
    """A claim of this process; `ask` first, then use it as a context."""

    def __init__(self, folder: Path, what: str) -> None:
        self._path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        self._what = what
        self._held = {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "what": what}
        self._held |= {"started": _process_start(os.getpid())}
        self._holds, self._beat = 0, 0
        self._file: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beats, daemon=True)

    def ask(self) -> Seen | None:
        """Who holds what this claims, and then it is withdrawn; None where nobody does, and from then on this does."""
        self._announce()
        self._thread.start()
        try:
            while rivals := self._rivals():
                for rival in rivals:
                    if rival.held["holds"] or rival.path.name < self._path.name:
                        self._withdraw()
                        return rival
                time.sleep(0.02)  # all others will see this claim and withdraw, or have not seen it and hold
            self._holds = 1
            self._write()
        except BaseException:
            self._withdraw()
            raise
        return None

    def check(self) -> None:
        """Raises InputError where another run took this claim for left behind, and removed it."""
        if not exists(self._path):
            raise InputError(
                f"--results {self._path.parent}: another run has taken it over, since this one gave no sign of life for"
                f" {STALE_AFTER:g} s; this one ends."
            )

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self._withdraw()

    def _rivals(self) -> list[Seen]:
        """Claims of others that cannot be held together with this one; those left behind are removed."""
        found = _claims(self._path.parent, remove)
        return [each for each in found if each.path != self._path and _clash(each.held["what"], self._what)]

    def _announce(self) -> None:
        _held_here.add(self._path)
        if is_remote(self._path):
            replace(self._path, lambda file: file.write(self._content()))
            return
        temporary = temporary_name(self._path)
        self._file = temporary.open("wb", buffering=0)
        try:
            self._file.write(self._content())
            temporary.rename(self._path)
        except OSError:
            self._file.close()
            temporary.unlink(missing_ok=True)
            raise

    def _write(self) -> None:
        """Write in the file itself: once it was removed, no path leads to it, and it does not come back."""
        if self._file is not None:
            os.pwrite(self._file.fileno(), self._content(), 0)
            os.fsync(self._file.fileno())
        elif exists(self._path):
            replace(self._path, lambda file: file.write(self._content()))

    def _content(self) -> bytes:
        """As long at any time, for a reader that comes while it is written over."""
        return json.dumps({**self._held, "holds": self._holds, "beat": f"{self._beat:012}"}).encode()

    def _beats(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self._beat += 1
            with contextlib.suppress(Exception):  # storage that is away for a moment costs a beat, not the study
                self._write()

    def _withdraw(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._file is not None:
            self._file.close()
        _held_here.discard(self._path)
        for pause in (0.2, 1.0, 3.0, 0.0):
            try:
                remove(self._path)
                break
            except OSError:  # others see that this process lives, and would take it for the holder
                time.sleep(pause)


def _clash(one: str, other: str) -> bool:
    """Whether two claims cannot be held at once: shards can where they are different ones of as many."""
    if TABLES in (one, other) or ALL in (one, other):
        return (one == TABLES) == (other == TABLES)
    return one == other or one.partition("/")[2] != other.partition("/")[2]


def _claims(folder: Path, left_behind: Callable[[Path], object] = lambda _: None) -> list[Seen]:
    """All claims but those that were left behind, of which `left_behind` is told."""
    paths = listed(folder, f"{PREFIX}*")
    for gone in [path for path in _beats_seen if path.parent == folder and path not in paths]:
        del _beats_seen[gone]
    found = []
    for path in paths:
        if held := _read(path):
            lives = _lives(path, held)
            if lives is False:
                left_behind(path)
            else:
                found.append(Seen(path, held, bool(lives)))
    return found


def _read(path: Path) -> dict[str, Any] | None:
    """What a claim says; None where it has gone, and where a file is none."""
    for _ in range(3):
        try:
            held = json.loads(read(path))
            return held if {"what", "holds", "beat"} <= held.keys() else None
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError):  # no claim, or one that is being written over
            time.sleep(0.01)
    return None


def _lives(path: Path, held: dict[str, Any]) -> bool | None:
    """Whether a holder lives; None where that is not known yet.

    On this machine its process tells, at once. Elsewhere its count must be seen to move, or to stand still for long:
    nobody waits for that here, since whoever asks again is told then.
    """
    if _is_here(held) and held.get("pid") == os.getpid():
        return path in _held_here
    if _is_here(held):
        return held.get("started") is not None and _process_start(held.get("pid")) == held["started"]
    now = time.monotonic()
    beat, since, moved = _beats_seen.get(path, (held["beat"], now, False))
    if beat != held["beat"]:
        since, moved = now, True
    _beats_seen[path] = (held["beat"], since, moved)
    if now - since > STALE_AFTER:
        return False
    return True if moved else None


def _is_here(held: dict[str, Any]) -> bool:
    return held.get("machine") == _machine()


@cache
def _machine() -> str:
    """Where processes see each other: one boot of one host, and there one container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # where there is no /proc
        return socket.gethostname()


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
