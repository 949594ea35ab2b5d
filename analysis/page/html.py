"""A page as one HTML file that needs nothing else: no network, no other file."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from analysis.page.document import Document
from analysis.page.images import data_uri, figure_uri
from study.core.errors import InputError
from study.storage.files import replace

PIXELS, LEAST = 140, 88
"""Of a figure's inch on the page, so that its 7-point letters are as large as captions; and on a narrow screen."""
LONG, WIDE = 24, 9
"""Rows of a table beyond which it scrolls within the page, but not in print; columns beyond which print is small."""
SHORT, PROSE = 18, 60
"""Letters up to which a cell stays on one line, and from which on it is given room for sentences."""


def html(page: Document) -> str:
    """The page. Whatever names it holds are shown as text, and no script runs but the page's own."""
    here = Path(__file__).with_name("templates")
    environment = Environment(loader=FileSystemLoader(here), autoescape=True, trim_blocks=True, lstrip_blocks=True)
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


def _cell(text: str, number: bool) -> str:
    """The class of a cell: how it may be broken."""
    if number:
        return "number"
    if len(text) <= SHORT:
        return "short"
    return "word" if " " not in text else "prose" if len(text) > PROSE else "words"


def write_html(page: Document, path: Path) -> Path:
    """Write the page, all of it or nothing; makes the folder. Raises InputError where it cannot be written."""
    text = html(page)
    try:
        replace(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror or error}).") from error
    return path
