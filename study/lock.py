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
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

from study.files import is_remote, temporary_name
from study.names import InputError

HEARTBEAT = 2.0
"""Seconds between beats."""
STALE_AFTER = 60.0
"""Seconds without a beat after which a holder on another machine is taken to be gone; storage may be away for less."""
ALL, TABLES = "all trials", "tables"
PREFIX = ".lock-"
_held_here: set[Path] = set()  # what this process claims: a file that could not be removed says so for ever


@contextlib.contextmanager
def locked(folder: Path, shard: str | None = None) -> Iterator["Claim"]:
    """Hold all trials of a results folder, or those of a shard such as "2/4".

    Raises InputError with the holder's host and process where another run holds trials that may be the same.
    """
    claim = Claim(folder, ALL if shard is None else f"shard {shard}")
    if rival := claim.ask():
        who = f"process {rival.get('pid')} on {rival.get('host')}"
        raise InputError(
            f"--results {folder}: in use by {who}, for {rival['what']}; wait for it, stop it, or choose another folder."
        )
    with claim:
        yield claim


@contextlib.contextmanager
def tables(folder: Path) -> Iterator["Claim"]:
    """Hold the parquet files of a results folder, of which one process at a time makes new ones; waits for others."""
    while (claim := Claim(folder, TABLES)).ask():
        time.sleep(random.uniform(0.02, 0.2))  # so that two that wait do not come at once for ever
    with claim:
        yield claim


def holders(folder: Path) -> list[dict[str, Any]]:
    """Host, process and `what` of the runs that use the folder, without those that were left behind."""
    found = ((path, held) for path, held in _claims(folder) if held["what"] != TABLES and held["holds"])
    alive = (held for path, held in found if _is_alive(path, held, 3 * HEARTBEAT))
    return [{name: held.get(name) for name in ("host", "pid", "what")} for held in alive]


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

    def ask(self) -> dict[str, Any] | None:
        """Who holds what this claims, and then it is withdrawn; None where nobody does, and from then on this does."""
        self._announce()
        self._thread.start()
        try:
            while rivals := self._rivals():
                for path, held in rivals:
                    if held["holds"] or path.name < self._path.name:
                        self._withdraw()
                        return held
                time.sleep(0.02)  # all others will see this claim and withdraw, or have not seen it and hold
            self._holds = 1
            self._write()
        except BaseException:
            self._withdraw()
            raise
        return None

    def check(self) -> None:
        """Raises InputError where another run took this claim for left behind, and removed it."""
        if not self._path.exists():
            raise InputError(
                f"--results {self._path.parent}: another run has taken it over, since this one gave no sign of life for"
                f" {STALE_AFTER:g} s; this one ends."
            )

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self._withdraw()

    def _rivals(self) -> list[tuple[Path, dict[str, Any]]]:
        """Claims of others that live and that cannot be held together with this one; those left behind are removed."""
        rivals = []
        for path, held in _claims(self._path.parent):
            if path == self._path or not _clash(held["what"], self._what):
                continue
            if _is_alive(path, held, 3 * HEARTBEAT) or self._waits_for(path, held):
                rivals.append((path, held))
            else:
                with contextlib.suppress(FileNotFoundError):  # somebody else found it, too
                    path.unlink()
        return rivals

    def _waits_for(self, path: Path, held: dict[str, Any]) -> bool:
        """Whether one that is silent lives after all."""
        if not _is_here(held):
            silent = f"process {held.get('pid')} on {held.get('host')} is silent"
            print(f"--results {path.parent}: {silent}; it is given {STALE_AFTER:g} s", file=sys.stderr)
        return _is_alive(path, held, STALE_AFTER)

    def _announce(self) -> None:
        _held_here.add(self._path)
        if is_remote(self._path):
            self._path.write_bytes(self._content())
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
        elif self._path.exists():
            self._path.write_bytes(self._content())

    def _content(self) -> bytes:
        """As long at any time, for a reader that comes while it is written over."""
        return json.dumps({**self._held, "holds": self._holds, "beat": f"{self._beat:012}"}).encode()

    def _beats(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            self._beat += 1
            with contextlib.suppress(OSError):  # storage that is away for a moment costs a beat, not the study
                self._write()

    def _withdraw(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._file is not None:
            self._file.close()
        _held_here.discard(self._path)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _clash(one: str, other: str) -> bool:
    """Whether two claims cannot be held at once: shards can where they are different ones of as many."""
    if TABLES in (one, other) or ALL in (one, other):
        return (one == TABLES) == (other == TABLES)
    return one == other or one.partition("/")[2] != other.partition("/")[2]


def _claims(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob(f"{PREFIX}*")):
        if held := _read(path):
            yield path, held


def _read(path: Path) -> dict[str, Any] | None:
    """What a claim says; None where it has gone, and where a file is none."""
    for _ in range(3):
        try:
            held = json.loads(path.read_bytes())
            return held if {"what", "holds", "beat"} <= held.keys() else None
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError):  # no claim, or one that is being written over
            time.sleep(0.01)
    return None


def _is_alive(path: Path, held: dict[str, Any], patience: float) -> bool:
    """Whether the holder lives: its process, on this machine, or its count, which moves within `patience` seconds."""
    if _is_here(held) and held.get("pid") == os.getpid():
        return path in _held_here
    if _is_here(held):
        return held.get("started") is not None and _process_start(held.get("pid")) == held["started"]
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        time.sleep(HEARTBEAT / 4)
        now = _read(path)
        if now is None or now["beat"] != held["beat"]:
            return now is not None
    return False


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
