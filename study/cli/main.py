"""The command line: joins the apps of all commands, and turns an error into one line and an exit code."""

import contextlib
import logging
import os
import shlex
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from study.cli.catalog import data, datasets, methods, spaces
from study.cli.run import bench, bo, plan, run, selfcheck, train
from study.cli.score import baseline, compare_protocols, evaluate, sample
from study.cli.show import claims, export, figures, report, table
from study.cli.status import command as status
from study.core import output
from study.core.errors import InputError, Interrupted, in_one_line
from study.core.output import show, show_error

app = typer.Typer(
    name="study",
    help="Run, repeat and extend the large-scale study of regularization and normalization in GANs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
PANELS = {
    "Run": (run, bo, train, plan, bench, selfcheck),
    "Score": (evaluate, compare_protocols, sample),
    "Show": (status, report, figures, table, claims, export),
    "List": (spaces, datasets, methods),
}
INTERRUPTED = 130
"""Exit code after an interrupt, as shells give it."""

for panel, commands in PANELS.items():
    for command in commands:
        command.app.registered_commands[0].rich_help_panel = panel
        app.add_typer(command.app)
data.app.add_typer(baseline.app)
app.add_typer(data.app, name="data", rich_help_panel="List")


def _show_version(requested: bool) -> None:
    from importlib.metadata import version

    if requested:
        show(f"gan-study {version('gan-study')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""


def _prepare_environment() -> None:
    """Let libraries run in silence without a home folder or shared memory."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            Path("~/.cache").expanduser().stat()
    except (RuntimeError, PermissionError):  # there is no home, or this user cannot enter it
        os.environ["HOME"] = "/nonexistent"  # as Debian names the home of users without one
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")


def main() -> None:
    """Run the command line, then exit.

    Every error is one line on standard error. Exit codes: 2 for wrong input, 1 for an error of the system or if the
    output cannot be written, 3 if trials failed, 130 after an interrupt. If the reader of the output closes early, as
    in `study status | head -1`, the command goes on without output.
    """
    output.prepare_streams()
    _prepare_environment()
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns an interrupt of a command without `options.keeps` into this exit code
            raise KeyboardInterrupt
    except InputError as error:
        show_error(str(error))
        code = 2
    except TyperException as error:
        show_error(" ".join(error.format_message().split()))
        code = 2
    except (Interrupted, KeyboardInterrupt) as stop:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second interrupt ends the process at once
        kept = str(stop) or "No file was left incomplete"
        show_error(f"Interrupted. {kept}. To continue: {shlex.join(['study', *sys.argv[1:]])}")
        # After an interrupt within an exec(), as that of dataclasses, Python would end by the signal, not by the code,
        # unless there is another exec().
        exec("")
        code = INTERRUPTED
    except OSError as error:
        show_error(in_one_line(error))
        code = 1
    if any(not isinstance(error, BrokenPipeError) for error in output.lost):
        code = code or 1
    sys.exit(code)
