"""A source as it was found: sets of images, each with or without labels, that become a train and a test split."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from study.core.errors import InputError, look_up
from study.core.text import plural, printable
from study.data.dataset import Encoded, ImageRecord, PassedOver, Source, Split

ALL, TRAIN, VALIDATION, TEST = "all", "train", "validation", "test"
AUTO, FLAT, CLASSES, SPLITS = "auto", "flat", "classes", "splits"
LAYOUTS = {
    AUTO: "as the names of the folders say; refused if they can be read in two ways",
    FLAT: "folders mean nothing: one set of images",
    CLASSES: "each folder is a class",
    SPLITS: "the folders train, val and test are splits, with or without classes in them; others are passed over",
}
NONE, FOLDERS = "none", "folders"
LABELS = {
    AUTO: "a file or a column of labels in the source, if there is one, otherwise the folders of classes",
    NONE: "no labels",
    FOLDERS: "the folders of classes",
}
WORDS = {TRAIN: TRAIN, "training": TRAIN, "trainset": TRAIN, "trainval": TRAIN, TEST: TEST, "testing": TEST}
WORDS |= {"testset": TEST, "val": VALIDATION, "valid": VALIDATION, VALIDATION: VALIDATION, "valset": VALIDATION}
"""Words that name a split."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
"""Names of columns of labels; the first that a table has is read."""
LARGEST_LABEL = 1_000_000
Named = Iterator[tuple[str, Encoded]]
"""Images, each with its name in the source."""
Read = Callable[[Sequence[int]], Named]
"""Returns the images at these places, which ascend from 0; can be called several times."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """Images that belong together.

    Attributes:
        n: how many.
        read: see `Read`.
        labels: the class of each image, from 0, or None.
    """

    n: int
    read: Read
    labels: Sequence[int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Opened:
    """The images of a source, before they are divided.

    Attributes:
        source: its path or address, as text that can be printed.
        kind: what it is, such as "folder".
        pools: ALL alone, or the splits of the source by TRAIN, VALIDATION and TEST, in its order.
        classes: names of the labels; empty if there are no labels or they are only numbers.
        labels_from: what the labels are read from, such as "folders".
        passed_over: the files that are not read.
        shape: (H, W, C) if all images are known to have it.
        provenance, remarks: see `Source`.
    """

    source: str
    kind: str
    pools: Mapping[str, Pool]
    classes: Sequence[str] = ()
    labels_from: str = ""
    passed_over: PassedOver = field(default_factory=PassedOver)
    shape: tuple[int, int, int] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """The number of images of all pools."""
        return sum(pool.n for pool in self.pools.values())

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return any(pool.labels is not None for pool in self.pools.values())

    @property
    def divided(self) -> bool:
        """Whether the source has splits."""
        return ALL not in self.pools

    def read(self) -> Named:
        """All images, pool by pool."""
        for pool in self.pools.values():
            yield from pool.read(range(pool.n))


def joined(parts: Sequence[tuple[int, Read]], labels: Sequence[int] | None = None) -> Pool:
    """The images of several parts, each with their number, one after the other."""

    def read(places: Sequence[int]) -> Named:
        start = 0
        for n, read_part in parts:
            inside = [place - start for place in places if start <= place < start + n]
            if inside:
                yield from read_part(inside)
            start += n

    return Pool(n=sum(n for n, _ in parts), read=read, labels=labels)


def refused(source: str, what: str) -> InputError:
    """The error about a source that cannot be used."""
    return InputError(f"--source {printable(source)}: {what}")


def unreadable(source: str, what: str, error: Exception, remedy: str) -> InputError:
    """The error about a source that cannot be read as what it is."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return refused(source, f"not a readable {what} ({printable(reason)}); {remedy}.")


def check_without_folders(kind: str, layout: str, labels: str) -> None:
    """Raises InputError if the options ask for folders or label files, which a source of this kind does not have."""
    look_up("--layout", layout, LAYOUTS)
    if layout == CLASSES:
        raise InputError(f"--layout {layout}: there are no folders in {kind}; must be auto, flat or splits.")
    if labels not in (AUTO, NONE):
        raise InputError(f"--labels {printable(labels)}: there are no folders in {kind}; must be auto or none.")


def n_test(n: int, fraction: float) -> int:
    """Size of the test split of `n` images: `fraction` (as a decimal number) of them, rounded down, at least one."""
    return max(1, int(Fraction(str(fraction)) * n))


