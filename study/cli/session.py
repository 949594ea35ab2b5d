"""Functions that all commands which run trials share: from opening the results folder to reporting failures."""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from study.core.errors import InputError
from study.core.output import show, show_error
from study.core.text import duration, plural
from study.core.trial import FLOAT32
from study.storage.files import is_remote

if TYPE_CHECKING:
    from study.core.context import Context
    from study.driver.cost.estimate import PlanEstimate
    from study.driver.planning.planned import Planned
    from study.driver.planning.shard import Shard
    from study.driver.request import ResourceOptions
    from study.driver.resources import Slots
    from study.storage.lock import FolderLock
    from study.worker.outcome import Outcome

FAILED_EXIT = 3
"""Exit code if trials failed or have no row."""
MAX_NAMED = 5
"""Maximum number of damaged files that are named; the others are only counted."""
STORAGE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM}
)
"""Error numbers of storage; an error with one of them that names no file is attributed to the results folder."""
COMPACT_EVERY = 30.0
"""Seconds between two merges of finished trials into the parquet files while a study runs."""


@contextlib.contextmanager
def opened(results: Path, shard: "Shard | None" = None) -> Iterator["FolderLock"]:
    """Open a results folder for a run: a context manager that yields the claim on the folder.

    The folder is created if it is missing, and claimed as a whole, or for one shard of the trials. Damaged files are
    renamed and all part files are merged (also at the end). Leftovers are removed: the training states of ended trials,
    and files with which a killed driver checked its nodes.

    Raises:
        InputError: another run uses the folder, or it cannot be written.
    """
    from study.driver.scheduler.node_checks import forget_signatures
    from study.storage import lock
    from study.storage.tables import forget_ended, set_aside_damaged

    existed = is_remote(results) or results.is_dir()
    unrelated: OSError | None = None
    try:
        if not existed:
            results.mkdir(parents=True, exist_ok=True)
        with lock.locked(results, str(shard) if shard else None) as folder_lock:
            _report_damaged(set_aside_damaged(results), show_error)
            _compact(results, show_error)
            forget_ended(results)
            if shard is None:  # otherwise drivers of other shards may be checking their nodes now
                forget_signatures(results)
            try:
                yield folder_lock
            except OSError as error:
                unrelated = None if _concerns(error, results) else error
                raise
            _compact(results, show_error)
    except OSError as error:
        if error is unrelated or isinstance(error, BrokenPipeError):
            raise
        raise InputError(
            f"--results {results}: cannot be written ({error.strerror or error}); make it writable, free disk space, or"
            " choose another folder. All finished trials are saved."
        ) from error
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                results.rmdir()  # succeeds only if nothing was written


def _concerns(error: OSError, results: Path) -> bool:
    """Whether an error that a run raised comes from the storage of the results folder."""
    if isinstance(error, BrokenPipeError):
        return False  # the reader of the standard output has gone
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    if not names:
        return error.errno in STORAGE_ERRORS
    return any(Path(os.fsdecode(name)).is_relative_to(str(results)) for name in names)


def _report_damaged(paths: Sequence[Path], print_line: Callable[[str], None]) -> None:
    for path in paths[:MAX_NAMED]:
        print_line(f"set aside a damaged file as {path}")
    if len(paths) > MAX_NAMED:
        print_line(f"and {len(paths) - MAX_NAMED:,} more")


def _compact(results: Path, print_line: Callable[[str], None]) -> None:
    """Merge the part files into the parquet files; rename damaged files, and report them with `print_line`."""
    from study.storage.files import DamagedFile
    from study.storage.tables import compact, set_aside_damaged

    try:
        compact(results)
    except DamagedFile:
        _report_damaged(set_aside_damaged(results), print_line)
        compact(results)


def check_resources(resources: "ResourceOptions", precision: str) -> None:
    """Check before a run starts that this machine has the resources, and computes in the precision.

    A precision that is slow on this CPU is reported. Nothing is checked for a cluster.

    Raises:
        InputError: the resources do not fit this machine, or it does not support the precision.
    """
    from study.driver.resources import local_resources, make_slots

    if resources.address is None:
        slots = make_slots(*local_resources(), resources)
        check_precision(precision, "cuda" if slots.gpus_per_trial else "cpu")


def check_precision(precision: str, device: str) -> None:
    """Check that a device supports a precision of training, and say so if that is slower there than float32.

    Raises:
        InputError: the device does not support it.
    """
    from study.training import device as devices

    devices.check_precision(precision, device)
    if device == "cpu":
        say_if_slower(precision)


