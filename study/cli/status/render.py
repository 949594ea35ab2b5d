"""The status of a study as a person sees it, and as a program does."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.cli.status.summary import Progress, Status, Trouble
from study.cli.status.throughput import Node
from study.core.text import aligned, duration
from study.storage.layout import trial_folder
from study.storage.schema import DIVERGED, FAILED, FINISHED

SHOWN = 12
"""Entries of a list before the rest is only counted."""
BAR = 8
"""Characters; with the names and numbers of the whole study, a line has 79."""


def line(status: Status) -> str:
    """All of it in one line."""
    counts = status.counts()
    parts = [f"{status.done}/{status.total} trials", *(f"{n} {name}" for name, n in counts.items() if n)]
    if status.pace.going and status.pace.trials_per_hour:
        parts.append(_speed(status))
    if status.to_run and status.seconds_left is not None:
        parts.append(f"about {duration(status.seconds_left)} left")
    return ", ".join(parts)


def lines(status: Status, folder: Path, *, everything: bool = False) -> list[str]:
    """All of it in plain lines; long lists are cut unless `everything` is asked for."""
    groups = [_progress_line(each) for each in status.progress]
    return [*_cut(groups, everything), *_rest(status, folder, everything)]


def rendered(status: Status, folder: Path, *, everything: bool = False, fold: bool = True) -> RenderableType:
    """The same for a terminal, with bars; lines that are too long for it are folded or, where not `fold`, cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("space", "dataset"):
        table.add_column(column, overflow="ellipsis")  # where there is no room, names are cut, and no number
    table.add_column("")
    for column in ("done", "diverged", "failed", "to run"):
        table.add_column(column, justify="right", no_wrap=True)
    shown = status.progress if everything else status.progress[:SHOWN]
    for each in shown:
        bar = ProgressBar(total=max(1, each.total), completed=each.done, width=BAR)
        numbers = (f"{each.done}/{each.total}", each.diverged, each.failed, each.to_run)
        table.add_row(each.space, each.dataset, bar, *map(str, numbers))
    more = [f"and {len(status.progress) - len(shown)} more (--all)"] if len(shown) < len(status.progress) else []
    texts = [*more, "", *_rest(status, folder, everything)]
    how: dict[str, Any] = {} if fold else {"no_wrap": True, "overflow": "ellipsis"}
    return Group(*([table] if shown else []), *(Text(text, **how) for text in texts))


def numbers(status: Status) -> dict[str, Any]:
    """All of it for a program; seconds, and None where nothing tells."""
    found = asdict(status)
    for group, each in zip(found["progress"], status.progress, strict=True):
        group["to_run"] = each.to_run
    for trouble in found["troubles"]:
        trouble["count"] = len(trouble["trial_ids"])
    return {**found, "ended": status.ended}


def _progress_line(each: Progress) -> str:
    counts = {name: getattr(each, name) for name in (FINISHED, DIVERGED, "stopped", FAILED)}
    parts = [f"{count} {state}" for state, count in counts.items() if count or state == FINISHED]
    share = f"{100 * each.done // max(1, each.total)} % of {each.total}"
    return f"{each.space} on {each.dataset}: {', '.join(parts)}, {each.to_run} to run ({share})"


def _rest(status: Status, folder: Path, everything: bool) -> list[str]:
    """What follows the progress: speed, time left, nodes, troubles, states, and who runs it."""
    if not status.total and not status.pace.nodes:
        found = [f"{folder}: nothing has been run there."]
    else:
        found = [*_pace_lines(status), *_cut(_node_lines(status.pace.nodes), everything, header=1)]
    found += _cut([_trouble_line(trouble, folder, everything) for trouble in status.troubles], everything)
    if status.unfinished:
        found.append(f"{status.unfinished} under way or interrupted, with a state in {folder / 'unfinished'}")
    running = [f"running: {_holder(holder)}" for holder in status.holders]
    return [*found, *(_cut(running, everything) or ["no run is using this folder"])]


def _pace_lines(status: Status) -> list[str]:
    pace, found = status.pace, []
    if pace.trials_per_hour and pace.last is not None:
        when = "" if pace.going else f", until {duration(pace.last)} ago"
        found.append(f"speed: {_speed(status)}{when}")
    if status.to_run and status.seconds_left is None:
        found.append("time left: not known before a trial has finished")
    elif status.to_run and status.seconds_left is not None:
        same = "as trials of their methods took"
        others = status.to_run - status.measured
        basis = same if not others else f"{same}, {others:,} of them as the mean" if status.measured else "as the mean"
        again = "" if status.holders or pace.going else " once it runs again"
        at_a_time = f"{min(pace.at_work or 1.0, status.to_run):.3g} at a time"
        found.append(f"time left: about {duration(status.seconds_left)}{again} ({basis}, {at_a_time})")
    return found


def _speed(status: Status) -> str:
    parts = [f"{_round(status.pace.trials_per_hour or 0)} trials/hour"]
    if status.pace.images_per_second:
        parts.append(f"{_round(status.pace.images_per_second)} images/s")
    return ", ".join(parts)


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _node_lines(nodes: Sequence[Node]) -> list[str]:
    """A table of nodes; images/s are those of one trial."""
    if not nodes:
        return []
    cells: list[tuple[str, ...]] = [("node", "device", "trials", "trials/hour", "images/s each", "last")]
    for node in nodes:
        speeds = ("-" if value is None else _round(value) for value in (node.trials_per_hour, node.images_per_second))
        cells.append((node.host, node.device, f"{node.trials:,}", *speeds, f"{duration(node.last)} ago"))
    return aligned(cells, left=2)


def _trouble_line(trouble: Trouble, folder: Path, everything: bool) -> str:
    (first, *_), count = trouble.trial_ids, len(trouble.trial_ids)
    ids = ", ".join(trouble.trial_ids) if everything or count == 1 else f"for one {first}"
    report = trial_folder(folder, first) / "traceback.txt"
    trace = f"; traceback in {report}" if trouble.status == FAILED and report.is_file() else ""
    return f"{count} {trouble.status}: {trouble.reason} ({ids}){trace}"


def _holder(holder: Any) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')}, {holder['what']}"


def _cut(texts: list[str], everything: bool, header: int = 0) -> list[str]:
    shown = SHOWN + header
    if everything or len(texts) <= shown:
        return texts
    return [*texts[:shown], f"and {len(texts) - shown} more (--all)"]
