"""The command that shows the tables of a study, and writes them for papers and other tools."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options, terminal
from study.cli.show.view import View
from study.core.errors import InputError, look_up

if TYPE_CHECKING:
    import pandas as pd

    from analysis.rows.view import Rows
    from analysis.tables import TableKind

CSV, PLAIN = "csv", "plain"
SUFFIXES = {".csv": CSV, ".md": "markdown", ".tex": "latex", ".txt": PLAIN}
"""Formats by the suffix of the output."""


app = typer.Typer()


@app.command(epilog="Examples: `study table comparisons --results results`, `study table best --output best.tex`")
@options.spread
def table(
    view: View,
    name: Annotated[str | None, typer.Argument(help="A table; without a name they are listed.")] = None,
    format: Annotated[
        str | None,
        typer.Option(help="plain, markdown, latex (booktabs) or csv.  [default: by the output's suffix, or plain]"),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file instead of the screen.", metavar="FILE")] = None,
) -> None:
    """Show a table of a study with its caption, from the rows alone; csv is the whole frame at full precision."""
    from analysis.rows.view import NotEnough
    from analysis.tables import tables

    if name is None:
        print("\n".join(f"{kind.name}: {kind.title}" for kind in tables().values()))
        return
    kind = look_up("table", name, tables())
    layout = _format(format, output)
    rows = view.open()
    try:
        frame = kind.compute(rows)
    except NotEnough as error:
        raise InputError(f"table {name}: {error}") from error
    if output is None and layout == PLAIN and sys.stdout.isatty():
        terminal.print_tables(kind.words(frame))
        print(kind.caption(rows, frame))
        return
    text = _text(kind, rows, frame, layout)
    if output is None:
        print(text, end="")
    else:
        _write(output, text)


def _format(name: str | None, output: Path | None) -> str:
    """The name of the format, by the output's suffix where none is asked for."""
    if name is not None:
        look_up("--format", name, dict.fromkeys(SUFFIXES.values()))
        return name
    if output and output.suffix not in SUFFIXES:
        raise InputError(f"--output {output}: no format has this suffix ({', '.join(SUFFIXES)}); say --format.")
    return SUFFIXES[output.suffix] if output else PLAIN


def _text(kind: "TableKind", rows: "Rows", frame: "pd.DataFrame", layout: str) -> str:
    from analysis.tables import LAYOUTS, csv

    return csv(frame) if layout == CSV else LAYOUTS[layout](kind.words(frame), kind.caption(rows, frame))


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    from study.storage.files import replace

    try:
        replace(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror or error}).") from error
    print(f"table: {path}")
