"""A report as Markdown, with its figures and sample grids as files in the same folder."""

import html
from collections.abc import Iterator
from pathlib import Path

from analysis.page.document import Absent, Code, Document, Drawing, Gallery, Item, KeyNumbers, Section, Table, Text
from analysis.page.images import png
from study.core.errors import InputError
from study.core.text import printable
from study.storage.files import replace

FIGURES, SAMPLES = "figures", "samples"
"""Subfolders for images."""


def markdown(page: Document) -> tuple[str, dict[str, bytes]]:
    """The text of the report, and its image files by relative path. Names are escaped."""
    files: dict[str, bytes] = {}
    blocks = [f"# {plain(page.title)}", plain(page.subtitle)]
    for section in page.sections:
        blocks += [f"## {plain(section.title)}", *_blocks(section, files)]
    return "\n\n".join(blocks) + "\n", files


def write_markdown(page: Document, path: Path) -> Path:
    """Write the images and then the report, each atomically. Raises InputError if a file cannot be written."""
    text, files = markdown(page)
    try:
        for name, content in {**files, path.name: text.encode(errors="replace")}.items():
            replace(path.parent / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror or error}).") from error
    return path


def plain(text: str) -> str:
    """Text with all Markdown and HTML escaped."""
    return prose(text).replace("`", "\\`")


def prose(text: str) -> str:
    """A sentence with Markdown escaped except backticks, which mark commands."""
    escaped = html.escape(printable(" ".join(text.split())), quote=False)
    for mark in ("\\", "*", "|", "]("):
        escaped = escaped.replace(mark, f"\\{mark}" if len(mark) == 1 else "]\\(")
    return escaped


def _blocks(section: Section, files: dict[str, bytes]) -> Iterator[str]:
    for item in section.items:
        yield from _block(item, files)


def _block(item: Item, files: dict[str, bytes]) -> Iterator[str]:
    match item:
        case Text(paragraphs=paragraphs, note=note):
            yield from (f"{'> ' if note else ''}{prose(paragraph)}" for paragraph in paragraphs)
        case KeyNumbers(pairs=pairs):
            yield "; ".join(f"{plain(name)}: **{plain(value)}**" for name, value in pairs)
        case Code(lines=lines):
            yield "\n".join(f"    {printable(line)}" for line in lines)
        case Absent(title=title, sentence=sentence):
            yield f"### {plain(title)}"
            yield prose(sentence)
        case Drawing():
            files[f"{FIGURES}/{item.name}.png"] = png(item.figure)
            yield f"### {plain(item.title)}"
            yield f"![{plain(item.title)}]({FIGURES}/{item.name}.png)"
            yield from _caption(item.caption)
        case Table():
            yield from (f"### {plain(item.title)}" for _ in range(bool(item.title)))
            yield from (f"**{plain(item.heading)}**" for _ in range(bool(item.heading)))
            yield _table(item)
            yield from _caption(item.caption)
        case Gallery():
            yield from _gallery(item, files)


def _table(table: Table) -> str:
    right = table.numeric.values()
    lines = [
        list(map(plain, table.cells)),
        ["---:" if number else "---" for number in right],
        *([plain(text) for text, _, _ in line] for line in table.lines()),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _caption(caption: str) -> Iterator[str]:
    if caption:
        yield prose(caption)


def _gallery(gallery: Gallery, files: dict[str, bytes]) -> Iterator[str]:
    yield f"### {plain(gallery.title)}"
    for sample in gallery.samples:
        description = f"{plain(sample.title)}: {plain(sample.caption)}"
        if isinstance(sample.image, str):
            yield f"{description}. {plain(sample.image)}"
            continue
        name = f"{SAMPLES}/{sample.trial_id}.png"
        files[name] = sample.image
        yield f"![{plain(sample.title)}]({name})"
        yield f"{description}; trial {plain(sample.trial_id)}"
