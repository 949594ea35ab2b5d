"""How options are declared: panels of the help, values that the shell completes, and checks."""

from collections.abc import Callable, Iterable
from typing import Any

import typer

from study.core.errors import InputError

TRAINED, SEARCHED, SCORED, KEPT = "What is trained", "How it is searched", "How it is scored", "What is kept"


RESOURCES, RUNNING, FOLDERS = "Resources", "Running", "Folders"


def one_of(names: Iterable[str], **how: Any) -> Any:
    """An option whose value is one of some names: shown in the help, and completed by the shell."""
    known = list(names)
    return typer.Option(metavar="|".join(known), autocompletion=completing(lambda: known), **how)


def several_of(names: Callable[[], Iterable[str]], **how: Any) -> Any:
    """An option whose value is a list of names, separated by commas, that the shell completes."""
    return typer.Option(metavar="NAME,...", autocompletion=completing(names), **how)


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What completes the last name of a list separated by commas; the names are looked up when they are needed."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def check_positive(**numbers: int | None) -> None:
    """Raises InputError where a number that was given is below 1; each is named like its option."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"--{name.replace('_', '-')} {number}: must be 1 or more.")
