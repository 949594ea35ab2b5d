"""Storage that fails is waited for: hours of a trial are not given up for a disk that is full for minutes.

A trial is never to blame for it. Where the wait was in vain the whole study stops, with one line (`StudyStops`), and no
trial is recorded as failed.
"""

import time
from collections.abc import Callable
from pathlib import Path

from study.core.context import PATIENCE
from study.core.errors import StudyStops

PAUSES = (0.5, 30.0)
"""Seconds between two attempts: the first pause, and the longest; each is twice the one before."""


def patiently(
    write: Callable[[], object], results: Path, say: Callable[[str], None], patience: float = PATIENCE
) -> None:
    """Call `write`, which writes to the results folder, until it succeeds; `say` is told once that it does not.

    Raises StudyStops where it fails for longer than `patience` seconds. Other errors than those of storage are raised.
    """
    deadline, (pause, longest) = time.monotonic() + patience, PAUSES
    told = False
    while (reason := _attempt(write)) is not None:
        if not told:
            say(f"results cannot be written ({reason}); waiting")
            told = True
        left = deadline - time.monotonic()
        if left <= 0:
            raise StudyStops(
                f"--results {results}: cannot be written ({reason}); make it writable, with room: every finished trial"
                " is kept, and the same command goes on from there."
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, longest)


def _attempt(write: Callable[[], object]) -> str | None:
    """Why the attempt failed; None where it did not."""
    try:
        write()
    except OSError as error:
        return error.strerror or str(error)
    return None
