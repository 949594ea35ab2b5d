"""Labels of the images of a tree: from the folders that hold them, or from a file.

Such a file is StyleGAN's `dataset.json`, or a table with the columns file_name and label, `metadata.csv` or
`metadata.jsonl`, as Hugging Face's ImageFolder reads it. It lies beside the images that it names, or above them.
"""

import csv
import io
import json
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.core.errors import InputError
from study.core.text import plural, printable
from study.data.sources.pools import (
    AUTO,
    FOLDERS,
    LABEL_COLUMNS,
    LABELS,
    LARGEST_LABEL,
    NONE,
    TRAIN,
    refused,
    split_of,
)
from study.data.sources.trees.tree import Tree

LABEL_FILES = ("dataset.json", "metadata.csv", "metadata.jsonl")
"""Names of label files; the first in a folder that has labels is read."""
CONTAINERS = {"image", "images", "img", "imgs", "jpegimages", "photos", "pictures", "mask", "masks", "annotations"}
CONTAINERS |= {"labels", "segmentation", "thumbnails"}
"""Names of folders that hold files of one kind rather than of one class."""
PIECE = re.compile(r"(\d{5,}|(shard|part|batch|chunk|fold|subset|set|dir|folder|data|images?|imgs?)[-_ .]?\d+)", re.I)
"""Names of folders that each hold a part of one set."""


class Part(NamedTuple):
    """Images below one folder: their full names, and the path of that folder, which is empty or ends in a slash."""

    names: Sequence[str]
    prefix: str

    def folder_of(self, name: str) -> str:
        """The folder just below the prefix in which an image lies; empty if it lies beside the folders."""
        first, slash, _ = name[len(self.prefix) :].partition("/")
        return first if slash else ""


class Table(NamedTuple):
    """The label of each name in a label file, and the names of the classes, if the file has names."""

    labels: Mapping[str, int]
    classes: tuple[str, ...] = ()


class Labelled(NamedTuple):
    """Images with their labels, or None, and the names of the classes, if they have any."""

    names: Sequence[str]
    numbers: Sequence[int] | None = None
    classes: tuple[str, ...] = ()


