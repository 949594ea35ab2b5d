"""Errors made for the user, and names looked up in a menu with a suggestion when one is unknown."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Member = TypeVar("Member")


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: field, value, what is allowed, remedy."""


def unknown(field: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not on the menu, with the closest known name first.

    >>> print(unknown("--dataset", "celebahq", ["digits", "celeba-hq-128"]))
    --dataset celebahq: unknown; did you mean celeba-hq-128? Known: celeba-hq-128, digits.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    suggestion = f"; did you mean {close[0]}?" if close else "."
    return InputError(f"{field} {name}: unknown{suggestion} Known: {', '.join(known) or 'there are none'}.")


def look_up(field: str, name: str, menu: Mapping[str, Member]) -> Member:
    """The member of `menu` called `name`; raises InputError with a suggestion where there is none."""
    if name not in menu:
        raise unknown(field, name, menu)
    return menu[name]


class StudyStops(InputError):  # noqa: N818
    """What no trial is to blame for, and none can be run with: the study stops and says this line."""
