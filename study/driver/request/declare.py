"""Helpers to declare options: the panels of the help texts, shell completion and checks of values."""

from collections.abc import Callable, Iterable
from typing import Any

import typer

from study.core.errors import InputError

TRAINING_PANEL, SEARCH_PANEL, SCORING_PANEL, KEEP_PANEL = "Training", "Search", "Scoring", "Saved files"
RESOURCES_PANEL, EXECUTION_PANEL, FOLDERS_PANEL, OUTPUT_PANEL = "Resources", "Execution", "Folders", "Output"


def one_of(names: Iterable[str], *flags: str, help: str, panel: str | None = None) -> Any:
    """An option that takes one of the given names. The help shows the names, and the shell completes them.

    The command itself checks the value, so that its error can suggest the closest name.

    Args:
        names: allowed values.
        flags: such as "--format"; without any, Typer derives the flag from the parameter's name.
        help: help text of the option.
        panel: panel of the help in which the option is shown.
    """
    allowed = list(names)
    completion = completer(lambda: allowed)
    return typer.Option(*flags, help=help, metavar="|".join(allowed), autocompletion=completion, rich_help_panel=panel)


def several_of(names: Callable[[], Iterable[str]], *flags: str, help: str, panel: str | None = None) -> Any:
    """An option that takes a comma-separated list of names, which the shell completes.

    Args:
        names: returns the allowed names; called only when the shell asks for a completion.
        flags: such as "--format"; without any, Typer derives the flag from the parameter's name.
        help: help text of the option.
        panel: panel of the help in which the option is shown.
    """
    return typer.Option(*flags, help=help, metavar="NAME,...", autocompletion=completer(names), rich_help_panel=panel)


def completer(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion function for the last name of a comma-separated list; it calls `names` only when it is called."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def check_positive(**numbers: int | None) -> None:
    """Check that every given number is 1 or more; each keyword is the option's name with underscores.

    Raises:
        InputError: a number is below 1. None means that the option was not given, and passes.
    """
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"--{name.replace('_', '-')} {number}: must be 1 or more.")
