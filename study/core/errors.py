"""Errors for the user, and the lookup of names with a suggestion for an unknown name."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Member = TypeVar("Member")


class InputError(ValueError):
    """Invalid input from the user. The message is one line: field, value, allowed values, remedy."""


class Interrupted(Exception):  # noqa: N818
    """The user interrupted a command. The message says what is kept, without a full stop."""


def unknown(field: str, name: str, known: Iterable[str]) -> InputError:
    """The error for an unknown name: suggests the closest known name and lists all known names.

    >>> print(unknown("--dataset", "celebahq", ["digits", "celeba-hq-128"]))
    --dataset celebahq: unknown; did you mean celeba-hq-128? Known: celeba-hq-128, digits.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    suggestion = f"; did you mean {close[0]}?" if close else "."
    return InputError(f"{field} {name}: unknown{suggestion} Known: {', '.join(known) or 'there are none'}.")


def look_up(field: str, name: str, menu: Mapping[str, Member]) -> Member:
    """The entry `name` of `menu`; raises InputError with a suggestion if there is none."""
    if name not in menu:
        raise unknown(field, name, menu)
    return menu[name]


def first_line(error: Exception) -> str:
    """The type and the first line of an error."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def in_one_line(error: Exception) -> str:
    """The type and the whole message of an error, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class StudyStops(InputError):  # noqa: N818
    """A problem that no trial caused and that prevents all of them: the study stops with this message."""
