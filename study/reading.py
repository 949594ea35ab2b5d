"""Reads a results folder that others write meanwhile; takes no lock and writes nothing."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from study import lock
from study.results import DamagedFile, part_paths, read_part, read_table
from study.rows import OPEN
from study.status import Found

ATTEMPTS, BETWEEN = 3, 0.1
"""How often a file is read that cannot be, and the seconds in between: on shared storage it may just be replaced."""
_PART = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}\.json")
_STATE = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}\.pt")


class Reader:
    """Reads a folder again and again; `say` is told once of each file that is damaged and left out."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._parts: dict[Path, dict[str, Any] | None] = {}
        self._told: set[str] = set()

    def read(self) -> Found:
        """What is there now.

        Parts before tables, and memberships last: what is merged meanwhile stands in both, what is begun in neither.
        """
        parts = self._read_parts()
        trials = {(row["trial_id"], row["protocol_id"]): row for row in self._table("trials")}
        for row in parts:
            known = trials.get((row["trial_id"], row["protocol_id"]))
            if known is None or known["status"] in OPEN:
                trials[row["trial_id"], row["protocol_id"]] = row
        return Found(
            trials=list(trials.values()),
            memberships=self._table("memberships"),
            unfinished={match[1] for name in _names(self._folder / "unfinished") if (match := _STATE.fullmatch(name))},
            holders=lock.holders(self._folder),
        )

    def _read_parts(self) -> list[dict[str, Any]]:
        paths = [path for path in part_paths(self._folder) if _PART.fullmatch(path.name)]
        self._parts = {path: self._parts[path] for path in paths if path in self._parts}  # a part never changes
        for path in paths:
            if path not in self._parts:
                read = self._attempt(path, partial(read_part, path))
                if read is not None or path.exists():
                    self._parts[path] = read and read[0]
        return [row for row in self._parts.values() if row is not None]

    def _table(self, name: str) -> list[dict[str, Any]]:
        path = self._folder / f"{name}.parquet"
        read: list[dict[str, Any]] | None = self._attempt(path, lambda: read_table(self._folder, name).to_pylist())
        return read or []

    def _attempt(self, path: Path, read: Callable[[], Any]) -> Any:
        """What `read` gives; None where that is damaged, or has gone."""
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


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
