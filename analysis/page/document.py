"""The elements of a report, independent of its format."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from matplotlib.figure import Figure

MISSING = ("", "-", "nan")
"""Empty cells; they sort last."""
_NUMBER = re.compile(
    r"[\[<>]? ?(?P<sign>[-+\N{MINUS SIGN}]?)"
    r"(?P<size>\d+(,\d{3})*(\.\d+)?([eE][-+]?\d+)?|inf|∞)"
    r"(?=$|[\s%(\[\],])"
)
"""The leading number of a cell, which may open an interval; not the start of a word or of an id."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs; `note` marks an important notice."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]
    note: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyNumbers:
    """A few numbers with their names, side by side."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Commands to copy."""

    kind: ClassVar[str] = "code"
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, by column; captions have one sentence per line.

    If a table has several blocks, only the first has the title; each has a heading.
    """

    kind: ClassVar[str] = "table"
    title: str
    heading: str = ""
    cells: Mapping[str, Sequence[str]]
    caption: str = ""

    @property
    def numeric(self) -> dict[str, bool]:
        """Whether each column has numbers, which are right-aligned and sorted by value."""
        return {column: _holds_numbers(texts) for column, texts in self.cells.items()}

    def lines(self) -> Iterator[list[tuple[str, str, bool]]]:
        """The rows: for each cell its text, its sort key ("" if empty) and whether it is a number."""
        numeric = self.numeric
        for row in zip(*self.cells.values(), strict=True):
            yield [
                (text, sort_key(text, number=numeric[column]), numeric[column])
                for column, text in zip(self.cells, row, strict=True)
            ]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of the menu, drawn without its caption, which is placed below it."""

    kind: ClassVar[str] = "drawing"
    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A figure or table without enough rows, with the sentence that says what is needed."""

    kind: ClassVar[str] = "absent"
    title: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class SampleGrid:
    """Generated images of one trial as the bytes of a PNG, or the reason in words if there are none."""

    title: str
    caption: str
    trial_id: str
    image: bytes | str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Sample grids; those of a method are side by side."""

    kind: ClassVar[str] = "gallery"
    title: str
    samples: Sequence[SampleGrid]


Item = Text | KeyNumbers | Code | Table | Drawing | Absent | Gallery


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the report; `name` is its anchor."""

    name: str
    title: str
    items: Sequence[Item]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def _holds_numbers(texts: Sequence[str]) -> bool:
    present = [text for text in texts if text not in MISSING]
    return bool(present) and all(_NUMBER.match(text) for text in present)


def sort_key(text: str, *, number: bool) -> str:
    """The sort key of a cell: its leading number or its text; "" if it is empty.

    >>> [sort_key(text, number=True) for text in ("1,200", "40.86 [40.74, 40.98]", "5 %", "-", "2e-4")]
    ['1200.0', '40.86', '5.0', '', '0.0002']
    """
    match = _NUMBER.match(text) if number else None
    if text in MISSING or match is None:
        return "" if text in MISSING else text
    sign = "-" if match["sign"] in ("-", "\N{MINUS SIGN}") else ""
    size = match["size"].replace(",", "")
    return sign + ("Infinity" if size in ("inf", "∞") else str(float(size)))
