"""NumPy archives of images, uint8 [N, H, W, C] or [N, H, W], with or without labels.

Their arrays are x_train, y_train, x_test, y_test as Keras names them, or train_images, train_labels, val_images, ... as
MedMNIST does; or one array of images named images, x, data, samples or arr_0, which are generated images in the form of
OpenAI's evaluation suite, with labels in labels, y or arr_1.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import numpy as np

from study.core.errors import InputError
from study.core.text import printable
from study.data.dataset import PassedOver
from study.data.sources.pools import (
    ALL,
    FLAT,
    LARGEST_LABEL,
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    Named,
    Opened,
    Pool,
    check_without_folders,
    joined,
    refused,
    unreadable,
)

DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, zlib.error)
WORDS = {TRAIN: ("train",), VALIDATION: ("val", "valid", "validation"), TEST: ("test",)}
FORMS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("images_{}", "labels_{}"))
SINGLE = (("images", "labels"), ("x", "y"), ("data", "labels"), ("samples", "labels"), ("arr_0", "arr_1"))
KIND = "NumPy archive"
Shape = tuple[int, int, int, int]


def open_archive(path: str, layout: str, labels: str) -> Opened:
    """Read headers and labels; raises InputError, with the array, if one is missing or has a wrong type or shape."""
    check_without_folders(KIND, layout, labels)
    shapes: dict[str, Shape] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.removesuffix(".npy"): name for name in archive.namelist()}
            names = _names(path, present)
            for split, (x, _) in names.items():
                with archive.open(present[x]) as file:
                    shapes[split] = _shape(path, x, *_header(file))
        both = " and ".join(x for x, _ in names.values())
        if len({shape[1:] for shape in shapes.values()}) > 1:
            sizes = " and ".join(str(list(shape[1:])) for shape in shapes.values())
            raise refused(path, f"images of {both} differ in shape ({sizes}).")
        wanted = {} if labels == NONE else {split: y for split, (_, y) in names.items() if y in present}
        with np.load(path, allow_pickle=False) as arrays:
            numbers = {split: _labels(path, y, arrays[y], shapes[split][0]) for split, y in wanted.items()}
    except InputError:
        raise
    except DAMAGE as error:
        raise unreadable(path, ".npz archive", error, "make it again") from error
    missing = [y for split, (_, y) in names.items() if split not in numbers]
    if numbers and missing:
        raise refused(path, f"has no array {missing[0]}; give labels for both splits or for neither.")
    used = {name for pair in names.values() for name in pair}
    passed_over = PassedOver()
    for name in sorted(set(present) - used):
        passed_over.add("an array that is neither images nor labels by its name", name)
    pools = {split: _pool(path, x, shapes[split], numbers.get(split)) for split, (x, _) in names.items()}
    if layout == FLAT:
        together = [label for split in pools for label in numbers.get(split, ())]
        pools = {ALL: joined([(pool.n, pool.read) for pool in pools.values()], together or None)}
    return Opened(
        source=printable(path),
        kind=KIND,
        pools=pools,
        labels_from="arrays" if numbers else "",
        shape=next(iter(shapes.values()))[1:],
        passed_over=passed_over,
        provenance={"numpy_archive": True},
    )


def _names(path: str, present: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The names of the arrays of images and of labels by split."""
    for form in FORMS:
        found: dict[str, tuple[str, str]] = {}
        for split, words in WORDS.items():
            for pair in ((form[0].format(word), form[1].format(word)) for word in words):
                if pair[0] in present or pair[1] in present:
                    found[split] = pair
        if found:
            absent = [x for x, _ in found.values() if x not in present]
            absent += [form[0].format(split) for split in (TRAIN, TEST) if split not in found and len(found) < 2]
            if absent:
                both = " and ".join(form[0].format(split) for split in (TRAIN, TEST))
                raise refused(path, f"has no array {absent[0]}; must have {both}.")
            return found
    for x, y in SINGLE:
        if x in present:
            return {ALL: (x, y)}
    seen = ", ".join(map(printable, sorted(present)[:6])) or "none"
    raise refused(path, f"has no array x_train or images; must have x_train and x_test, or images (it has {seen}).")


def _pool(path: str, name: str, shape: Shape, labels: Sequence[int] | None) -> Pool:
    return Pool(n=shape[0], read=lambda places: _read(path, name, shape, places), labels=labels)


def _read(path: str, name: str, shape: Shape, places: Sequence[int]) -> Named:
    """One image at a time, because an array may not fit into memory."""
    size = int(np.prod(shape[1:]))
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            _header(file)
            for row, pixels in _rows(file, size, places):
                yield f"{name}[{row}]", np.frombuffer(pixels, np.uint8).reshape(shape[1:])
            while file.read(1 << 20):  # the checksum is at the end
                pass
    except DAMAGE as error:
        raise unreadable(path, ".npz archive", error, "make it again") from error


def _rows(file: IO[bytes], size: int, places: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    row = 0
    for place in places:
        while row <= place:
            pixels, row = file.read(size), row + 1
            if len(pixels) != size:
                raise EOFError("truncated")
        yield place, pixels


def _shape(path: str, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> Shape:
    full = shape if len(shape) == 4 else (*shape, 1)
    if dtype != np.uint8 or fortran or len(full) != 4 or full[3] not in (1, 3) or 0 in full:
        raise refused(path, f"{name} is {dtype} {list(shape)}; must be uint8 [N, H, W, C] in C order, with C 1 or 3.")
    return full[0], full[1], full[2], full[3]


def _labels(path: str, name: str, labels: np.ndarray, n: int) -> list[int]:
    if labels.dtype.kind not in "iu" or labels.size != n or labels.max() > LARGEST_LABEL or labels.min() < 0:
        raise refused(path, f"{name} must be {n} whole numbers from 0, is {labels.dtype} {labels.shape}.")
    return [int(label) for label in labels.reshape(n)]


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
