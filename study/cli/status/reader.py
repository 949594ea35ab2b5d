"""Reads a results folder while a study writes to it; takes no lock and writes nothing."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from study.cli.status.summary import FolderContents
from study.core.errors import InputError
from study.storage import lock
from study.storage.files import DamagedFile
from study.storage.parts import part_paths, read_part
from study.storage.schema import is_open
from study.storage.tables import read_table

ATTEMPTS, PAUSE = 3, 0.1
"""Number of attempts to read a damaged file, and seconds between two of them: another process may be replacing it."""
T = TypeVar("T")
_PART = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}\.json")
_STATE = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}\.pt")


class StorageUnavailable(InputError):  # noqa: N818
    """The storage cannot be read now; a later attempt may succeed."""


class ResultsReader:
    """Reads a results folder repeatedly, each part file once.

    Args:
        folder: the results folder.
        warn: called with one line for each damaged file that is left out, once per file.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        self._parts: dict[tuple[Path, int, int], dict[str, Any] | None] = {}
        self._reported: set[str] = set()

    def read_with_retries(self, every: float) -> FolderContents:
        """Read the folder; if the storage fails, warn once and try again every `every` seconds.

        So a watch of several days survives the restart of a file server.
        """
        warned = False
        while True:
            try:
                return self.read()
            except StorageUnavailable as error:
                if not warned:
                    self._warn(f"{error}; trying again")
                warned = True
            time.sleep(every)

    def read(self) -> FolderContents:
        """Read the folder.

        Parts are read before the tables, and memberships after the trials. So a part that is merged in the meantime is
        seen at least once, and a trial without a membership is never seen.

        Raises:
            StorageUnavailable: the storage fails.
        """
        try:
            return self._read()
        except OSError as error:
            raise StorageUnavailable(
                f"--results {self._folder}: cannot be read now ({error.strerror or error})"
            ) from error

    def _read(self) -> FolderContents:
        parts = self._read_parts()
        trials = {(row["trial_id"], row["protocol_id"]): row for row in self._table("trials")}
        for row in parts:
            merged = trials.get((row["trial_id"], row["protocol_id"]))
            if is_open(merged["status"] if merged else None):
                trials[row["trial_id"], row["protocol_id"]] = row
        return FolderContents(
            trials=list(trials.values()),
            memberships=self._table("memberships"),
            unfinished={match[1] for name in _names(self._folder / "unfinished") if (match := _STATE.fullmatch(name))},
            holders=lock.holders(self._folder),
        )

    def _read_parts(self) -> list[dict[str, Any]]:
        paths = [path for path in part_paths(self._folder) if _PART.fullmatch(path.name)]
        previous, self._parts = self._parts, {}
        for path in paths:
            try:
                key = _version(path)
            except FileNotFoundError:
                continue
            if key in previous:
                self._parts[key] = previous[key]
                continue
            read = self._attempt(partial(read_part, path))
            if read is not None or path.exists():
                self._parts[key] = read and read[0]
        return [row for row in self._parts.values() if row is not None]

    def _table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] | None = self._attempt(lambda: read_table(self._folder, name).to_pylist())
        return rows or []

    def _attempt(self, read: Callable[[], T]) -> T | None:
        """The result of `read`; None if the file is damaged or missing. Raises OSError if the storage fails."""
        for attempt in range(ATTEMPTS):
            try:
                return read()
            except FileNotFoundError:
                return None
            except DamagedFile as error:
                if attempt == ATTEMPTS - 1 and str(error) not in self._reported:
                    self._reported.add(str(error))
                    self._warn(f"left out: {' '.join(str(error).split())}")
            time.sleep(PAUSE)
        return None


def _version(path: Path) -> tuple[Path, int, int]:
    """The version of a part file: after a retry, a new part can have the same name as a merged one."""
    stat = path.stat()
    return path, getattr(stat, "st_mtime_ns", 0), stat.st_size


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
