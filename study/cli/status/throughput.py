"""How fast a study goes, from the rows of what has ended.

Clocks of nodes differ and jump, so that times of different nodes are never compared: each node has a rate of its own,
in its own time, and the study's is their sum. Durations were measured by clocks that do not jump.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from study.storage.schema import FAILED

PAUSE = 2.0
"""Durations of the longest trial in which nothing finishes, after which work was interrupted."""
SHORTEST_PAUSE = 60.0
"""Seconds; between trials of seconds, more is lost at the start of workers than in the trials."""
SLACK = 60.0
"""Seconds by which clocks of nodes differ that are in order."""
LOST = 1.0
"""Seconds from start to end of a row that the driver wrote for a worker that had died: it tells of no work."""
JUMPED = 0.25
"""The share of a node's rows up to which those of the future are taken for a jump of its clock, not for its time."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One device of a machine, in its last stretch of work.

    `trials` counts all that ended there; `trials_per_hour` and `at_work`, the mean number of trials at a time, are of
    the stretch, and None where no row tells; `images_per_second` is the mean of its rows, `throughput` that of all its
    trials together; `last` is the seconds since it finished one. `current` says whether it had work when the study last
    had.
    """

    host: str
    device: str
    trials: int
    trials_per_hour: float | None
    images_per_second: float | None
    at_work: float | None
    throughput: float
    last: float
    current: bool


@dataclass(frozen=True, kw_only=True)
class Pace:
    """All nodes, and of those with work: trials per hour, trials at a time, real images per second of all together."""

    nodes: tuple[Node, ...] = ()
    trials_per_hour: float | None = None
    at_work: float | None = None
    images_per_second: float | None = None
    last: float | None = None
    pause: float = SHORTEST_PAUSE

    @property
    def going(self) -> bool:
        """Whether something finished lately enough for more to be under way."""
        return self.last is not None and self.last <= self.pause


def worked(row: Mapping[str, Any]) -> float:
    """Seconds of the process that ended a trial, 0 or more; a resumed trial's seconds are of earlier ones, too."""
    elapsed: float = (row["finished_at"] - row["started_at"]).total_seconds()
    counted: list[float] = [row[name] for name in ("training_seconds", "scoring_seconds") if row[name] is not None]
    if not counted:
        return max(elapsed, 0.0)
    return min(elapsed, sum(counted)) if elapsed > 0 else sum(counted)


def lost(row: Mapping[str, Any]) -> bool:
    """Whether a row was written in place of a worker that was lost, by the driver and at once."""
    unmeasured = row["training_seconds"] is None and row["scoring_seconds"] is None
    return row["status"] == FAILED and unmeasured and worked(row) < LOST


def measure(rows: Sequence[Mapping[str, Any]], now: datetime) -> Pace:
    """The pace of the rows of `trials.parquet`, at the time `now`; those of lost workers are of no node."""
    rows = [row for row in rows if not lost(row)]
    nodes = defaultdict(list)
    for row in rows:
        nodes[row["host"], row["device"]].append(row)
    if not nodes:
        return Pace()
    measured = [worked(row) for row in rows if row["training_seconds"] is not None]
    pause = max(SHORTEST_PAUSE, PAUSE * max(measured or map(worked, rows)))
    ends = {key: finished(mine, now) for key, mine in nodes.items()}
    last = min(ages[0][0] for ages in ends.values())
    made = [_node(*key, mine, ends[key], pause=pause, last=last) for key, mine in nodes.items()]
    made.sort(key=lambda node: (not node.current, node.host, node.device))
    rated = [node for node in made if node.current and node.trials_per_hour]
    return Pace(
        nodes=tuple(made),
        trials_per_hour=sum(node.trials_per_hour or 0 for node in rated) or None,
        at_work=sum(node.at_work or 0 for node in rated) or None,
        images_per_second=sum(node.throughput for node in rated) or None,
        last=last,
        pause=pause,
    )


def finished(rows: Iterable[Mapping[str, Any]], now: datetime) -> list[tuple[float, Mapping[str, Any]]]:
    """A node's rows with the seconds since they finished, 0 or more, the latest first.

    A node whose clock is ahead is set back; single rows of the future are left out.
    """
    ages = [((now - row["finished_at"]).total_seconds(), row) for row in rows]
    ages.sort(key=lambda each: each[0])
    past = [each for each in ages if each[0] >= -SLACK]
    if len(ages) - len(past) > JUMPED * len(ages):
        ahead = ages[0][0]
        return [(age - ahead, row) for age, row in ages]
    return [(max(age, 0.0), row) for age, row in past]


def _node(
    host: str,
    device: str,
    rows: Sequence[Mapping[str, Any]],
    ends: Sequence[tuple[float, Mapping[str, Any]]],
    *,
    pause: float,
    last: float,
) -> Node:
    stretch = [ends[0]]
    for each in ends[1:]:
        if each[0] - stretch[-1][0] > pause:
            break
        stretch.append(each)
    seconds = max(age + worked(row) for age, row in stretch) - ends[0][0]
    speeds = [row["images_per_second"] for _, row in stretch if row["images_per_second"] is not None]
    images = sum((row["images_per_second"] or 0) * min(row["training_seconds"] or 0, worked(row)) for _, row in stretch)
    return Node(
        host=host,
        device=device,
        trials=len(rows),
        trials_per_hour=3600 * len(stretch) / seconds if seconds > 0 else None,
        images_per_second=statistics.fmean(speeds) if speeds else None,
        at_work=sum(worked(row) for _, row in stretch) / seconds if seconds > 0 else None,
        throughput=images / seconds if seconds > 0 else 0.0,
        last=ends[0][0],
        current=ends[0][0] - last <= pause,
    )