def say_if_slower(precision: str) -> None:
    """Report a precision in which this CPU multiplies more slowly than in float32; GPUs that support one are faster."""
    if precision == FLOAT32:
        return
    from study.training.bench.limits import slower_precision

    if line := slower_precision(precision):
        show_error(line)


def device_of(resources: "ResourceOptions") -> str | None:
    """The device that trials will use: "cpu", or the name of this machine's GPU, assumed to be that of a whole cluster.

    None if it is not known: for a cluster, if this machine has no GPU.
    """
    import torch

    if resources.gpus_per_trial == 0:
        return "cpu"
    if torch.cuda.device_count():
        return torch.cuda.get_device_name()
    return "cpu" if resources.address is None else None


def slots_of(resources: "ResourceOptions") -> "Slots":
    """The number of concurrent trials on this machine, or on the cluster at the address."""
    from study.driver.resources import local_resources, make_slots

    if resources.address is None:
        return make_slots(*local_resources(), resources)
    from study.driver.scheduler import ray_cluster

    with ray_cluster.connected(resources.address) as present:
        return make_slots(*present, resources)


def check_nodes(resources: "ResourceOptions", contexts: Iterable["Context"]) -> str | None:
    """Check that all nodes of the cluster have what the trials need.

    Returns:
        The digest of the code that all nodes run; None without a cluster.

    Raises:
        InputError: something is missing on a node.
    """
    if resources.address is None:
        return None
    from study.driver.scheduler import node_checks, ray_cluster

    ray_cluster.check_nodes(list(dict.fromkeys(contexts)), prepare=resources.prepare_nodes)
    return node_checks.code_digest()


def show_plan(
    title: str, planned: Sequence["Planned"], todo: Sequence["Planned"], results: Path, slots: "Slots"
) -> "PlanEstimate":
    """Print a plan with a title; returns its cost estimate."""
    from study.cli.terminal import plan_lines
    from study.driver.cost.estimate import estimate

    estimated = estimate(planned, todo, results, slots)
    show(*plan_lines(title, planned, estimated))
    return estimated


def confirm(seconds: float, *, yes: bool) -> None:
    """Raises InputError for a plan of more than `CONFIRM_ABOVE` seconds, unless --yes was given."""
    from study.driver.cost.estimate import CONFIRM_ABOVE

    if seconds > CONFIRM_ABOVE and not yes:
        raise InputError(f"--yes: missing; the plan takes about {duration(seconds)}. Add --yes to run it.")


def compacting(
    results: Path,
    folder_lock: "FolderLock",
    add: Callable[["Planned", "Outcome"], None],
    print_line: Callable[[str], None],
) -> Callable[["Planned", "Outcome"], None]:
    """A function that calls `add` for each outcome, and merges finished trials every `COMPACT_EVERY` seconds.

    If a merge fails, a line is printed once, and no row is lost: part files stay until they are merged. Damaged files
    are renamed.

    Raises (the returned function):
        InputError: another run has taken over the results folder. It ends this run.
    """
    last_merge, reported = time.monotonic(), False

    def ended(planned: "Planned", outcome: "Outcome") -> None:
        nonlocal last_merge, reported
        add(planned, outcome)
        if time.monotonic() - last_merge > COMPACT_EVERY:
            try:
                folder_lock.check()
                _compact(results, print_line)
            except OSError as error:
                if not reported:
                    reason = error.strerror or error
                    print_line(f"rows stay in {results / 'parts'} for now ({reason}); they are merged later")
                reported = True
            last_merge = time.monotonic()

    return ended


def exit_if_failed(planned: Sequence["Planned"], results: Path) -> None:
    """Exit with `FAILED_EXIT` if any of the trials failed or has no row, after printing how many."""
    from study.storage.schema import FAILED
    from study.storage.tables import statuses

    by_key = statuses(results, {p.trial.id for p in planned})
    keys = dict.fromkeys(p.key for p in planned)
    failed = sum(by_key.get(key) == FAILED for key in keys)
    missing = sum(key not in by_key for key in keys)
    if failed:
        show_error(
            f"{failed:,} {plural(failed, 'trial')} failed: `study status` shows why; --retry-failed runs them again."
        )
    if missing:  # for example, if the path is another disk on the nodes
        show_error(
            f"{missing:,} {plural(missing, 'trial has', 'trials have')} no row: check that {results} is the same folder"
            " on all nodes, and run the same command again.",
        )
    if failed or missing:
        raise typer.Exit(FAILED_EXIT)
