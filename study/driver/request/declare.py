"""Declaring options: panels of the help, shell completion, and checks."""

from collections.abc import Callable, Iterable
from typing import Any

import typer

from study.core.errors import InputError

TRAINED, SEARCHED, SCORED, KEPT = "What is trained", "How it is searched", "How it is scored", "What is kept"


RESOURCES, RUNNING, FOLDERS = "Resources", "Running", "Folders"


def one_of(names: Iterable[str], **settings: Any) -> Any:
    """An option with one of these names as its value: the help lists them, and the shell completes them."""
    known = list(names)
    return typer.Option(metavar="|".join(known), autocompletion=completing(lambda: known), **settings)


def several_of(names: Callable[[], Iterable[str]], **settings: Any) -> Any:
    """An option with a list of names, separated by commas, as its value; the shell completes the names."""
    return typer.Option(metavar="NAME,...", autocompletion=completing(names), **settings)


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion of the last name of a list separated by commas; `names` is called only when needed."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]

    return complete


def check_positive(**numbers: int | None) -> None:
    """Raises InputError if a given number is below 1; the keywords are the names of the options."""
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"--{name.replace('_', '-')} {number}: must be 1 or more.")
