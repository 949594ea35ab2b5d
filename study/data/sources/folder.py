"""Folders of images, however they are laid out."""

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
        splits: by split, each image as its path below `root` and its label or None.
        classes: the labels' names.
        given: whether the folder itself names the splits.
    """

    root: str
    splits: Mapping[str, Sequence[tuple[str, int | None]]]
    classes: tuple[str, ...]
    given: bool

    def source(self) -> Source:
        """The images, to be read when their turn comes."""
        splits = {name: Split(n=len(files), records=self._records(files)) for name, files in self.splits.items()}
        return Source(splits=splits, provenance={"classes": list(self.classes)} if self.classes else {})

    def _records(self, files: Sequence[tuple[str, int | None]]) -> Iterator[ImageRecord]:
        return (ImageRecord(name, os.path.join(self.root, name), label) for name, label in files)  # noqa: PTH118  millions


def open_folder(dataset: Dataset, source: str) -> Source:
    """The images anywhere below a folder, in the order of their paths; the last ones are the test split."""
    files = image_files(source)
    records = (ImageRecord(name, os.path.join(source, name)) for name in files)  # noqa: PTH118  millions of them
    return in_two(records, len(files), dataset.test_fraction, source)


def in_two(records: Iterable[ImageRecord], n: int, test_fraction: float, source: str) -> Source:
    """A source whose last `n_test` of `n` records are the test split; raises InputError where there are fewer than 2.

    Of CelebA-HQ's 30,000 images the first 27,000 train and the last 3,000 test, as in the study (section 2.5, where the
    split is called random; the released code takes the last 10 of 100 shards, `datasets.py`).
    """
    if n < 2:
        raise InputError(
            f"--source {source}: holds {n or 'no'} image{'s'[n:]}; a training and a test image are the least."
        )
    records, last = iter(records), n_test(n, test_fraction)
    splits = {"train": Split(n=n - last, records=islice(records, n - last)), "test": Split(n=last, records=records)}
    return Source(splits=splits)


def n_test(n: int, fraction: float) -> int:
    """Images in the test split of `n`: the fraction rounded down, as a decimal number, but at least one."""
    return max(1, int(Fraction(str(fraction)) * n))


def image_files(source: str) -> list[str]:
    """The images below the folder `source`, at any depth, as paths relative to it with forward slashes.

    An image is a file with one of EXTENSIONS in either case; hidden files and folders are passed over, links followed.
    Sorted by code point, so in one order on every machine.

    Raises InputError where the folder is missing, no folder, unreadable or without images.
    """
    files: list[str] = []
    seen: set[tuple[int, int]] = set()

    def walk(folder: str, prefix: str) -> None:
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            return  # a link that leads back
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        folders = sorted(entry.name for entry in visible if entry.is_dir())
        # A dangling link with an image's name counts as an image: it is counted when its turn comes, not passed over.
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
        raise InputError(f"--source {error.filename}: cannot be read ({error.strerror}); check its rights.") from error
    if not files:
        allowed = " ".join(EXTENSIONS)
        raise InputError(f"--source {source}: no images in it or its sub-folders; they must end in one of {allowed}.")
    return sorted(files)


def listing(source: str, test_fraction: float | None) -> Listing:
    """A folder as its layout says: `train` and `test` are the splits where both exist, sub-folders are the classes.

    Where the layout names no splits, the last images by path are the test split, of each class where there are any.
    `test_fraction` is None where the user named none; a tenth then. A single sub-folder is no class.

    Raises InputError where only some images have a class, the splits disagree on the classes, one is without images, or
    a fraction is asked for where the layout has splits.
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
            raise InputError(f"--source {source}: {what}; a training and a test image are the least.")
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
        raise InputError(f"--source {source}: {beside[0]} lies beside its train and test folders; move it elsewhere.")
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
            f"--source {source}: train and test have unlike classes ({odd[0]}); give both the same folders."
        )
    splits = {split: [(f"{split}/{file}", label) for file, label in inside] for split, (_, inside) in found.items()}
    return Listing(source, splits, names, given=True)


def _classes(source: str, files: list[str]) -> tuple[tuple[str, ...], list[tuple[str, int | None]]]:
    """The classes, named by the sub-folders, and each file with its own; none where there are no two sub-folders."""
    names = tuple(sorted({file.partition("/")[0] for file in files if "/" in file}))
    loose = sum("/" not in file for file in files)
    if loose and names:
        raise InputError(
            f"--source {source}: {loose} images lie beside the class folders ({names[0]}, ...) and have no label;"
            " move them into one, or elsewhere."
        )
    if len(names) < 2:
        return (), [(file, None) for file in files]
    number = {name: label for label, name in enumerate(names)}
    return names, [(file, number[file.partition("/")[0]]) for file in files]
