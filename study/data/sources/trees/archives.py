"""Zip and tar archives. Names in them are names only: parts such as `..` are dropped, and nothing is unpacked."""

import io
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import IO, NamedTuple, cast

from study.data.dataset import Encoded, PassedOver, Unreadable
from study.data.sources.pools import Named, unreadable
from study.data.sources.trees.tree import Tree

LARGEST_MEMBER = 1 << 30
TAR_BUFFER = 256 << 20
"""Bytes of images that are held at a time if the order of a compressed tar is not the order of the names."""
ZIP_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What `zipfile` raises for damaged, encrypted and unknown members; NotImplementedError is a RuntimeError."""
REMEDY = "download or make it again"
TAR_DAMAGE = (OSError, EOFError, tarfile.TarError, zlib.error)


def _member_name(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


class ZipTree(Tree):
    """A zip archive, which stays open: a second list of its members would take a kilobyte for each."""

    kind = "zip archive"

    def __init__(self, source: str) -> None:
        passed_over = PassedOver()
        self._members: dict[str, zipfile.ZipInfo] = {}
        try:
            self._archive = zipfile.ZipFile(source)
        except ZIP_DAMAGE as error:
            raise unreadable(source, "zip archive", error, REMEDY) from error
        for member in self._archive.infolist():
            name = _member_name(member.filename.replace("\\", "/"))  # as Windows writes them
            if member.is_dir() or not name:
                continue
            if name in self._members:
                passed_over.add("an earlier file of the same name in the archive", name)
            self._members[name] = member
        super().__init__(source, self._members, passed_over)

    def read(self, names: Sequence[str]) -> Named:
        return ((name, self._read(name)) for name in names)

    def _read(self, name: str) -> Encoded:
        member = self._members[name]
        if member.file_size > LARGEST_MEMBER:
            return Unreadable(f"{member.file_size:,} bytes")
        try:
            return self._archive.read(member)
        except ZIP_DAMAGE as error:
            return Unreadable(" ".join(str(error).split()))


class _Place(NamedTuple):
    """Where a member lies in the unpacked archive."""

    offset: int
    size: int


def _ascending(numbers: Iterable[int]) -> bool:
    return all(first <= second for first, second in pairwise(numbers))


class TarTree(Tree):
    """A tar archive, compressed or not."""

    kind = "tar archive"

    def __init__(self, source: str) -> None:
        passed_over = PassedOver()
        self._places: dict[str, _Place] = {}
        links: dict[str, str] = {}
        try:
            with tarfile.open(source, "r:*") as archive:
                for member in archive:
                    self._list(member, links, passed_over)
                    # Otherwise it keeps a kilobyte for every file.
                    archive.members.clear()  # type: ignore[attr-defined]
                while archive.fileobj.read(1 << 20):  # the checksum is at the end
                    pass
        except TAR_DAMAGE as error:
            raise unreadable(source, "tar archive", error, REMEDY) from error
        for name, target in links.items():
            if target in self._places:
                self._places[name] = self._places[target]
            else:
                passed_over.add("a link to a file that is not in the archive", name)
        super().__init__(source, self._places, passed_over)

    def _list(self, member: tarfile.TarInfo, links: dict[str, str], passed_over: PassedOver) -> None:
        name = _member_name(member.name)
        if member.isdir() or not name:
            return
        if name in self._places:
            passed_over.add("an earlier file of the same name in the archive", name)
        if member.islnk():
            links[name] = _member_name(member.linkname)
        elif member.issym():
            links[name] = _member_name(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
        elif member.isreg() and not member.issparse():
            self._places[name] = _Place(member.offset_data, member.size)
        else:
            passed_over.add("not a regular file", name)

    def read(self, names: Sequence[str]) -> Named:
        try:
            with tarfile.open(self.source, "r:*") as archive:
                stream = cast(IO[bytes], archive.fileobj)
                if isinstance(stream, io.BufferedReader) or _ascending(self._places[name].offset for name in names):
                    yield from ((name, self._data(stream, name)) for name in names)
                    return
                for piece in self._pieces(names):
                    inside = sorted(piece, key=lambda name: self._places[name].offset)
                    held = {name: self._data(stream, name) for name in inside}
                    yield from ((name, held.pop(name)) for name in piece)
        except TAR_DAMAGE as error:
            raise unreadable(self.source, "tar archive", error, REMEDY) from error

    def _pieces(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        """The names in portions of at most TAR_BUFFER bytes of images, or of one image."""
        start = size = 0
        for end, name in enumerate(names):
            size += self._places[name].size
            if size > TAR_BUFFER and end > start:
                yield names[start:end]
                start, size = end, self._places[name].size
        yield names[start:]

    def _data(self, stream: IO[bytes], name: str) -> Encoded:
        offset, size = self._places[name]
        if size > LARGEST_MEMBER:
            return Unreadable(f"{size:,} bytes")
        stream.seek(offset)  # in a compressed archive, forwards: reading on; backwards: from the start again
        return stream.read(size)
