"""`study status`: show the progress of a study, once or repeatedly."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.core import output
from study.core.errors import InputError
from study.core.output import show, show_error
from study.driver.request import OUTPUT_PANEL, ResultsFolder

if TYPE_CHECKING:
    from study.cli.status.reader import ResultsReader
    from study.cli.status.summary import Status

EVERY = 10.0
"""Default number of seconds between two updates of --watch."""


app = typer.Typer()


@app.command(epilog="Example: `study status --results /shared/results --watch`")
@options.keeps("The watch ended, and the study goes on as before")
@options.spread
def status(
    *,
    folder: ResultsFolder,
    watch: Annotated[bool, typer.Option("--watch", help="Update repeatedly, until no trial is left to run.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two updates of --watch.", metavar="SECONDS")] = EVERY,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Show complete lists, and the ids of all failed and diverged trials.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
) -> None:
    """Show the progress of a study: trials, speed per node, time left, failures with reasons, and running processes.

    This works on any machine that can read the results folder. It writes nothing, and does not disturb a running study.
    """
    results = folder.results
    if not results.is_dir():
        raise InputError(f"--results {results}: no such folder; run `study run grid --results {results}` first.")
    if not every > 0:
        raise InputError(f"--every {every:g}: must be above 0 seconds.")
    from study.cli.status.reader import ResultsReader

    reader = ResultsReader(results, show_error)
    if not watch:
        _show(_read(reader), results, show_all=show_all, as_json=as_json)
        return
    if sys.stdout.isatty() and not as_json:
        _watch_live(reader, results, every=every, show_all=show_all)
    else:
        _watch_lines(reader, every=every, as_json=as_json)


def _read(reader: "ResultsReader", every: float | None = None) -> "Status":
    """The current status. With `every`, a read that fails is repeated after `every` seconds until it succeeds."""
    from datetime import UTC, datetime

    from study.cli.status.summary import summarize

    contents = reader.read() if every is None else reader.read_with_retries(every)
    return summarize(contents, datetime.now(UTC))


def _show(status: "Status", results: Path, *, show_all: bool, as_json: bool) -> None:
    """Print the status: as JSON, with bars on a terminal, otherwise as plain lines."""
    import json

    from rich.console import Console

    from study.cli.status import render

    if as_json:
        show(json.dumps(render.to_dict(status), allow_nan=False))
    elif sys.stdout.isatty():
        Console().print(render.renderable(status, results, show_all=show_all))
    else:
        show(*render.lines(status, results, show_all=show_all))


def _watch_live(reader: "ResultsReader", results: Path, *, every: float, show_all: bool) -> None:
    """Redraw the status on a terminal every `every` seconds, until the study has ended."""
    from rich.live import Live

    from study.cli.status.render import renderable

    with Live(auto_refresh=False) as live:
        while True:
            status = _read(reader, every)
            live.update(renderable(status, results, show_all=show_all, fold=False), refresh=True)
            if status.ended:
                return
            time.sleep(every)


def _watch_lines(reader: "ResultsReader", *, every: float, as_json: bool) -> None:
    """Print a line whenever something other than the time has changed, until the study has ended or nobody reads."""
    import json

    from study.cli.status.render import summary_line, to_dict

    previous = None
    while True:
        status = _read(reader, every)
        state = (status.progress, status.unfinished, status.problems, status.holders)
        if state != previous:
            show(json.dumps(to_dict(status), allow_nan=False) if as_json else summary_line(status))
            previous = state
        if status.ended or output.lost:
            return
        time.sleep(every)
