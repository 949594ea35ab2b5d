"""Atomic files: each is complete or absent whenever its writer is killed, in a folder or on object storage.

A location is a `Path`, or a `UPath` for an address such as s3://bucket/study. In a folder, a file is written under a
temporary name, synced to the disk and then renamed; on object storage it is a single put, which is atomic as well.
Whatever a storage library raises arrives here as an OSError.
"""

import contextlib
import errno
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from study.core.errors import InputError, in_one_line

if TYPE_CHECKING:
    from upath import UPath

TRANSIENT_ERRORS = (errno.ESTALE, errno.EBUSY)
"""Errors of a file that was replaced while it was read: on network file systems, and from s3fs."""


class DamagedFile(InputError):  # noqa: N818
    """A file of a results folder that cannot be used; `path` names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; `study run` renames it and continues; or restore it from a copy.")
        self.path = path


def parse_location(address: "str | Path | UPath") -> Path:
    """The absolute path of a folder or file on a disk, or the address of one on object storage.

    Raises InputError if the library for such an address is not installed.
    """
    if not isinstance(address, str):
        return address.absolute() if isinstance(address, Path) else cast(Path, address)
    if "://" not in address:
        return Path(address).absolute()
    if address.startswith("file://"):
        return Path(address.removeprefix("file://")).absolute()
    from upath import UPath  # takes 0.1 s to import, which only such addresses need

    try:
        remote = UPath(address, use_listings_cache=False)  # no cache, because other processes write there, too
        _ = remote.fs
    except (ImportError, ValueError) as error:
        raise InputError(f"{address}: cannot be reached ({str(error).splitlines()[0]}).") from error
    return cast(Path, remote)  # a UPath has the methods of a Path, but is not one


def as_typed(path: Path) -> Path:
    """A path as a user would type it: relative to the current folder if it is inside, else the full path."""
    here = Path.cwd()
    return path.relative_to(here) if not is_remote(path) and path.is_relative_to(here) else path


def is_remote(path: Path) -> bool:
    """Whether a location is on object storage."""
    return not isinstance(path, Path)


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turns whatever the libraries of object storage raise into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        raise OSError(errno.EIO, in_one_line(error), str(path)) from error


def read(path: Path) -> bytes:
    """The complete content of a file at one moment; raises FileNotFoundError if there is none."""
    for last in (False, False, True):
        try:
            with _storage_errors(path):
                return path.read_bytes()
        except OSError as error:
            if last or error.errno not in TRANSIENT_ERRORS:
                raise
        time.sleep(0.1)
    raise AssertionError


def exists(path: Path) -> bool:
    """Whether a file exists; raises OSError if the storage fails."""
    with _storage_errors(path):
        return path.exists()


def list_files(folder: Path, pattern: str) -> list[Path]:
    """The paths in a folder that match a glob pattern, sorted; empty if there is no such folder."""
    with _storage_errors(folder):
        return sorted(folder.glob(pattern))


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    with _storage_errors(path), contextlib.suppress(FileNotFoundError):
        path.unlink()


def temporary_name(path: Path) -> Path:
    """A hidden name in the same folder that no other process uses and that no reader takes for a result."""
    return path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns()}.tmp")


def replace(path: Path, write: Callable[[IO[bytes]], Any], check: Callable[[], None] = lambda: None) -> None:
    """Create or replace a file durably with what `write` writes; missing folders are made.

    `check` is called just before the replacement; if it raises, nothing changes.
    """
    if is_remote(path):
        content = io.BytesIO()
        write(content)
        check()
        with _storage_errors(path):
            path.write_bytes(content.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            write(file)
        move_into_place(temporary, path, check)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path, check: Callable[[], None] = lambda: None) -> None:
    """Rename a complete temporary file to `path`, in the same folder, durably; `check` as in `replace`."""
    _sync(temporary)
    check()
    temporary.replace(path)
    _sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a small file directly, not atomically: a power failure may truncate it. Missing folders are made."""
    with _storage_errors(path):
        if not is_remote(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Create a new file durably; returns False, and leaves the file as it is, if it exists already.

    On object storage, two processes that create the same file at the same moment may both return True; then the
    complete file of the later one remains.
    """
    if is_remote(path):
        if exists(path):
            return False
        with _storage_errors(path):
            path.write_bytes(content)
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(content)
        _sync(temporary)
        os.link(temporary, path)  # unlike a rename, this fails if the file exists
        _sync(path.parent)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sync(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
