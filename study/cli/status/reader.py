"""Reads a results folder that others write meanwhile; takes no lock and writes nothing."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from study.cli.status.summary import Found
from study.core.errors import InputError
from study.storage import lock
from study.storage.files import DamagedFile
from study.storage.parts import part_paths, read_part
from study.storage.schema import is_open
from study.storage.tables import read_table

ATTEMPTS, BETWEEN = 3, 0.1
"""How often a file is read that cannot be, and the seconds in between: on shared storage it may just be replaced."""
_PART = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}\.json")
_STATE = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}\.pt")


class NotNow(InputError):  # noqa: N818
    """The storage cannot be read at present; that of a moment later may be."""


class Reader:
    """Reads a folder again and again; `say` is told once of each file that is damaged and left out."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._parts: dict[tuple[Path, int, int], dict[str, Any] | None] = {}
        self._told: set[str] = set()

    def read_at_last(self, every: float) -> Found:
        """What is there once it can be read, looked for again each `every` seconds; `say` is told once that it cannot.

        Who watches for days outlives the restart of a file server.
        """
        told = False
        while True:
            try:
                return self.read()
            except NotNow as error:
                if not told:
                    self._say(f"{error}; looking again")
                told = True
            time.sleep(every)

    def read(self) -> Found:
        """What is there now; raises NotNow where the storage fails.

        Parts before tables, and memberships last: what is merged meanwhile stands in both, what is begun in neither.
        """
        try:
            return self._read()
        except OSError as error:
            raise NotNow(f"--results {self._folder}: cannot be read now ({error.strerror or error})") from error

    def _read(self) -> Found:
        parts = self._read_parts()
        trials = {(row["trial_id"], row["protocol_id"]): row for row in self._table("trials")}
        for row in parts:
            known = trials.get((row["trial_id"], row["protocol_id"]))
            if is_open(known["status"] if known else None):
                trials[row["trial_id"], row["protocol_id"]] = row
        return Found(
            trials=list(trials.values()),
            memberships=self._table("memberships"),
            unfinished={match[1] for name in _names(self._folder / "unfinished") if (match := _STATE.fullmatch(name))},
            holders=lock.holders(self._folder),
        )

    def _read_parts(self) -> list[dict[str, Any]]:
        paths = [path for path in part_paths(self._folder) if _PART.fullmatch(path.name)]
        before, self._parts = self._parts, {}
        for path in paths:
            try:
                key = _version(path)
            except FileNotFoundError:
                continue
            if key in before:
                self._parts[key] = before[key]
                continue
            read = self._attempt(partial(read_part, path))
            if read is not None or path.exists():
                self._parts[key] = read and read[0]
        return [row for row in self._parts.values() if row is not None]

    def _table(self, name: str) -> list[dict[str, Any]]:
        read: list[dict[str, Any]] | None = self._attempt(lambda: read_table(self._folder, name).to_pylist())
        return read or []

    def _attempt(self, read: Callable[[], Any]) -> Any:
        """What `read` gives; None where that is damaged, or has gone; raises OSError where the storage fails."""
        for attempt in range(ATTEMPTS):
            try:
                return read()
            except FileNotFoundError:
                return None
            except DamagedFile as error:
                if attempt == ATTEMPTS - 1 and str(error) not in self._told:
                    self._told.add(str(error))
                    self._say(f"left out: {' '.join(str(error).split())}")
            time.sleep(BETWEEN)
        return None


def _version(path: Path) -> tuple[Path, int, int]:
    """What changes with a part: after a retry, another may have the name of one that was merged."""
    found = path.stat()
    return path, getattr(found, "st_mtime_ns", 0), found.st_size


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
