"""Retries of writes to the results folder: a disk that is full for some minutes must not cost hours of training.

A write that fails is never the fault of a trial. If it still fails after the waiting time, the whole study stops with
one line (`StudyStops`), and no trial is recorded as failed.
"""

from collections.abc import Callable
from pathlib import Path

from tenacity import (
    Future,
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
)

from study.core.context import PATIENCE
from study.core.errors import StudyStops

PAUSES = (0.5, 30.0)
"""Seconds between two attempts: the first pause and the longest one; each pause is twice the previous one."""


def write_with_retry(
    write: Callable[[], object], results: Path, say: Callable[[str], None], patience: float = PATIENCE
) -> None:
    """Call `write`, which writes to the results folder, until it succeeds.

    Args:
        write: called again after each OSError; other errors are raised at once.
        results: the results folder, for messages.
        say: receives one line after the first failure.
        patience: seconds for which a failed write is repeated; 0 for a single attempt.

    Raises StudyStops if the write still fails after `patience` seconds.
    """
    first, longest = PAUSES
    exponential = wait_exponential(multiplier=first, max=longest)

    def pause(state: RetryCallState) -> float:
        """The last pause ends with the waiting time, so that the last attempt is made exactly then."""
        return min(exponential(state), max(0.0, patience - (state.seconds_since_start or 0.0)))

    def warn_once(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            say(f"results cannot be written ({_reason(state.outcome)}); waiting")

    attempts = Retrying(
        retry=retry_if_exception_type(OSError),
        wait=pause,
        stop=stop_after_delay(patience),
        after=warn_once,
    )
    try:
        attempts(write)
    except RetryError as error:
        reason = _reason(error.last_attempt)
        raise StudyStops(
            f"--results {results}: cannot be written ({reason}); make the folder writable and free disk space;"
            " finished trials are kept, and the same command continues from there."
        ) from error


def _reason(attempt: Future | None) -> str:
    """What the system said of a failed attempt."""
    error = attempt.exception() if attempt else None
    return (isinstance(error, OSError) and error.strerror) or str(error)
