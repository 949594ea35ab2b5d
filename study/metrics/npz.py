"""Arrays in .npz files that are written atomically and identified by the hash of their bytes."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from study.core.errors import InputError


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], *, keep_existing: bool = False) -> None:
    """Write arrays to `path` through a temporary file in the same folder, so that no reader sees an incomplete file.

    Equal arrays give equal bytes. With `keep_existing`, an existing file stays, and the new arrays are dropped. Raises
    InputError if the folder is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs take any keyword for allow_pickle
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            _publish(Path(file.name), path, keep_existing)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another folder."
        ) from error


def _publish(temporary: Path, path: Path, keep_existing: bool) -> None:
    """Gives the finished file its name, by a second link: the temporary name can then always be removed."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not keep_existing:
            spare = temporary.with_name(f"{temporary.name}.new")
            os.link(temporary, spare)
            spare.replace(path)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file that `write_npz` wrote; raises ValueError if it is truncated or another kind of file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"not a readable .npz file: {error}") from error
