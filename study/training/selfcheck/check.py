"""What a check is, and how checks run one after another: one that fails does not end the others."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from study.core.errors import first_line

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


class Failed(Exception):  # noqa: N818  an outcome, not an error
    """What was checked is wrong; the message gives the figure."""


class Skipped(Exception):  # noqa: N818  an outcome, not an error
    """The check cannot run here; the message says why."""


class Finding(NamedTuple):
    """What a check that passed found: one line, and its figures by name."""

    text: str
    figures: Mapping[str, Any] = {}


class Check(NamedTuple):
    """A check by name; `run` returns what it found, or raises Failed, Skipped or any other error."""

    name: str
    run: Callable[[], Finding]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a check ended.

    Attributes:
        name: of the check.
        status: OK, FAILED or SKIPPED.
        found: the figure beside its tolerance, or the reason.
        seconds: that it took.
        figures: plain values by name.
    """

    name: str
    status: str
    found: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The result in one line."""
        return f"{self.status:7}  {self.name:52}  {self.found}  ({self.seconds:.1f} s)"


def results(checks: Iterable[Check]) -> Iterator[Result]:
    """Run the checks in their order; yields the result of each when it ends."""
    for name, run in checks:
        start = time.perf_counter()
        status, figures = OK, dict[str, Any]()
        try:
            finding = run()
            found, figures = finding.text, dict(finding.figures)
        except Skipped as reason:
            status, found = SKIPPED, str(reason)
        except Failed as reason:
            status, found = FAILED, str(reason)
        except Exception as error:  # whatever it is, it is what this machine does
            status, found = FAILED, first_line(error)
        yield Result(name=name, status=status, found=found, seconds=time.perf_counter() - start, figures=figures)
