"""How far a study is, once or again and again."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli import options
from study.core.errors import InputError
from study.driver.request import ResultsFolder

EVERY = 10.0
"""Seconds between two looks of `--watch`."""


app = typer.Typer()


@app.command(epilog="Example: `study status --results /shared/results --watch`")
@options.spread
def status(
    *,
    folder: ResultsFolder,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until nothing is left.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", metavar="SECONDS")] = EVERY,
    everything: Annotated[bool, typer.Option("--all", help="Cut no list, and name every trial in trouble.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, one JSON object a line.")] = False,
) -> None:
    """Show how far a study is: trials, speed by node, time left, failures with their reasons, and who runs it.

    It reads what stands in the folder, from any machine that sees it, and disturbs nobody.
    """
    results = folder.results
    if not results.is_dir():
        raise InputError(f"--results {results}: no such folder; `study run grid` makes it.")
    if not every > 0:
        raise InputError(f"--every {every:g}: must be more than 0 seconds.")
    from study.cli.status.reader import Reader

    reader = Reader(results, _warn)
    if not watch:
        _show(_look(reader), results, everything=everything, as_json=as_json)
        return
    try:
        if sys.stdout.isatty() and not as_json:
            _watch_live(reader, results, every=every, everything=everything)
        else:
            _watch_lines(reader, every=every, as_json=as_json)
    except KeyboardInterrupt:
        return  # which is how a watch ends


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _look(reader: Any, every: float | None = None) -> Any:
    """What is there now; in a watch, that looks `every` so many seconds, once it can be read."""
    from datetime import UTC, datetime

    from study.cli.status.summary import summarize

    found = reader.read() if every is None else reader.read_at_last(every)
    return summarize(found, datetime.now(UTC))


def _show(found: Any, results: Path, *, everything: bool, as_json: bool) -> None:
    import json

    from rich.console import Console

    from study.cli.status import render

    if as_json:
        print(json.dumps(render.numbers(found), allow_nan=False))
    elif sys.stdout.isatty():
        Console().print(render.rendered(found, results, everything=everything))
    else:
        print("\n".join(render.lines(found, results, everything=everything)))


def _watch_live(reader: Any, results: Path, *, every: float, everything: bool) -> None:
    from rich.live import Live

    from study.cli.status.render import rendered

    with Live(auto_refresh=False) as live:
        while True:
            found = _look(reader, every)
            live.update(rendered(found, results, everything=everything, fold=False), refresh=True)
            if found.ended:
                return
            time.sleep(every)


def _watch_lines(reader: Any, *, every: float, as_json: bool) -> None:
    """A line whenever something has changed but the time."""
    import json

    from study.cli.status.render import line, numbers

    before = None
    while True:
        found = _look(reader, every)
        now = (found.progress, found.unfinished, found.troubles, found.holders)
        if now != before:
            print(json.dumps(numbers(found), allow_nan=False) if as_json else line(found), flush=True)
            before = now
        if found.ended:
            return
        time.sleep(every)
