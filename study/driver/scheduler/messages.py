"""What the driver and its workers send each other through Ray Tune: frozen values that can be pickled.

Ray Tune passes a dictionary each way. Each has one entry of ours: `ASSIGNMENT` in the configuration of a Tune trial,
`MESSAGE` in a result that a worker reports.
"""

from dataclasses import dataclass

from study.worker.outcome import Outcome, PartialResult
from study.worker.trial_run import Task

ASSIGNMENT = "assignment"
MESSAGE = "message"


@dataclass(frozen=True, kw_only=True)
class Halving:
    """How the trial of an assignment takes part in successive halving.

    Attributes:
        group: trials of one group compete.
        grace_steps: discriminator updates before which no trial is stopped.
        steps: discriminator updates of a whole trial.
    """

    group: str
    grace_steps: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The pack of trials that a worker runs next.

    Attributes:
        context: index into the contexts of the work. Ray Tune copies and saves an assignment several times, so it holds
            no context itself.
        slots: slots of the pack's program; see `study.worker.execute.execute_pack`.
        tasks: the trials, at least one.
        halving: None if trials are not stopped early; else there is one task.
    """

    context: int
    slots: int
    tasks: tuple[Task, ...]
    halving: Halving | None = None


@dataclass(frozen=True)
class Notice:
    """A line for the user."""

    line: str


@dataclass(frozen=True)
class StopRequest:
    """No trial can run on the worker's machine: the whole study must stop, with this reason."""

    reason: str


Message = Notice | StopRequest | PartialResult | Outcome
"""What a worker reports."""
