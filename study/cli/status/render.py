"""The status of a study as text, as a terminal display, and as plain values for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.cli.status.summary import GroupProgress, Problem, Status
from study.cli.status.throughput import NodeThroughput, StudyThroughput
from study.core.text import aligned, duration, plural, printable
from study.storage.layout import trial_folder
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED

MAX_LISTED = 12
"""Maximum number of entries of a list; the others are only counted."""
BAR_WIDTH = 8
"""Characters of a progress bar, so that a line fits 80 columns for the largest study of the paper."""


def summary_line(status: Status) -> str:
    """The status in one line."""
    counts = status.counts()
    parts = [
        f"{status.done}/{status.total} {plural(status.total, 'trial')}",
        *(f"{n} {name}" for name, n in counts.items() if n),
    ]
    if status.throughput.active and status.throughput.trials_per_hour:
        parts.append(_speed(status.throughput))
    if status.to_run and status.seconds_left is not None:
        parts.append(f"about {duration(status.seconds_left)} left")
    return ", ".join(parts)


def lines(status: Status, folder: Path, *, show_all: bool = False) -> list[str]:
    """The status in plain lines; long lists are shortened unless `show_all`."""
    groups = [_progress_line(group) for group in status.progress]
    return [*_shortened(groups, show_all), *_other_lines(status, folder, show_all)]


def renderable(status: Status, folder: Path, *, show_all: bool = False, fold: bool = True) -> RenderableType:
    """The status for a terminal, with progress bars. A line that is too long is wrapped if `fold`, else cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("space", "dataset"):
        table.add_column(column, overflow="ellipsis")  # without enough room, names are cut and numbers are not
    table.add_column("")
    for column in ("done", "diverged", "failed", "to run"):
        table.add_column(column, justify="right", no_wrap=True)
    shown = status.progress if show_all else status.progress[:MAX_LISTED]
    for group in shown:
        bar = ProgressBar(total=max(1, group.total), completed=group.done, width=BAR_WIDTH)
        names = (Text(printable(name)) for name in (group.space, group.dataset))
        numbers = (f"{group.done}/{group.total}", group.diverged, group.failed, group.to_run)
        table.add_row(*names, bar, *map(str, numbers))
    more = [f"and {len(status.progress) - len(shown)} more (--all)"] if len(shown) < len(status.progress) else []
    texts = [*more, "", *_other_lines(status, folder, show_all)]
    below = [Text(text) if fold else Text(text, no_wrap=True, overflow="ellipsis") for text in map(printable, texts)]
    return Group(*([table] if shown else []), *below)


def to_dict(status: Status) -> dict[str, Any]:
    """The status as plain values for JSON; times are in seconds, and None means unknown."""
    values = asdict(status)
    for group_values, group in zip(values["progress"], status.progress, strict=True):
        group_values["to_run"] = group.to_run
    for problem in values["problems"]:
        problem["count"] = len(problem["trial_ids"])
    return {**values, "ended": status.ended}


def _progress_line(group: GroupProgress) -> str:
    counts = {FINISHED: group.finished, DIVERGED: group.diverged, STOPPED: group.stopped, FAILED: group.failed}
    parts = [f"{count} {state}" for state, count in counts.items() if count or state == FINISHED]
    share = f"{100 * group.done // max(1, group.total)} % of {group.total}"
    return f"{group.space} on {group.dataset}: {', '.join(parts)}, {group.to_run} to run ({share})"


def _other_lines(status: Status, folder: Path, show_all: bool) -> list[str]:
    """The lines below the progress: speed, time left, nodes, problems, training states, and running processes."""
    if not status.total and not status.throughput.nodes:
        text = [f"{folder}: nothing has been run there."]
    else:
        text = [*_speed_lines(status), *_shortened(_node_lines(status.throughput.nodes), show_all, header=1)]
    text += _shortened([_problem_line(problem, folder, show_all) for problem in status.problems], show_all)
    if status.unfinished:
        text.append(f"{status.unfinished} running or interrupted, with a training state in {folder / 'unfinished'}")
    running = [f"running: {_holder(holder)}" for holder in status.holders]
    return [*text, *(_shortened(running, show_all) or ["no run is using this folder"])]


def _speed_lines(status: Status) -> list[str]:
    """The lines of the speed of the study and of the time left."""
    throughput, text = status.throughput, []
    if throughput.trials_per_hour and throughput.seconds_since_last is not None:
        until = "" if throughput.active else f", until {duration(throughput.seconds_since_last)} ago"
        text.append(f"speed: {_speed(throughput)}{until}")
    if status.to_run and status.seconds_left is None:
        text.append("time left: unknown until a trial has finished")
    elif status.to_run and status.seconds_left is not None:
        when = "" if status.holders or throughput.active else " after a restart"
        concurrent = min(throughput.concurrent_trials or 1.0, status.to_run)
        basis = f"{_estimate_basis(status)}; {concurrent:.3g} concurrent trials"
        text.append(f"time left: about {duration(status.seconds_left)}{when} ({basis})")
    return text


def _estimate_basis(status: Status) -> str:
    """What the time left is estimated from."""
    if status.measured == status.to_run:
        return "from finished trials of the same methods"
    if status.measured:
        return f"{status.measured:,} from finished trials of the same methods, the others from the mean of all trials"
    return "from the mean of all finished trials"


def _speed(throughput: StudyThroughput) -> str:
    parts = [f"{_round(throughput.trials_per_hour or 0)} trials/hour"]
    if throughput.images_per_second:
        parts.append(f"{_round(throughput.images_per_second)} images/s")
    return ", ".join(parts)


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _node_lines(nodes: Sequence[NodeThroughput]) -> list[str]:
    """The lines of the table of nodes; empty without nodes."""
    if not nodes:
        return []
    cells: list[tuple[str, ...]] = [("node", "device", "trials", "trials/hour", "images/s per trial", "last")]
    for node in nodes:
        speeds = ("-" if value is None else _round(value) for value in (node.trials_per_hour, node.images_per_second))
        cells.append((node.host, node.device, f"{node.trials:,}", *speeds, f"{duration(node.seconds_since_last)} ago"))
    return aligned(cells, left=2)


def _problem_line(problem: Problem, folder: Path, show_all: bool) -> str:
    (first, *_), count = problem.trial_ids, len(problem.trial_ids)
    ids = ", ".join(problem.trial_ids) if show_all or count == 1 else f"for example {first}"
    report = trial_folder(folder, first) / "traceback.txt"
    traceback = f"; traceback in {report}" if problem.status == FAILED and report.is_file() else ""
    return f"{count} {problem.status}: {problem.reason} ({ids}){traceback}"


def _holder(holder: Mapping[str, Any]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')}, {holder['what']}"


def _shortened(texts: list[str], show_all: bool, header: int = 0) -> list[str]:
    """The first `MAX_LISTED` texts after the `header`, and the number of the others; or all texts if `show_all`."""
    shown = MAX_LISTED + header
    if show_all or len(texts) <= shown:
        return texts
    return [*texts[:shown], f"and {len(texts) - shown} more (--all)"]
