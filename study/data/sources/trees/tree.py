"""Trees of files with names, from which images are read one at a time: what folders and archives have in common.

Nothing is unpacked. Names have forward slashes and are sorted by code point, so that their order is the same on every
machine and in every form.
"""

import posixpath
from collections.abc import Iterable, Sequence
from functools import cache

from study.core.text import printable
from study.data.dataset import PassedOver
from study.data.sources.pools import Named, refused

NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats that Pillow recognises, but needs other programs to decode."""
MAX_REASONS = 20
"""Reasons, one for each suffix, after which files of further suffixes are counted together."""


@cache
def image_suffixes() -> frozenset[str]:
    """The endings of image files, in lower case with the dot: those of all formats that Pillow decodes."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, name in known.items() if name in Image.OPEN and name not in NOT_DECODED)


class Tree:
    """The files of a folder or an archive.

    Attributes:
        source: its path.
        kind: "folder", "zip archive" or "tar archive".
        images: the names of the images, sorted.
        others: the names of all other files, sorted.
        empty: the folders without any file, each with a slash at its end.
        passed_over: files that are neither, such as hidden ones.
    """

    kind: str

    def __init__(self, source: str, files: Iterable[str], passed_over: PassedOver) -> None:
        self.source, self.passed_over = source, passed_over
        self.images: list[str] = []
        self.others: list[str] = []
        self.empty: list[str] = []
        suffixes = image_suffixes()
        for name in files:
            if name.endswith("/"):
                self.empty.append(name)
                continue
            parts = name.split("/")
            if any(part.startswith(".") for part in parts):
                passed_over.add("hidden", name)
            elif "__MACOSX" in parts:
                passed_over.add("metadata of macOS (__MACOSX)", name)
            else:
                (self.images if suffix(name) in suffixes else self.others).append(name)
        self.images.sort()
        self.others.sort()
        self._others = set(self.others)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name that is not an image."""
        return name in self._others

    def read(self, names: Sequence[str]) -> Named:
        """The images of these names, in order; an image that cannot be read is `Unreadable`."""
        raise NotImplementedError

    def content(self, name: str) -> bytes:
        """The bytes of a file; raises InputError if it cannot be read. This is the form for archives."""
        ((_, data),) = self.read([name])
        if isinstance(data, bytes):
            return data
        raise refused(self.source, f"{printable(name)} in it cannot be read; make the archive again.")

    def pass_over(self, used: Iterable[str] = ()) -> PassedOver:
        """All files that are not read, if of the others only `used` are read."""
        left = sorted(self._others.difference(used))
        for name in left:
            ending = suffix(name) or "no suffix"
            reason = f"not an image by its name ({ending})"
            known = reason in self.passed_over.counts or len(self.passed_over.counts) < MAX_REASONS
            short = len(ending) <= 10 and ending.isprintable()
            self.passed_over.add(reason if known and short else "not an image by its name", name)
        return self.passed_over


def suffix(name: str) -> str:
    """The ending of a name in lower case with its dot; empty if there is none."""
    return posixpath.splitext(name)[1].lower()
