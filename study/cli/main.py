"""The command line: joins the apps of the commands, and turns errors into one line and an exit code."""

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from study.cli.catalog import data, datasets, methods, spaces
from study.cli.run import bench, bo, plan, run, train
from study.cli.score import baseline, compare_protocols, evaluate, sample
from study.cli.show import claims, export, figures, report, table
from study.cli.status import command as status
from study.core.errors import InputError

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


def _show_version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        print(f"gan-study {version('gan-study')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line; an error of the user's is one line on standard error and exit code 2, the system's 1.

    Where the reader of the output has gone, as in `study status | head -1`, the command ends quietly.
    """
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        print(error, file=sys.stderr)
        code = 2
    except TyperException as error:
        print(" ".join(error.format_message().split()), file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        print("stopped; every finished trial is kept, and the same command continues from there.", file=sys.stderr)
        code = 130
    except OSError as error:  # but for a closed pipe, of which typer makes exit code 1
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    sys.exit(code)
