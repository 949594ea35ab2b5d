"""Sources of several chunks, such as parquet files: which chunk belongs to which split, and what the labels are."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from study.core.text import plural, printable
from study.data.dataset import PassedOver
from study.data.sources.pools import (
    ALL,
    AUTO,
    FLAT,
    LARGEST_LABEL,
    TEST,
    TRAIN,
    VALIDATION,
    Opened,
    Read,
    check_without_folders,
    joined,
    refused,
    split_of,
)


class Chunk(NamedTuple):
    """A part of a source.

    Attributes:
        name: its path or split, which may name the split that it belongs to.
        n: its number of images.
        read: see `Read`.
        labels: returns a number or a name for each image; None if there is no column of labels.
        column: the name of that column.
        classes: the names of labels that are numbers, or None.
    """

    name: str
    n: int
    read: Read
    labels: Callable[[], Sequence[Any]] | None = None
    column: str | None = None
    classes: Sequence[str] | None = None

    @property
    def split(self) -> str | None:
        """The split that the name says: that of the file, or of the nearest folder."""
        path = PurePosixPath(self.name)
        names = [path.stem, *(folder.name for folder in path.parents)]
        return next((split for name in names if (split := split_of(name))), None)


def assembled(
    source: str,
    kind: str,
    chunks: Sequence[Chunk],
    layout: str,
    labels: str,
    passed_over: PassedOver,
    provenance: Mapping[str, Any],
) -> Opened:
    """The pools of a source of chunks, in the order of the chunks.

    Raises InputError if only some chunks belong to a split, if only some have labels, if labels are missing or not
    whole numbers or names, or if `layout` or `labels` ask for folders.
    """
    check_without_folders(kind, layout, labels)
    parts = {ALL: list(chunks)} if layout == FLAT else _splits(source, chunks, layout, passed_over)
    found, classes, remarks = _labels(source, parts) if labels == AUTO else ({}, (), ())
    return Opened(
        source=printable(source),
        kind=kind,
        pools={
            split: joined([(chunk.n, chunk.read) for chunk in inside], found.get(split))
            for split, inside in parts.items()
        },
        classes=classes,
        labels_from=f"column {chunks[0].column}" if found else "",
        passed_over=passed_over,
        provenance=provenance,
        remarks=remarks,
    )


def _splits(source: str, chunks: Sequence[Chunk], layout: str, passed_over: PassedOver) -> dict[str, list[Chunk]]:
    kinds = {chunk.split for chunk in chunks}
    if layout == AUTO and len(kinds) == 1:
        return {ALL: list(chunks)}
    unnamed = [chunk for chunk in chunks if chunk.split is None]
    if layout == AUTO and unnamed:
        named = next(chunk for chunk in chunks if chunk.split)
        raise refused(
            source,
            f"{printable(named.name)} is named like a split, {printable(unnamed[0].name)} is not; give --layout splits"
            " to read only the splits, or --layout flat to read all as one set.",
        )
    if TRAIN not in kinds or len(kinds - {None}) < 2:
        seen = ", ".join(printable(chunk.name) for chunk in chunks[:4])
        raise refused(
            source, f"needs a train and a test split (it has {seen}); give --layout flat to read all as one set."
        )
    for chunk in unnamed:
        passed_over.add("images outside of the splits", chunk.name, chunk.n)
    order = [split for split in (TRAIN, VALIDATION, TEST) if split in kinds]
    return {split: [chunk for chunk in chunks if chunk.split == split] for split in order}


def _labels(
    source: str, parts: Mapping[str, Sequence[Chunk]]
) -> tuple[dict[str, list[int]], tuple[str, ...], tuple[str, ...]]:
    """The labels of the images by split, the names of the classes, and remarks."""
    chunks = [chunk for inside in parts.values() for chunk in inside]
    if not any(chunk.labels for chunk in chunks):
        return {}, (), ()
    if without := [chunk for chunk in chunks if chunk.labels is None]:
        raise refused(source, f"{printable(without[0].name)} has no labels, other parts have; give --labels none.")
    values = {split: [value for chunk in inside for value in _values(chunk)] for split, inside in parts.items()}
    kinds = {type(value) for inside in values.values() for value in inside}
    names: list[str] = list(chunks[0].classes or ())
    if kinds == {str}:
        names = sorted({value for inside in values.values() for value in inside})
        number = {name: label for label, name in enumerate(names)}
        values = {split: [number[value] for value in inside] for split, inside in values.items()}
    elif kinds - {int, bool, type(None)}:
        held = ", ".join(sorted(kind.__name__ for kind in kinds))
        return {}, (), (f"the column of labels is not used: it holds {held}, not whole numbers or names",)
    top = len(names) - 1 if names else LARGEST_LABEL
    for split, inside in values.items():
        if odd := [value for value in inside if value is None or not 0 <= value <= top]:
            one = "no label" if odd[0] is None else f"the label {odd[0]}, not one from 0 to {top:,}"
            where = "" if split == ALL else f" of the {split} split"
            have = f"{plural(len(odd), 'image')}{where} {plural(len(odd), 'has', 'have')}"
            raise refused(source, f"{len(odd):,} {have} {one}; give --labels none.")
    return {split: [int(value) for value in inside] for split, inside in values.items()}, tuple(names), ()


def _values(chunk: Chunk) -> Sequence[Any]:
    return chunk.labels() if chunk.labels else ()