def split_of(name: str) -> str | None:
    """The split that a folder or file is named after, as in `Train`, `val2017` or `seg_test`; None if there is none.

    >>> [split_of(name) for name in ("TRAIN", "validation", "test_images", "trainA", "cat", "train_or_test")]
    ['train', 'validation', 'test', 'train', None, None]
    """
    if name.lower() in WORDS:
        return WORDS[name.lower()]
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    found = {WORDS[word.lower()] for word in words if word.lower() in WORDS}
    return found.pop() if len(found) == 1 else None


def two_splits(opened: Opened, fraction: float) -> Source:
    """The train and the test split of a source.

    The splits of the source are used if it has any: the validation split is the test split if there is no other, and is
    left out otherwise. If the source has none, the last `n_test(n, fraction)` images are the test split, of each class
    if there are labels.

    Of the 30,000 images of CelebA-HQ, the first 27,000 are for training and the last 3,000 for testing. Section 2.5 of
    the study calls the split random; the released code takes the last 10 of 100 shards (`datasets.py`).

    Raises InputError if a split would have no image.
    """
    pools, remarks = opened.pools, list(opened.remarks)
    places: dict[str, Sequence[int]]
    if not opened.divided:
        pool = pools[ALL]
        chosen = {TRAIN: pool, TEST: pool}
        places = _portions(opened, pool, fraction)
        rule = f"the last {100 * fraction:g} % {'of each class ' if pool.labels is not None else ''}are the test split"
    else:
        second = TEST if TEST in pools else VALIDATION
        chosen = {TRAIN: pools[TRAIN], TEST: pools[second]}
        places = {split: range(pool.n) for split, pool in chosen.items()}
        rule = f"as the source is split{'' if second == TEST else '; its validation split is the test split'}"
        if second == TEST and VALIDATION in pools:
            n = pools[VALIDATION].n
            remarks.append(f"the validation split of the source, {n:,} {plural(n, 'image')}, is left out")
    sizes = _class_sizes(opened, chosen, places)
    splits = {split: Split(n=len(places[split]), records=_records(chosen[split], places[split])) for split in chosen}
    classes = {"classes": [printable(name) for name in opened.classes]} if opened.classes else {}
    found: dict[str, Any] = {"kind": opened.kind, "rule": rule, "labels": opened.labels_from or None}
    found["passed_over"] = opened.passed_over.summary()
    return Source(
        splits=splits,
        provenance={**opened.provenance, **classes, "read_as": found},
        remarks=tuple(remarks),
        kind=opened.kind,
        rule=rule,
        class_sizes=sizes,
        labels_from=opened.labels_from,
        passed_over=opened.passed_over,
    )


def _records(pool: Pool, places: Sequence[int]) -> Iterator[ImageRecord]:
    labels: Iterable[int | None] = [None] * len(places) if pool.labels is None else (pool.labels[i] for i in places)
    for label, (name, data) in zip(labels, pool.read(places), strict=True):
        yield ImageRecord(printable(name), data, label)


def _portions(opened: Opened, pool: Pool, fraction: float) -> dict[str, Sequence[int]]:
    """The places of the two splits; without labels in two ranges, with labels class by class."""
    if pool.labels is None:
        if pool.n < 2:
            count = f"holds {pool.n or 'no'} {plural(pool.n, 'image')}"
            raise refused(opened.source, f"{count}; needs at least one training and one test image.")
        last = n_test(pool.n, fraction)
        return {TRAIN: range(pool.n - last), TEST: range(pool.n - last, pool.n)}
    labels = np.asarray(pool.labels)
    train, test = [], []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:
            name = printable(opened.classes[label]) if opened.classes else f"{label}"
            raise refused(opened.source, f"class {name} has one image; needs at least one training and one test image.")
        last = n_test(len(own), fraction)
        train.append(own[:-last])
        test.append(own[-last:])
    return {split: np.sort(np.concatenate(found)).tolist() for split, found in ((TRAIN, train), (TEST, test))}


def _class_sizes(opened: Opened, chosen: Mapping[str, Pool], places: Mapping[str, Sequence[int]]) -> dict[str, int]:
    sizes = Counter[int]()
    for split, pool in chosen.items():
        if pool.labels is not None:
            sizes.update(np.asarray(pool.labels)[places[split]].tolist())
    return {printable(opened.classes[label]) if opened.classes else str(label): sizes[label] for label in sorted(sizes)}
