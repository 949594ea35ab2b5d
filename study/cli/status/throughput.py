"""The throughput of a study, computed from the rows of ended trials.

The clocks of nodes differ, and can jump. So times of different nodes are never compared: each node has its own rate, by
its own clock, and the rate of the study is the sum. The durations in the rows come from monotonic clocks.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from study.storage.schema import FAILED

PAUSE_FACTOR = 2.0
"""A node counts as interrupted if it finishes nothing for this many times the duration of the longest trial."""
MIN_PAUSE = 60.0
"""Minimum of that pause in seconds: between very short trials, the start of workers takes longer than the trials."""
CLOCK_TOLERANCE = 60.0
"""Seconds by which the clocks of nodes normally differ."""
LOST_WORKER_SECONDS = 1.0
"""Maximum seconds from start to end of a row that the driver wrote for a dead worker; such a row contains no work."""
MAX_JUMP_FRACTION = 0.25
"""If more than this fraction of a node's rows is in the future, its clock counts as ahead; else it has jumped."""


@dataclass(frozen=True, kw_only=True)
class NodeThroughput:
    """The throughput of one device of a machine, over its last period of uninterrupted work.

    Attributes:
        host, device: the machine and its device.
        trials: number of all trials that ended there.
        trials_per_hour: in the period; None if it is not known.
        images_per_second: real images per second of one trial, mean over the period; None if it is not known.
        concurrent_trials: mean number of concurrent trials in the period; None if it is not known.
        total_images_per_second: real images per second of all concurrent trials together.
        seconds_since_last: since the last trial ended there.
        current: whether it was working when the last trial of the study ended.
    """

    host: str
    device: str
    trials: int
    trials_per_hour: float | None
    images_per_second: float | None
    concurrent_trials: float | None
    total_images_per_second: float
    seconds_since_last: float
    current: bool


@dataclass(frozen=True, kw_only=True)
class StudyThroughput:
    """The throughput of a study.

    Attributes:
        nodes: all nodes, the current ones first.
        trials_per_hour, concurrent_trials, images_per_second: sums over the current nodes; None if not known.
        seconds_since_last: since the last trial ended; None if none has.
        pause: seconds without an ended trial after which a node, or the study, counts as interrupted.
    """

    nodes: tuple[NodeThroughput, ...] = ()
    trials_per_hour: float | None = None
    concurrent_trials: float | None = None
    images_per_second: float | None = None
    seconds_since_last: float | None = None
    pause: float = MIN_PAUSE

    @property
    def active(self) -> bool:
        """Whether the last trial ended recently enough that others are probably running."""
        return self.seconds_since_last is not None and self.seconds_since_last <= self.pause


def work_seconds(row: Mapping[str, Any]) -> float:
    """Seconds that the process which ended a trial work_seconds on it, 0 or more.

    The seconds of training and scoring in the row of a resumed trial include those of earlier processes.
    """
    elapsed: float = (row["finished_at"] - row["started_at"]).total_seconds()
    counted: list[float] = [row[name] for name in ("training_seconds", "scoring_seconds") if row[name] is not None]
    if not counted:
        return max(elapsed, 0.0)
    return min(elapsed, sum(counted)) if elapsed > 0 else sum(counted)


def is_of_lost_worker(row: Mapping[str, Any]) -> bool:
    """Whether the driver wrote the row because the worker of the trial had died."""
    unmeasured = row["training_seconds"] is None and row["scoring_seconds"] is None
    return row["status"] == FAILED and unmeasured and work_seconds(row) < LOST_WORKER_SECONDS


def measure_throughput(rows: Sequence[Mapping[str, Any]], now: datetime) -> StudyThroughput:
    """The throughput of a study at the time `now`, from its rows of `trials.parquet`, without those of lost workers."""
    rows = [row for row in rows if not is_of_lost_worker(row)]
    nodes = defaultdict(list)
    for row in rows:
        nodes[row["host"], row["device"]].append(row)
    if not nodes:
        return StudyThroughput()
    measured = [work_seconds(row) for row in rows if row["training_seconds"] is not None]
    pause = max(MIN_PAUSE, PAUSE_FACTOR * max(measured or map(work_seconds, rows)))
    ages = {key: rows_by_age(node_rows, now) for key, node_rows in nodes.items()}
    last = min(of_node[0][0] for of_node in ages.values())
    throughputs = [_node(*key, node_rows, ages[key], pause=pause, last=last) for key, node_rows in nodes.items()]
    throughputs.sort(key=lambda node: (not node.current, node.host, node.device))
    rated = [node for node in throughputs if node.current and node.trials_per_hour]
    return StudyThroughput(
        nodes=tuple(throughputs),
        trials_per_hour=sum(node.trials_per_hour or 0 for node in rated) or None,
        concurrent_trials=sum(node.concurrent_trials or 0 for node in rated) or None,
        images_per_second=sum(node.total_images_per_second for node in rated) or None,
        seconds_since_last=last,
        pause=pause,
    )


def rows_by_age(rows: Iterable[Mapping[str, Any]], now: datetime) -> list[tuple[float, Mapping[str, Any]]]:
    """The rows of a node with the seconds since they ended, 0 or more, the latest first.

    If the clock of the node is ahead, its times are shifted back. Single rows with a time in the future are left out.
    """
    ages = [((now - row["finished_at"]).total_seconds(), row) for row in rows]
    ages.sort(key=lambda each: each[0])
    past = [each for each in ages if each[0] >= -CLOCK_TOLERANCE]
    if len(ages) - len(past) > MAX_JUMP_FRACTION * len(ages):
        ahead = ages[0][0]
        return [(age - ahead, row) for age, row in ages]
    return [(max(age, 0.0), row) for age, row in past]


def _node(
    host: str,
    device: str,
    rows: Sequence[Mapping[str, Any]],
    ages: Sequence[tuple[float, Mapping[str, Any]]],
    *,
    pause: float,
    last: float,
) -> NodeThroughput:
    """The throughput of a node.

    Args:
        host, device: the node.
        rows: all its rows.
        ages: what `rows_by_age` returns for them.
        pause: seconds without an ended trial that end a period of work.
        last: seconds since the last trial of the study ended.
    """
    period = [ages[0]]
    for age, row in ages[1:]:
        if age - period[-1][0] > pause:
            break
        period.append((age, row))
    seconds = max(age + work_seconds(row) for age, row in period) - ages[0][0]
    speeds = [row["images_per_second"] for _, row in period if row["images_per_second"] is not None]
    images = sum(
        (row["images_per_second"] or 0) * min(row["training_seconds"] or 0, work_seconds(row)) for _, row in period
    )
    return NodeThroughput(
        host=host,
        device=device,
        trials=len(rows),
        trials_per_hour=3600 * len(period) / seconds if seconds > 0 else None,
        images_per_second=statistics.fmean(speeds) if speeds else None,
        concurrent_trials=sum(work_seconds(row) for _, row in period) / seconds if seconds > 0 else None,
        total_images_per_second=images / seconds if seconds > 0 else 0.0,
        seconds_since_last=ages[0][0],
        current=ages[0][0] - last <= pause,
    )
