"""Where the Ray that this process starts keeps its files, and the token that its clients need: both are private.

By default Ray shares $TMPDIR/ray with all users of a machine, and keeps the token in the home folder. Neither always
works: a path in the folder of a Slurm job may be too long for a socket, and a service account or a container may have
no home that it can write to.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from study.core.errors import InputError

PREFIX = "gan-study-"
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket in Ray's folder."""
ROOM = 16 * 2**20
"""Bytes of free space that Ray needs for its logs."""
ABANDONED_AFTER = 3600.0
"""Seconds after which a folder whose process was killed is removed."""


def places(environment: Mapping[str, str]) -> list[str]:
    """The folders for temporary files, the preferred one first."""
    named = [environment.get(name) for name in ("RAY_TMPDIR", "TMPDIR")]
    return list(dict.fromkeys([os.path.abspath(name) for name in named if name] + ["/tmp", "/var/tmp"]))  # noqa: PTH100


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user can enter, where Ray can create its sockets; it is removed at the end.

    Raises InputError if none of `places` can hold one.
    """
    refused = []
    for place in places(os.environ):
        try:
            folder = _new_folder(place)
            break
        except (OSError, UnicodeError) as error:
            refused.append(f"{place} ({getattr(error, 'strerror', None) or error})")
    else:
        raise InputError(
            f"TMPDIR: Ray needs a folder for temporary files; cannot use {', '.join(refused)}; set TMPDIR to a writable"
            " folder with a short path."
        )
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # until the end of this process: it tells others that the folder is in use
    _remove_abandoned(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def full(folder: Path, error: OSError) -> InputError | None:
    """The error for the user if Ray failed because the disk with the private folder is full; else None."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return InputError(
        f"RAY_TMPDIR: Ray has no room for its temporary files in {folder.parent} ({error.strerror}); free disk space"
        " there, or set RAY_TMPDIR to another folder. All finished trials are saved."
    )


def _new_folder(place: str) -> Path:
    """A new folder in `place`; raises OSError or UnicodeError if Ray cannot use one there."""
    place.encode("ascii")  # in an ASCII locale Ray cannot use others
    if shutil.disk_usage(place).free < ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(f"{folder}/{'s' * len(SOCKET)}")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _remove_abandoned(new: Path) -> None:
    """Remove the folders of processes that were killed, beside a new one, which tells the time of the file system."""
    now = new.stat().st_mtime
    for folder in new.parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it is in use, gone, or another user's
            if now - folder.stat().st_mtime > ABANDONED_AFTER:
                handle = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(handle)


@cache
def _token() -> str:
    """A token for this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def private_token() -> Iterator[None]:
    """Within the block, a Ray that is started requires a token, $RAY_AUTH_TOKEN if that is set.

    Only Ray's processes know it: they inherit the environment. Without RAY_AUTH_MODE, Ray requires a token.
    """
    before = {name: os.environ.pop(name, None) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ["RAY_AUTH_TOKEN"] = (before["RAY_AUTH_TOKEN"] or "").strip() or _token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
