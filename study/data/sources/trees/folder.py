"""A folder with all its sub-folders."""

import os
from collections.abc import Callable, Iterator, Sequence

from study.core.text import printable
from study.data.dataset import PassedOver
from study.data.sources.pools import Named, refused
from study.data.sources.trees.tree import Tree


class FolderTree(Tree):
    """A folder with all its sub-folders; links are followed, each folder is read once."""

    kind = "folder"

    def __init__(self, source: str) -> None:
        passed_over = PassedOver()
        try:
            super().__init__(source, _walk(source, passed_over), passed_over)
        except OSError as error:
            raise refused(
                os.fsdecode(error.filename), f"cannot be read ({error.strerror}); check its permissions."
            ) from error

    def read(self, names: Sequence[str]) -> Named:
        return ((name, os.path.join(self.source, name)) for name in names)  # noqa: PTH118  millions of them

    def content(self, name: str) -> bytes:
        try:
            with open(os.path.join(self.source, name), "rb") as file:  # noqa: PTH118, PTH123
                return file.read()
        except OSError as error:
            raise refused(
                self.source, f"{printable(name)} cannot be read ({error.strerror}); check its permissions."
            ) from error


def _walk(source: str, passed_over: PassedOver) -> Iterator[str]:
    """The relative paths of all files; a broken link is a file, which is found unreadable when it is opened."""
    seen: set[tuple[int, int]] = set()
    todo = [("", source)]
    while todo:
        prefix, folder = todo.pop()
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            passed_over.add("a link to a folder that is read already", prefix)
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        folders = [entry for entry in found if _is(entry.is_dir)]
        if not found and prefix:
            yield prefix
        for entry in found:
            if _is(entry.is_file) or (entry.is_symlink() and not os.path.exists(entry.path)):  # noqa: PTH110
                yield prefix + entry.name
            elif not _is(entry.is_dir):
                passed_over.add("not a regular file", prefix + entry.name)
        todo += [(f"{prefix}{entry.name}/", entry.path) for entry in reversed(folders)]


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link in a circle
        return False
