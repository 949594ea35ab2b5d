"""How far a study is, in numbers: from what stands in its results folder to counts, speed, time left and troubles.

A trial counts once, whatever the number of protocols it was scored under: as finished where it is under one of them.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from study.cli.status.throughput import Pace, measure
from study.core.trial import Trial
from study.driver.cost.timings import MeasuredTimes
from study.storage.schema import DIVERGED, FAILED, FINISHED, STATUSES


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was read of a results folder: rows of tables and parts, ids of states in unfinished/, and who runs it."""

    trials: Sequence[Mapping[str, Any]] = ()
    memberships: Sequence[Mapping[str, Any]] = ()
    unfinished: Collection[str] = ()
    holders: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The trials of a space on a dataset, by status."""

    space: str
    dataset: str
    total: int
    finished: int
    diverged: int
    stopped: int
    failed: int

    @property
    def to_run(self) -> int:
        return self.total - self.done

    @property
    def done(self) -> int:
        return self.finished + self.diverged + self.stopped + self.failed


@dataclass(frozen=True, kw_only=True)
class Trouble:
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
    """How far a study is.

    `seconds_left` is None where no row tells; it rests on measured trials of the same kind for `measured` of the
    `to_run`, and on the mean of all for the others.
    """

    progress: tuple[Progress, ...]
    total: int
    done: int
    to_run: int
    pace: Pace
    seconds_left: float | None
    measured: int
    unfinished: int
    troubles: tuple[Trouble, ...]
    holders: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether nothing is left of what was begun, and nobody is at it."""
        return self.total > 0 and self.to_run == 0 and not self.holders

    def counts(self) -> Counter[str]:
        """Trials that are neither finished nor left, by how they ended."""
        return Counter({t: sum(len(u.trial_ids) for u in self.troubles if u.status == t) for t in (DIVERGED, FAILED)})


def summarize(found: Found, now: datetime) -> Status:
    """The status of what was found, at the time `now`."""
    by_trial = one_per_trial(found.trials)
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for member in found.memberships:
        groups[member["space"], member["context"]][member["trial_id"]] = member
    members = {trial_id: member for group in groups.values() for trial_id, member in group.items()}
    left = [member for trial_id, member in members.items() if trial_id not in by_trial]
    pace = measure(found.trials, now)
    seconds, measured = device_seconds_left(left, found.trials)
    at_work = pace.at_work
    return Status(
        progress=tuple(_progress(space, dataset, ids, by_trial) for (space, dataset), ids in groups.items()),
        total=len(members),
        done=len(members) - len(left),
        to_run=len(left),
        pace=pace,
        seconds_left=None if seconds is None or not at_work else seconds / min(at_work, max(1, len(left))),
        measured=measured,
        unfinished=sum(by_trial.get(i, {}).get("status") not in (FINISHED, DIVERGED) for i in found.unfinished),
        troubles=tuple(troubles(by_trial.values())),
        holders=tuple(found.holders),
    )


def one_per_trial(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The row of each trial that says most for it: of several, the finished one, and of equals the later."""
    rank = {status: place for place, status in enumerate((FINISHED, DIVERGED))}
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        other = found.get(row["trial_id"])
        if other is None or rank.get(row["status"], 2) <= rank.get(other["status"], 2):
            found[row["trial_id"]] = row
    return found


def _progress(space: str, dataset: str, ids: Collection[str], by_trial: Mapping[str, Mapping[str, Any]]) -> Progress:
    counts = Counter(by_trial[trial_id]["status"] for trial_id in ids if trial_id in by_trial)
    return Progress(
        space=space, dataset=dataset, total=len(ids), **{status: counts.get(status, 0) for status in STATUSES}
    )


def device_seconds_left(
    left: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[float | None, int]:
    """Seconds on one device of the trials of these memberships, and how many of them are of a kind that was measured.

    The others, and those that a membership does not define, take the mean time of a step, or of a trial, of those that
    were; None where no trial was.
    """
    kinds = Counter("cpu" if row["device"] == "cpu" else "gpu" for row in rows if row["status"] == FINISHED)
    if not kinds:
        return None, 0
    (device, _), *_ = kinds.most_common(1)
    known = MeasuredTimes(rows=rows)
    timed = [row for row in rows if row["status"] == FINISHED and row["training_seconds"] is not None]
    spent = sum(row["training_seconds"] + (row["scoring_seconds"] or 0.0) for row in timed)
    if not timed:
        return None, 0
    per_trial, per_step = spent / len(timed), spent / sum(row["discriminator_steps"] for row in timed)
    total, measured = 0.0, 0
    for member in left:
        trial = _defined(member)
        seconds = trial and known.seconds(trial, device)
        measured += seconds is not None
        total += seconds or (per_step * trial.training.discriminator_steps if trial else per_trial)
    return total, measured


def _defined(member: Mapping[str, Any]) -> Trial | None:
    try:
        return Trial.from_dict(json.loads(member["trial"] or ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # which only the time left would have needed


_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


def troubles(rows: Iterable[Mapping[str, Any]]) -> list[Trouble]:
    """The trials that diverged or failed, by reason: failures first, then by number of trials.

    Reasons that differ in numbers only (bytes, steps, addresses) are one. A reason is text for people: nothing but
    such numbers is looked for in it.
    """
    alike = defaultdict(list)
    for row in rows:
        if row["status"] in (DIVERGED, FAILED):
            alike[row["status"], _NUMBER.sub("#", row["reason"] or "")].append(row)
    made = [_trouble(status, group) for (status, _), group in alike.items()]
    return sorted(made, key=lambda trouble: (trouble.status != FAILED, -len(trouble.trial_ids), trouble.reason))


def _trouble(status: str, rows: Sequence[Mapping[str, Any]]) -> Trouble:
    reasons = [row["reason"] or "" for row in rows]
    return Trouble(status=status, reason=_merged(reasons), trial_ids=tuple(row["trial_id"] for row in rows))


def _merged(reasons: Sequence[str]) -> str:
    """One reason for several that differ in numbers only: a range of each decimal number that differs."""
    numbers = zip(*([match[0] for match in _NUMBER.finditer(reason)] for reason in reasons), strict=True)
    ranges = iter([_range(each) for each in numbers])
    return _NUMBER.sub(lambda _: next(ranges), reasons[0])


def _range(numbers: Sequence[str]) -> str:
    if len(set(numbers)) == 1 or any(number.startswith("0x") for number in numbers):
        return numbers[0]
    return f"{min(numbers, key=float)} to {max(numbers, key=float)}"
