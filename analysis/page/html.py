"""A report as one self-contained HTML file: no network access, no other files."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from analysis.page.document import Document
from analysis.page.images import data_uri, figure_uri
from study.core.errors import InputError
from study.core.text import printable
from study.storage.files import replace

PIXELS, LEAST = 140, 88
"""Pixels per inch of a figure, so that its 7-point text is as large as captions; and the minimum on narrow screens."""
LONG, WIDE = 24, 9
"""Number of rows above which a table scrolls (not in print), and of columns above which it is printed smaller."""
SHORT, PROSE = 18, 60
"""Number of letters up to which a cell is not wrapped, and above which it gets the width of prose."""


def html(page: Document) -> str:
    """The report as HTML. All names are escaped, and only the report's own script can run."""
    here = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, finalize=_printable, trim_blocks=True, lstrip_blocks=True
    )
    script = (here / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        page=page,
        style=(here / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        figure_uri=figure_uri,
        png_uri=lambda content: data_uri(content, "image/png"),
        pixels=PIXELS,
        least=LEAST,
        long=LONG,
        wide=WIDE,
        cell=_cell,
    )


def _printable(value: object) -> object:
    """What the template inserts: text with escapes for what is not printable in its lines; its own markup stays."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(printable, value.split("\n")))


def _cell(text: str, number: bool) -> str:
    """The CSS class of a cell, which controls line breaks."""
    if number:
        return "number"
    if len(text) <= SHORT:
        return "short"
    return "word" if " " not in text else "prose" if len(text) > PROSE else "words"


def write_html(page: Document, path: Path) -> Path:
    """Write the report atomically; creates the folder. Raises InputError if it cannot be written."""
    text = html(page)
    try:
        replace(path, lambda file: file.write(text.encode(errors="replace")))
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror or error}).") from error
    return path
