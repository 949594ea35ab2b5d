"""Prints lines for the user, in any encoding, without control characters from names, and also if nobody reads them."""

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

from study.core.text import printable

_FORMS = (
    "α:alpha β:beta λ:lambda ∞:inf ±:+/- ×:x ≤:<= ≥:>= −:- –:- —:- …:... ‘:' ’:' “:\" ”:\""  # noqa: RUF001
    " ↑:^ ↓:v ▴:^ ▾:v ✓:yes •:* │:| ─:- ━:-"
)
ASCII = dict(form.split(":") for form in _FORMS.split())
"""Forms of symbols for encodings that lack them; every other character becomes a backslash escape."""
lost: list[OSError] = []
"""Errors after which a stream of this command is no longer written to."""


def _degraded(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(ASCII.get(letter) or ascii(letter)[1:-1] for letter in text), error.end


codecs.register_error("study.degrade", _degraded)


def prepare_streams() -> None:
    """Make the standard streams print every character in some form; closed ones are replaced by the null device."""
    lost.clear()
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="study.degrade")


def show(*lines: str, file: TextIO | None = None) -> None:
    """Print lines on `file` (the standard output by default), with escapes for all that is not printable in them.

    No work fails because a line cannot be printed: then `lost` gets the error, and later lines are dropped.
    """
    stream = file or sys.stdout
    try:
        print(*map(printable, lines), sep="\n", file=stream, flush=True)
    except OSError as error:
        lost.append(error)
        with contextlib.suppress(OSError), _nowhere() as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())  # also for what the stream has not flushed yet
        if stream is not sys.stderr and not isinstance(error, BrokenPipeError):
            show_error(f"standard output: cannot be written ({error.strerror}); the command goes on without it")


def show_error(*lines: str) -> None:
    """Print lines on the standard error; see `show`."""
    show(*lines, file=sys.stderr)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
