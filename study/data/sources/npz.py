"""NumPy archives of images: x_train, x_test, uint8 [N, H, W, C] or [N, H, W]; with labels, also y_train and y_test."""

import zipfile
from collections.abc import Iterator
from itertools import repeat
from typing import IO, NamedTuple

import numpy as np

from study.core.errors import InputError
from study.data.dataset import SPLITS, ImageRecord, Source, Split

DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError)


class Archive(NamedTuple):
    """An opened archive: path and, for each split, shape (N, H, W, C) and labels, int64 [N] or None."""

    path: str
    shapes: dict[str, tuple[int, int, int, int]]
    labels: dict[str, np.ndarray | None]

    def source(self) -> Source:
        """The source images, read one at a time, because an archive may not fit into memory."""
        splits = {name: Split(n=self.shapes[name][0], records=self._records(name)) for name in SPLITS}
        return Source(splits=splits, provenance={"numpy_archive": True})

    def _records(self, split: str) -> Iterator[ImageRecord]:
        n, *shape = self.shapes[split]
        size = int(np.prod(shape))
        labels = self.labels[split]
        numbers = repeat(None) if labels is None else labels.tolist()
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"x_{split}.npy") as file:
                _header(file)
                for row, label in zip(range(n), numbers, strict=False):
                    pixels = np.frombuffer(_exactly(file, size), np.uint8).reshape(shape)
                    yield ImageRecord(f"x_{split}[{row}]", pixels, label)
        except DAMAGE as error:
            raise _damaged(self.path, error) from error


def open_archive(path: str) -> Archive:
    """Read headers and labels; raises InputError, with the array, if one is missing or has a wrong type or shape."""
    shapes: dict[str, tuple[int, int, int, int]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy") for name in archive.namelist()}
            for split in SPLITS:
                if f"x_{split}" not in present:
                    raise InputError(f"--source {path}: has no array x_{split}; must have x_train and x_test.")
                with archive.open(f"x_{split}.npy") as file:
                    shapes[split] = _shape(path, f"x_{split}", *_header(file))
        with np.load(path, allow_pickle=False) as arrays:
            labels = {split: arrays[f"y_{split}"] if f"y_{split}" in present else None for split in SPLITS}
    except FileNotFoundError as error:
        raise InputError(f"--source {path}: no such file.") from error
    except InputError:
        raise
    except DAMAGE as error:
        raise _damaged(path, error) from error
    if shapes["train"][1:] != shapes["test"][1:]:
        sizes = f"{list(shapes['train'][1:])} and {list(shapes['test'][1:])}"
        raise InputError(f"--source {path}: images of x_train and x_test differ in shape ({sizes}).")
    missing = [f"y_{split}" for split in SPLITS if labels[split] is None]
    if len(missing) == 1:
        raise InputError(f"--source {path}: has no array {missing[0]}; give labels for both splits or for neither.")
    return Archive(path, shapes, {split: _labels(path, split, labels[split], shapes[split][0]) for split in SPLITS})


def _shape(path: str, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> tuple[int, int, int, int]:
    full = shape if len(shape) == 4 else (*shape, 1)
    if dtype != np.uint8 or fortran or len(full) != 4 or full[3] not in (1, 3) or 0 in full:
        raise InputError(
            f"--source {path}: {name} is {dtype} {list(shape)}; must be uint8 [N, H, W, C] in C order, with C 1 or 3."
        )
    return full[0], full[1], full[2], full[3]


def _labels(path: str, split: str, labels: np.ndarray | None, n: int) -> np.ndarray | None:
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.size != n or labels.max() > 1e6 or labels.min() < 0:
        raise InputError(
            f"--source {path}: y_{split} must be {n} whole numbers from 0, is {labels.dtype} {labels.shape}."
        )
    return labels.reshape(n).astype(np.int64)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _exactly(file: IO[bytes], size: int) -> bytes:
    pixels = file.read(size)
    if len(pixels) != size:
        raise EOFError("truncated")
    return pixels


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"--source {path}: not a readable .npz archive ({' '.join(str(error).split())}); make it again.")
