"""The command line: joins the apps of all commands, and turns an error into one line and an exit code."""

import contextlib
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from study.cli.catalog import data, datasets, methods, spaces
from study.cli.run import bench, bo, plan, run, train
from study.cli.score import baseline, compare_protocols, evaluate, sample
from study.cli.show import claims, export, figures, report, table
from study.cli.status import command as status
from study.core.errors import InputError

INTERRUPTED = 130
"""Exit code after an interrupt."""

app = typer.Typer(
    name="study",
    help="Run, repeat and extend the large-scale study of regularization and normalization in GANs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
PANELS = {
    "Run": (run, bo, train, plan, bench),
    "Score": (evaluate, compare_protocols, sample),
    "Show": (status, report, figures, table, claims, export),
    "List": (spaces, datasets, methods),
}
for panel, commands in PANELS.items():
    for command in commands:
        command.app.registered_commands[0].rich_help_panel = panel
        app.add_typer(command.app)
data.app.add_typer(baseline.app)
app.add_typer(data.app, name="data", rich_help_panel="List")


def _show_version(requested: bool) -> None:
    from importlib.metadata import version

    if requested:
        print(f"gan-study {version('gan-study')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""


def _prepare_environment() -> None:
    """Lets libraries run in silence without a home folder or shared memory, and text be printed in any locale."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            Path("~/.cache").expanduser().stat()
    except (RuntimeError, PermissionError):  # there is no home, or this user cannot enter it
        os.environ["HOME"] = "/nonexistent"  # as Debian names the home of users without one
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and (out.errors == "strict" or out.encoding.lower() != "utf-8"):
        out.reconfigure(errors="replace")


def main() -> None:
    """Run the command line, then exit.

    Every error is one line on standard error. Exit codes: 2 for wrong input, 1 for an error of the system, 3 if trials
    failed, 130 after an interrupt. If the reader of the output closes early, as in `study status | head -1`, the
    command ends without a message.
    """
    _prepare_environment()
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        print(error, file=sys.stderr)
        code = 2
    except TyperException as error:
        print(" ".join(error.format_message().split()), file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:  # not a closed pipe: Typer itself turns that into exit code 1
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    if code == INTERRUPTED:  # Typer itself turns an interrupt within a command into this code
        print("Interrupted. All finished trials are saved; run the same command again to continue.", file=sys.stderr)
    sys.exit(code)