class LabelReader:
    """Finds the labels of the parts of a tree; `labels` is one of LABELS or the path of a label file."""

    def __init__(self, tree: Tree, labels: str) -> None:
        self._tree, self._labels = tree, labels
        self._tables: dict[str, Table | None] = {}
        self._found = Counter[str]()
        self._given = None if labels in LABELS else _given(labels)

    def holds_labels(self, prefix: str) -> bool:
        """Whether the folder holds a label file that is used."""
        return self._labels == AUTO and self._file(prefix) is not None

    def _file(self, prefix: str) -> str | None:
        """The label file in a folder, or None."""
        for name in (prefix + file for file in LABEL_FILES):
            if name not in self._tables:
                found = self._tree.has(name)
                content = _parsed(self._tree.source, printable(name), self._tree.content(name)) if found else None
                self._tables[name] = content
            if self._tables[name] is not None:
                return name
        return None

    @property
    def used(self) -> Collection[str]:
        """The label files in the tree that were used."""
        return [name for name, table in self._tables.items() if table is not None and self._labels == AUTO]

    @property
    def file(self) -> str:
        """The name of the label file that was used, as text that can be printed."""
        return printable(next(iter(self._found), ""))

    def remarks(self) -> list[str]:
        """Remarks on the label files."""
        tables = {name: self._tables[name] or Table({}) for name in self.used}
        tables |= {} if self._given is None else {self._labels: self._given}
        labels = {name: table.labels for name, table in tables.items()}
        without = [f"{printable(name)} holds no labels" for name, table in labels.items() if not table]
        missing = {name: len(table) - self._found[name] for name, table in labels.items()}
        return without + [
            f"{printable(name)} has labels of {n:,} {plural(n, 'image that is', 'images that are')} not there"
            for name, n in missing.items()
            if n
        ]

    def read(self, part: Part, outer: str, *, folders: bool, sure: bool) -> Labelled:
        """The labels of a part.

        Args:
            part: the images.
            outer: the folder of the whole tree's images, which may hold the label file, too.
            folders: whether folders can be classes.
            sure: whether the user said that they are.
        """
        if self._labels == NONE:
            return Labelled(part.names)
        if self._given is not None:
            return self._by_table(part, self._given, self._labels, folders_above(part.names[0]))
        for prefix in dict.fromkeys((part.prefix, outer)):
            file = self._file(prefix) if self._labels == AUTO else None
            if file and (table := self._tables[file]):
                return self._by_table(part, table, file, [prefix]) if table.labels else Labelled(part.names)
        if not folders:
            return Labelled(part.names)
        return self._by_folder(part, sure or self._labels == FOLDERS, whole=part.prefix == outer)

    def _by_table(self, part: Part, table: Table, file: str, bases: Sequence[str]) -> Labelled:
        labels = table.labels
        for base in bases:
            pairs = [(name, labels[name[len(base) :]]) for name in part.names if name[len(base) :] in labels]
            if pairs:
                break
        else:
            example, ours = next(iter(labels), "none"), part.names[0]
            raise refused(
                self._tree.source,
                f"{printable(file)} has no label of any image (its names are like {printable(example)}, the images'"
                f" like {printable(ours)}); correct it, or give --labels none.",
            )
        self._found[file] += len(pairs)
        kept = {name for name, _ in pairs}
        for name in part.names if len(kept) < len(part.names) else ():
            if name not in kept:
                self._tree.passed_over.add(f"an image without a label in {printable(file)}", name)
        return Labelled([name for name, _ in pairs], [label for _, label in pairs], table.classes)

    def _by_folder(self, part: Part, sure: bool, whole: bool) -> Labelled:
        """The sub-folders are the classes; without two of them there are no classes."""
        counts = Counter(map(part.folder_of, part.names))
        loose = counts.pop("", 0)
        classes = tuple(sorted(counts))
        remedy = "--layout classes if each is a class, or --layout flat if they are one set"
        remedy = remedy if whole else "--labels folders if each is a class, or --labels none if they are one set"
        if sure and len(classes) < 2:
            seen = ", ".join(map(printable, classes)) or "none"
            raise refused(self._tree.source, f"needs two folders of classes (folders: {seen}); leave out the option.")
        if loose and classes and not sure:
            fewer, flat = ("--layout classes", "--layout flat") if whole else ("--labels folders", "--labels none")
            raise refused(
                self._tree.source,
                f"{loose:,} {plural(loose, 'image')} outside of the class folders ({printable(classes[0])}, ...) and"
                f" without a label; move such images, or give {fewer} to pass them over, or {flat} to take all images"
                " without labels.",
            )
        if len(classes) < 2:
            return Labelled(part.names)
        if not sure and (doubt := _doubt(part, classes)):
            seen = ", ".join(map(printable, classes[:4])) + (", ..." if len(classes) > 4 else "")
            raise refused(self._tree.source, f"its folders ({seen}) {doubt}; give {remedy}.")
        for name in part.names if loose else ():
            if not part.folder_of(name):
                self._tree.passed_over.add("outside of the class folders", name)
        number = {name: label for label, name in enumerate(classes)}
        names = [name for name in part.names if part.folder_of(name)]
        if whole:  # class by class: a name such as `cat-2` sorts after `cat`, but its paths sort before
            names.sort(key=lambda name: number[part.folder_of(name)])
        return Labelled(names, [number[part.folder_of(name)] for name in names], classes)


