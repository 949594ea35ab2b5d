"""Folders of images, with or without sub-folders for splits and classes."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from study.core.errors import InputError
from study.data.dataset import SPLITS, Dataset, ImageRecord, Source, Split

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class Listing(NamedTuple):
    """The images of a folder.

    Attributes:
        root: the folder.
        splits: for each split, the images as (path relative to `root`, label or None).
        classes: the names of the labels.
        given: whether the folder has sub-folders for the splits.
    """

    root: str
    splits: Mapping[str, Sequence[tuple[str, int | None]]]
    classes: tuple[str, ...]
    given: bool

    def source(self) -> Source:
        """The source images, which are read one by one."""
        splits = {name: Split(n=len(files), records=self._records(files)) for name, files in self.splits.items()}
        return Source(splits=splits, provenance={"classes": list(self.classes)} if self.classes else {})

    def _records(self, files: Sequence[tuple[str, int | None]]) -> Iterator[ImageRecord]:
        return (ImageRecord(name, os.path.join(self.root, name), label) for name, label in files)  # noqa: PTH118  millions


def open_folder(dataset: Dataset, source: str) -> Source:
    """The images in a folder and its sub-folders, sorted by path; the last ones are the test split."""
    files = image_files(source)
    records = (ImageRecord(name, os.path.join(source, name)) for name in files)  # noqa: PTH118  millions of them
    return train_test_source(records, len(files), dataset.test_fraction, source)


def train_test_source(records: Iterable[ImageRecord], n: int, test_fraction: float, source: str) -> Source:
    """A source with the last `n_test(n, test_fraction)` of `n` records as test split; raises InputError if n < 2.

    Of the 30,000 images of CelebA-HQ, the first 27,000 are for training and the last 3,000 for testing. Section 2.5 of
    the study calls the split random; the released code takes the last 10 of 100 shards (`datasets.py`).
    """
    if n < 2:
        raise InputError(
            f"--source {source}: holds {n or 'no'} image{'s'[n:]}; needs at least one training and one test image."
        )
    records, last = iter(records), n_test(n, test_fraction)
    splits = {"train": Split(n=n - last, records=islice(records, n - last)), "test": Split(n=last, records=records)}
    return Source(splits=splits)


def n_test(n: int, fraction: float) -> int:
    """Size of the test split of `n` images: `fraction` (as a decimal number) of them, rounded down, at least one."""
    return max(1, int(Fraction(str(fraction)) * n))


def image_files(source: str) -> list[str]:
    """The images in the folder `source` and all its sub-folders, as relative paths with forward slashes.

    An image is a file with one of EXTENSIONS, in upper or lower case. Hidden files and folders are ignored, links are
    followed. The paths are sorted by code point, so that their order is the same on every machine.

    Raises InputError if the folder does not exist, is not a folder, is not readable or has no images.
    """
    files: list[str] = []
    seen: set[tuple[int, int]] = set()

    def walk(folder: str, prefix: str) -> None:
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            return  # a link to a folder that was visited already
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        folders = sorted(entry.name for entry in visible if entry.is_dir())
        # A broken link with the name of an image is included here, so that it is counted as a skipped image later.
        files.extend(prefix + e.name for e in visible if e.name.lower().endswith(EXTENSIONS) and not e.is_dir())
        for name in folders:
            walk(os.path.join(folder, name), f"{prefix}{name}/")  # noqa: PTH118

    try:
        walk(source, "")
    except FileNotFoundError as error:
        raise InputError(f"--source {source}: no such folder; give the folder that holds the images.") from error
    except NotADirectoryError as error:
        raise InputError(f"--source {source}: is a file; give the folder that holds the images.") from error
    except OSError as error:
        raise InputError(
            f"--source {error.filename}: cannot be read ({error.strerror}); check its permissions."
        ) from error
    if not files:
        allowed = " ".join(EXTENSIONS)
        raise InputError(f"--source {source}: no images in it or its sub-folders; they must end in one of {allowed}.")
    return sorted(files)


def listing(source: str, test_fraction: float | None) -> Listing:
    """The images of a folder with splits and classes: `train` and `test` are the splits, sub-folders are the classes.

    If `train` and `test` do not both exist, the last images of each class, sorted by path, are the test split.
    `test_fraction` is their share, 0.1 if it is None. A single sub-folder does not count as a class.

    Raises InputError if only some images have a class, if the splits have different classes, if a split has no images,
    or if `test_fraction` is given although the folder has splits.
    """
    files = image_files(source)
    tops = {file.partition("/")[0] for file in files}
    if all((Path(source) / split).is_dir() for split in SPLITS):
        return _split_already(source, files, tops, test_fraction)
    names, labelled = _classes(source, files)
    fraction = 0.1 if test_fraction is None else test_fraction
    train: list[tuple[str, int | None]] = []
    test: list[tuple[str, int | None]] = []
    for label in range(len(names)) if names else [None]:
        own = [file for file in labelled if file[1] == label]
        if len(own) < 2:
            what = f"class {names[label]} has one image" if label is not None else "holds one image"
            raise InputError(f"--source {source}: {what}; needs at least one training and one test image.")
        last = n_test(len(own), fraction)
        train += own[:-last]
        test += own[-last:]
    return Listing(source, {"train": train, "test": test}, names, given=False)


def _split_already(source: str, files: list[str], tops: set[str], test_fraction: float | None) -> Listing:
    if test_fraction is not None:
        raise InputError(
            f"--test-fraction {test_fraction:g}: {source} has its own train and test folders; leave it out."
        )
    if beside := sorted(tops - set(SPLITS)):
        raise InputError(f"--source {source}: {beside[0]} is outside of its train and test folders; move it elsewhere.")
    found = {}
    for split in SPLITS:
        inside = [file.removeprefix(f"{split}/") for file in files if file.startswith(f"{split}/")]
        if not inside:
            raise InputError(f"--source {source}/{split}: no images in it; fill it, or remove it to split the others.")
        found[split] = _classes(f"{source}/{split}", inside)
    names = found["train"][0]
    if names != found["test"][0]:
        odd = sorted(set(names) ^ set(found["test"][0]))
        raise InputError(
            f"--source {source}: train and test have different classes ({odd[0]}); give both the same sub-folders."
        )
    splits = {split: [(f"{split}/{file}", label) for file, label in inside] for split, (_, inside) in found.items()}
    return Listing(source, splits, names, given=True)


def _classes(source: str, files: list[str]) -> tuple[tuple[str, ...], list[tuple[str, int | None]]]:
    """The class names (the sub-folders), and each file with its label; no classes for fewer than two folders."""
    names = tuple(sorted({file.partition("/")[0] for file in files if "/" in file}))
    loose = sum("/" not in file for file in files)
    if loose and names:
        raise InputError(
            f"--source {source}: {loose} images are outside of the class folders ({names[0]}, ...) and have no label;"
            " move them into one of these, or elsewhere."
        )
    if len(names) < 2:
        return (), [(file, None) for file in files]
    number = {name: label for label, name in enumerate(names)}
    return names, [(file, number[file.partition("/")[0]]) for file in files]
