"""`study table`: show a table of a study, or write it for papers and other tools."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options, terminal
from study.cli.show.view import View
from study.core.errors import InputError, look_up
from study.core.output import show
from study.driver.request import OUTPUT_PANEL, one_of

if TYPE_CHECKING:
    import pandas as pd

    from analysis.rows.view import Rows
    from analysis.tables import TableKind

CSV, PLAIN = "csv", "plain"
SUFFIXES = {".csv": CSV, ".md": "markdown", ".tex": "latex", ".txt": PLAIN}
"""The format by the suffix of the output file."""


app = typer.Typer()


@app.command(epilog="Examples: `study table comparisons --results results`, `study table best --output best.tex`")
@options.keeps("No file was left incomplete")
@options.spread
def table(
    view: View,
    name: Annotated[str | None, typer.Argument(help="Name of a table.  [default: list all tables]")] = None,
    format_name: Annotated[
        str | None,
        one_of(
            (PLAIN, "markdown", "latex", CSV),
            "--format",
            help="Table format; latex needs the package booktabs.  [default: from the suffix of --output, else plain]",
            panel=OUTPUT_PANEL,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write to.  [default: the standard output]", metavar="FILE", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
) -> None:
    """Show or write a table of a study with its caption. csv has all columns at full precision, without a caption."""
    from analysis.rows.view import NotEnough
    from analysis.tables import tables

    if name is None:
        show(*(f"{kind.name}: {kind.title}" for kind in tables().values()))
        return
    kind = look_up("table", name, tables())
    layout = _layout(format_name, output)
    rows = view.open()
    try:
        frame = kind.compute(rows)
    except NotEnough as error:
        raise InputError(f"table {name}: {error}") from error
    if output is None and layout == PLAIN and sys.stdout.isatty():
        terminal.print_tables(kind.words(frame))
        show(*kind.caption(rows, frame).splitlines())
        return
    text = _text(kind, rows, frame, layout)
    if output is None:
        show(*text.removesuffix("\n").split("\n"))
    else:
        _write(output, text)


def _layout(name: str | None, output: Path | None) -> str:
    """The name of the format: the given one, else that of the suffix of the output file, else plain.

    Raises:
        InputError: the name or the suffix is unknown.
    """
    if name is not None:
        look_up("--format", name, dict.fromkeys(SUFFIXES.values()))
        return name
    if output and output.suffix not in SUFFIXES:
        raise InputError(f"--output {output}: unknown suffix; must be one of {', '.join(SUFFIXES)}, or give --format.")
    return SUFFIXES[output.suffix] if output else PLAIN


def _text(kind: "TableKind", rows: "Rows", frame: "pd.DataFrame", layout: str) -> str:
    """The table in a format, with its caption unless it is csv."""
    from analysis.tables import LAYOUTS, csv

    return csv(frame) if layout == CSV else LAYOUTS[layout](kind.words(frame), kind.caption(rows, frame))


def _write(path: Path, text: str) -> None:
    """Write the file completely, or not at all.

    Raises:
        InputError: it cannot be written.
    """
    from study.storage.files import replace

    try:
        replace(path, lambda file: file.write(text.encode(errors="replace")))
    except OSError as error:
        raise InputError(
            f"--output {path}: cannot be written ({error.strerror or error}); choose another file."
        ) from error
    show(f"table: {path}")