def _doubt(part: Part, folders: Sequence[str]) -> str:
    """Why folders may not be classes; empty if nothing speaks against it."""
    if all(map(PIECE.fullmatch, folders)):
        return "are named like parts of one set"
    if any(folder.lower() in CONTAINERS for folder in folders):
        return "are named like kinds of files"
    if all(len(folder) < 4 and re.fullmatch("[0-9a-f]+", folder) for folder in folders):
        stems = ((part.folder_of(name), posixpath.basename(name).partition(".")[0]) for name in part.names)
        if all(re.fullmatch("[0-9a-f]+", stem) and stem.startswith(folder) for folder, stem in stems):
            return "are the first characters of the names in them"
    below = (name[len(part.prefix) :].split("/") for name in part.names)
    kinds = {split_of(parts[1]) for parts in below if len(parts) > 2}
    return "hold folders that are named like splits" if TRAIN in kinds and len(kinds - {None}) > 1 else ""


def folders_above(path: str) -> list[str]:
    """All folders above a path, from the empty one on, each with its slash.

    >>> folders_above("a/b/c.png")
    ['', 'a/', 'a/b/']
    """
    return [path[:end] for end in [0, *(place + 1 for place, letter in enumerate(path) if letter == "/")]]


def _given(path: str) -> Table:
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(
            f"--labels {printable(path)}: cannot be read ({error.strerror}); must be one of {', '.join(LABELS)}, or the"
            " path of a JSON, .csv or .jsonl file."
        ) from error
    try:
        found = _parsed(path, f"the file {printable(Path(path).name)}", content)
    except InputError as error:
        raise InputError(str(error).replace("--source", "--labels", 1)) from error
    if found is None or not found.labels:
        raise InputError(
            f'--labels {printable(path)}: has no labels; must be like {{"labels": [["a.png", 0], ...]}} of StyleGAN, or'
            " a .csv or .jsonl file with columns file_name and label."
        )
    return found


def _parsed(source: str, name: str, content: bytes) -> Table | None:
    """The label of each name; empty if there are no labels, None if it is another kind of file."""
    text = content.decode("utf-8-sig", errors="replace")
    try:
        if name.lower().endswith(".csv"):
            return _metadata(source, name, list(csv.DictReader(io.StringIO(text, newline=""))))
        if name.lower().endswith(".jsonl"):
            return _metadata(source, name, [json.loads(line) for line in text.splitlines() if line.strip()])
        read: Any = json.loads(content)
    except csv.Error as error:
        raise refused(source, f"{name} is not CSV ({error}); correct it, or give --labels none.") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise refused(source, f"{name} is not JSON ({reason}); correct it, or give --labels none.") from error
    if not isinstance(read, dict) or "labels" not in read:
        return None
    pairs = list(read["labels"].items()) if isinstance(read["labels"], dict) else read["labels"] or []
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) and _is_label(pair[1])):
            said = printable(json.dumps(pair))[:60]
            raise refused(
                source,
                f"{name} has the label {said}; must be [name, whole number from 0]; correct it, or give --labels none.",
            )
    return Table({_path(file): label for file, label in pairs})


def _metadata(source: str, name: str, rows: Sequence[Any]) -> Table | None:
    """The labels in rows with a file_name and a label, which is a whole number or the name of a class."""
    column = next((each for each in LABEL_COLUMNS if any(isinstance(row, dict) and each in row for row in rows)), None)
    found = [(row.get("file_name"), row.get(column)) for row in rows if isinstance(row, dict)]
    pairs = [(_path(file), label) for file, label in found if isinstance(file, str) and label not in (None, "")]
    if column is None or not pairs:
        return None
    for _, label in pairs:
        if not (isinstance(label, str) or _is_label(label)):
            said = printable(json.dumps(label))[:60]
            what = f"{name} has the {column} {said}; must be a whole number from 0 or a name"
            raise refused(source, f"{what}; correct it, or give --labels none.")
    names = sorted({str(label) for _, label in pairs})
    if all(re.fullmatch("[0-9]{1,7}", each) and int(each) <= LARGEST_LABEL for each in names):
        return Table({file: int(str(label)) for file, label in pairs})
    number = {each: label for label, each in enumerate(names)}
    return Table({file: number[str(label)] for file, label in pairs}, tuple(names))


def _path(file: str) -> str:
    return file.replace("\\", "/").removeprefix("./")


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_LABEL
