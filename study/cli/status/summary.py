"""The progress of a study in numbers: counts, throughput, time left and problems, from its results folder.

A trial counts once, however many protocols it was scored under; it counts as finished if it is under one of them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from study.cli.status.throughput import StudyThroughput, measure_throughput
from study.core.trial import Trial
from study.driver.cost.timings import MeasuredTimes
from study.storage.schema import DIVERGED, FAILED, FINISHED, STATUSES


@dataclass(frozen=True, kw_only=True)
class FolderContents:
    """What was read from a results folder.

    Attributes:
        trials: rows of trials.parquet and of the part files.
        memberships: rows of memberships.parquet.
        unfinished: ids of the trials with a training state in unfinished/.
        holders: the running processes that use the folder, as `study.storage.lock.holders` returns them.
    """

    trials: Sequence[Mapping[str, Any]] = ()
    memberships: Sequence[Mapping[str, Any]] = ()
    unfinished: Collection[str] = ()
    holders: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class GroupProgress:
    """The number of trials of a space on a dataset, by status."""

    space: str
    dataset: str
    total: int
    finished: int
    diverged: int
    stopped: int
    failed: int

    @property
    def to_run(self) -> int:
        """Trials that have not ended."""
        return self.total - self.done

    @property
    def done(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.finished + self.diverged + self.stopped + self.failed


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Trials that ended with the same status and with reasons that differ in numbers only.

    Attributes:
        status: of all of them.
        reason: their reason, with the range of each number that differs: "... at step 7 to 900".
        trial_ids: their ids.
    """

    status: str
    reason: str
    trial_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Status:
    """The progress of a study.

    Attributes:
        progress: the trials of each space on each dataset.
        total, done, to_run: number of different trials of all spaces, of those that have ended, and of the others.
        throughput: of the study and of its nodes.
        seconds_left: estimated wall time of the trials to run; None if no trial has been measured.
        measured: how many of the trials to run this estimate knows measured trials of the same kind for; the others
            count with the mean of all.
        unfinished: number of trials with a training state, running or interrupted.
        problems: failed and diverged trials by reason, failures first.
        holders: the running processes that use the folder.
    """

    progress: tuple[GroupProgress, ...]
    total: int
    done: int
    to_run: int
    throughput: StudyThroughput
    seconds_left: float | None
    measured: int
    unfinished: int
    problems: tuple[Problem, ...]
    holders: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether no trial is left to run, and no process uses the folder."""
        return self.total > 0 and self.to_run == 0 and not self.holders

    def counts(self) -> Counter[str]:
        """The number of diverged and failed trials, by status."""
        return Counter(
            {
                status: sum(len(problem.trial_ids) for problem in self.problems if problem.status == status)
                for status in (DIVERGED, FAILED)
            }
        )


def summarize(contents: FolderContents, now: datetime) -> Status:
    """The status of a study from the contents of its results folder, at the time `now`."""
    by_trial = best_row_per_trial(contents.trials)
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for member in contents.memberships:
        groups[member["space"], member["context"]][member["trial_id"]] = member
    members = {trial_id: member for group in groups.values() for trial_id, member in group.items()}
    left = [member for trial_id, member in members.items() if trial_id not in by_trial]
    throughput = measure_throughput(contents.trials, now)
    seconds, measured = device_seconds_left(left, contents.trials)
    concurrent = throughput.concurrent_trials
    return Status(
        progress=tuple(_progress(space, dataset, ids, by_trial) for (space, dataset), ids in groups.items()),
        total=len(members),
        done=len(members) - len(left),
        to_run=len(left),
        throughput=throughput,
        seconds_left=None if seconds is None or not concurrent else seconds / min(concurrent, max(1, len(left))),
        measured=measured,
        unfinished=sum(by_trial.get(i, {}).get("status") not in (FINISHED, DIVERGED) for i in contents.unfinished),
        problems=tuple(group_problems(by_trial.values())),
        holders=tuple(contents.holders),
    )


def best_row_per_trial(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """One row per trial id: a finished one before a diverged one before any other, and among equals the last."""
    rank = {status: place for place, status in enumerate((FINISHED, DIVERGED))}
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        other = best.get(row["trial_id"])
        if other is None or rank.get(row["status"], 2) <= rank.get(other["status"], 2):
            best[row["trial_id"]] = row
    return best


def _progress(
    space: str, dataset: str, ids: Collection[str], by_trial: Mapping[str, Mapping[str, Any]]
) -> GroupProgress:
    counts = Counter(by_trial[trial_id]["status"] for trial_id in ids if trial_id in by_trial)
    return GroupProgress(
        space=space, dataset=dataset, total=len(ids), **{status: counts.get(status, 0) for status in STATUSES}
    )


def device_seconds_left(
    left: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[float | None, int]:
    """Estimate the time that trials need on one device.

    Args:
        left: memberships of the trials.
        rows: rows of ended trials. They give the time of trials of the same kind. A trial of another kind takes the
            mean time per step, and a trial that its membership does not define the mean time per trial.

    Returns:
        The seconds, None if no row has a time; and the number of trials of a measured kind.
    """
    kinds = Counter("cpu" if row["device"] == "cpu" else "gpu" for row in rows if row["status"] == FINISHED)
    if not kinds:
        return None, 0
    (device, _), *_ = kinds.most_common(1)
    timings = MeasuredTimes(rows=rows)
    timed = [row for row in rows if row["status"] == FINISHED and row["training_seconds"] is not None]
    spent = sum(row["training_seconds"] + (row["scoring_seconds"] or 0.0) for row in timed)
    if not timed:
        return None, 0
    per_trial, per_step = spent / len(timed), spent / sum(row["discriminator_steps"] for row in timed)
    total, measured = 0.0, 0
    for member in left:
        trial = _trial_of(member)
        seconds = trial and timings.seconds(trial, device)
        measured += seconds is not None
        total += seconds or (per_step * trial.training.discriminator_steps if trial else per_trial)
    return total, measured


def _trial_of(member: Mapping[str, Any]) -> Trial | None:
    """The trial that a membership defines; None if it defines none that this version can read."""
    try:
        return Trial.from_dict(json.loads(member["trial"] or ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # the time left is estimated without it


_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


def group_problems(rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """The trials that diverged or failed, by reason: failures first, then by number of trials.

    Reasons that differ in numbers only (bytes, steps, addresses) are one. A reason is text for people: nothing but
    such numbers is looked for in it.
    """
    groups = defaultdict(list)
    for row in rows:
        if row["status"] in (DIVERGED, FAILED):
            groups[row["status"], _NUMBER.sub("#", row["reason"] or "")].append(row)
    problems = [_problem(status, group) for (status, _), group in groups.items()]
    return sorted(problems, key=lambda problem: (problem.status != FAILED, -len(problem.trial_ids), problem.reason))


def _problem(status: str, rows: Sequence[Mapping[str, Any]]) -> Problem:
    reasons = [row["reason"] or "" for row in rows]
    return Problem(status=status, reason=_merged(reasons), trial_ids=tuple(row["trial_id"] for row in rows))


def _merged(reasons: Sequence[str]) -> str:
    """One reason for several that differ in numbers only: a range of each decimal number that differs."""
    numbers = zip(*([match[0] for match in _NUMBER.finditer(reason)] for reason in reasons), strict=True)
    ranges = iter([_range(each) for each in numbers])
    return _NUMBER.sub(lambda _: next(ranges), reasons[0])


def _range(numbers: Sequence[str]) -> str:
    if len(set(numbers)) == 1 or any(number.startswith("0x") for number in numbers):
        return numbers[0]
    return f"{min(numbers, key=float)} to {max(numbers, key=float)}"
