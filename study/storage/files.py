"""Files that are whole or not there, whenever their writer is killed: in a folder, or on object storage.

A place is a `Path`, or a `UPath` for an address such as s3://bucket/study. In a folder a file is written under a
temporary name, synced and then put in place; on object storage it is one put, which is as whole. Whatever storage
fails with, of the many kinds that its libraries have, is an OSError here.
"""

import contextlib
import errno
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from upath import UPath

from study.core.errors import InputError

PASSING = (errno.ESTALE, errno.EBUSY)
"""What a file that was replaced while it was read is told by: on network file systems, and by s3fs."""


class DamagedFile(InputError):  # noqa: N818
    """A file of a results folder that cannot be used; `path` names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; `study run` sets it aside and goes on, or restore it from a copy.")
        self.path = path


def place(address: str | Path | UPath) -> Path:
    """The absolute path of a folder or file on a disk, or the address of one on object storage.

    Raises InputError where what reads such addresses is not installed.
    """
    if not isinstance(address, str) or "://" not in address:
        return address if isinstance(address, UPath) else Path(address).absolute()
    if address.startswith("file://"):
        return Path(address.removeprefix("file://")).absolute()
    try:
        remote = UPath(address, use_listings_cache=False)  # others write there, too
        _ = remote.fs
    except (ImportError, ValueError) as error:
        raise InputError(f"{address}: cannot be reached ({str(error).splitlines()[0]}).") from error
    return remote


def as_typed(path: Path) -> Path:
    """A path as one types it here: from the working folder on where it lies there, else the whole of it."""
    here = Path.cwd()
    return path.relative_to(here) if not is_remote(path) and path.is_relative_to(here) else path


def is_remote(path: Path) -> bool:
    """Whether a place is on object storage."""
    return not isinstance(path, Path)


@contextlib.contextmanager
def _asking(path: Path) -> Iterator[None]:
    """What the libraries of object storage raise becomes an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        raise OSError(errno.EIO, " ".join(f"{type(error).__name__}: {error}".split()), str(path)) from error


def read(path: Path) -> bytes:
    """All of a file, as it was at one moment; raises FileNotFoundError where there is none."""
    for last in (False, False, True):
        try:
            with _asking(path):
                return path.read_bytes()
        except OSError as error:
            if last or error.errno not in PASSING:
                raise
        time.sleep(0.1)
    raise AssertionError


def exists(path: Path) -> bool:
    """Whether there is such a file."""
    with _asking(path):
        return path.exists()


def listed(folder: Path, pattern: str) -> list[Path]:
    """The paths in a folder that fit a pattern, sorted; none where there is no folder."""
    with _asking(folder):
        return sorted(folder.glob(pattern))


def remove(path: Path) -> None:
    """Remove a file, which may have gone."""
    with _asking(path), contextlib.suppress(FileNotFoundError):
        path.unlink()


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process uses, and that no reader takes for a result."""
    return path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")


def replace(path: Path, write: Callable[[IO[bytes]], Any], check: Callable[[], None] = lambda: None) -> None:
    """Put what `write` writes in place of what was there, durably, in a folder that is made where it is missing.

    `check` is called at the last moment; what it raises leaves everything as it was.
    """
    if is_remote(path):
        content = io.BytesIO()
        write(content)
        check()
        with _asking(path):
            path.write_bytes(content.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            write(file)
        settle(temporary, path, check)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, path: Path, check: Callable[[], None] = lambda: None) -> None:
    """Put a finished temporary file of the same folder in place of what was there, durably; `check`: as `replace`."""
    _sync(temporary)
    check()
    temporary.replace(path)
    _sync(path.parent)


def put(path: Path, content: bytes) -> None:
    """Write a small file at once, in a folder that is made where it is missing; a loss of power may cut it short."""
    with _asking(path):
        if not is_remote(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Put a new file in place, durably; False where there was one, which stays.

    On object storage two that come within the same moment may both put theirs, and the later one stays, whole.
    """
    if is_remote(path):
        if exists(path):
            return False
        with _asking(path):
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
