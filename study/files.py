"""Files that are whole or not there, whenever their writer is killed: in a folder, or on object storage.

A place is a `Path`, or a `UPath` for an address such as s3://bucket/study. In a folder a file is written under a
temporary name, synced and then put in place; on object storage it is one put, which is as whole.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from upath import UPath


def place(address: str | Path | UPath) -> Path:
    """The absolute path of a folder or file on a disk, or the address of one on object storage."""
    if not isinstance(address, str) or "://" not in address:
        return address if isinstance(address, UPath) else Path(address).absolute()
    return UPath(address, use_listings_cache=False)  # others write there, too


def is_remote(path: Path) -> bool:
    """Whether a place is on object storage."""
    return not isinstance(path, Path)


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process uses, and that no reader takes for a result."""
    return path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")


def replace(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Put what `write` writes in place of what was there, durably, in a folder that is made where it is missing."""
    if is_remote(path):
        with path.open("wb") as file:
            write(file)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            write(file)
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, path: Path) -> None:
    """Put a finished temporary file of the same folder in place of what was there, durably."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def create(path: Path, content: bytes) -> bool:
    """Put a new file in place, durably; False where there was one, which stays.

    On object storage two that come within the same moment may both put theirs, and the later one stays, whole.
    """
    if is_remote(path):
        if path.exists():
            return False
        path.write_bytes(content)
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(content)
        _sync(temporary)
        os.link(temporary, path)  # unlike a rename, fails where the file exists
        _sync(path.parent)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
