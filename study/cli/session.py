"""What commands that run trials share: the results folder while they do, the limits, the plan, the end."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from study.core.errors import InputError
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
SHOWN = 5
"""Damaged files that are named; of a folder of junk the rest is only counted."""
STORAGE = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM})
"""What storage fails with; an error of these that names no file is taken for one of the results folder."""
COMPACT_EVERY = 30.0
"""Seconds after which finished trials reach the parquet files while a study runs."""


@contextlib.contextmanager
def opened(results: Path, shard: "Shard | None" = None) -> Iterator["FolderLock"]:
    """The results folder, made where it was missing, with damaged files set aside and parts merged; yields its lock.

    It is claimed as a whole, or for a shard of its trials. States of trials that have ended are removed, and what a
    driver that was killed left of its questions to nodes.
    """
    from study.driver.scheduler.node_checks import forget_signatures
    from study.storage import lock
    from study.storage.tables import forget_ended, set_aside_damaged

    existed, foreign = is_remote(results) or results.is_dir(), None
    try:
        if not existed:
            results.mkdir(parents=True, exist_ok=True)
        with lock.locked(results, str(shard) if shard else None) as folder_lock:
            _tell_set_aside(set_aside_damaged(results), _complain)
            _compact(results, _complain)
            forget_ended(results)
            if shard is None:  # drivers of other shards may be asking now
                forget_signatures(results)
            try:
                yield folder_lock
            except OSError as error:
                foreign = None if _is_of(error, results) else error
                raise
            _compact(results, _complain)
    except OSError as error:
        if error is foreign or isinstance(error, BrokenPipeError):
            raise
        raise InputError(
            f"--results {results}: cannot be written ({error.strerror or error}); make it writable, with room, or"
            " choose another folder: what has finished is kept."
        ) from error
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                results.rmdir()  # where nothing was written


def _is_of(error: OSError, results: Path) -> bool:
    """Whether an error of whatever was done meanwhile is one of the results folder's storage."""
    if isinstance(error, BrokenPipeError):
        return False  # who read what was printed has gone
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
    if not names:
        return error.errno in STORAGE
    return any(Path(os.fsdecode(name)).is_relative_to(str(results)) for name in names)


def _complain(line: str) -> None:
    print(line, file=sys.stderr)


def _tell_set_aside(damaged: Sequence[Path], say: Callable[[str], None]) -> None:
    for path in damaged[:SHOWN]:
        say(f"set aside a damaged file as {path}")
    if len(damaged) > SHOWN:
        say(f"and {len(damaged) - SHOWN:,} more")


def _compact(results: Path, say: Callable[[str], None]) -> None:
    """Bring what has finished to the parquet files; damaged files are set aside, and `say` is told of them."""
    from study.storage.files import DamagedFile
    from study.storage.tables import compact, set_aside_damaged

    try:
        compact(results)
    except DamagedFile:
        _tell_set_aside(set_aside_damaged(results), say)
        compact(results)


def check_resources(asked: "ResourceOptions", precision: str) -> None:
    """Raises InputError before anything is started where the resources do not fit this machine, if it trains.

    So it does where this machine does not compute in the precision.
    """
    from study.driver.resources import local_resources, make_slots
    from study.training.device import check_precision

    if asked.address is None:
        slots = make_slots(*local_resources(), asked)
        check_precision(precision, "cuda" if slots.gpus_per_trial else "cpu")


def device_of(asked: "ResourceOptions") -> str | None:
    """Where trials will compute: "cpu", or the name of this machine's GPU, which is taken for the whole cluster's.

    None for a cluster while this machine has no GPU: then it is not known.
    """
    import torch

    if asked.gpus_per_trial == 0:
        return "cpu"
    if torch.cuda.device_count():
        return torch.cuda.get_device_name()
    return "cpu" if asked.address is None else None


def slots_of(asked: "ResourceOptions") -> "Slots":
    """How many trials run at a time on this machine, or on the cluster at an address."""
    from study.driver.resources import local_resources, make_slots

    if asked.address is None:
        return make_slots(*local_resources(), asked)
    from study.driver.scheduler import ray_cluster

    with ray_cluster.connected(asked.address) as present:
        return make_slots(*present, asked)


def checked_nodes(asked: "ResourceOptions", contexts: Iterable["Context"]) -> str | None:
    """The digest of the code that all nodes run; None where there is no cluster to join.

    Raises InputError where a node lacks what the trials need.
    """
    if asked.address is None:
        return None
    from study.driver.scheduler import node_checks, ray_cluster

    ray_cluster.check_nodes(list(dict.fromkeys(contexts)), prepare=asked.prepare_nodes)
    return node_checks.code_digest()


def show_plan(
    title: str, planned: Sequence["Planned"], todo: Sequence["Planned"], results: Path, slots: "Slots"
) -> "PlanEstimate":
    """Print a plan under a title; returns its estimate."""
    from study.cli.terminal import plan_lines
    from study.driver.cost.estimate import estimate

    estimated = estimate(planned, todo, results, slots)
    print("\n".join(plan_lines(title, planned, estimated)), flush=True)
    return estimated


def confirm(seconds: float, *, yes: bool) -> None:
    """Raises InputError for a plan that takes days, unless the user has said yes."""
    from study.core.text import duration
    from study.driver.cost.estimate import CONFIRM_ABOVE

    if seconds > CONFIRM_ABOVE and not yes:
        raise InputError(f"this takes about {duration(seconds)}; add --yes to run it all the same.")


def compacting(
    results: Path, folder_lock: "FolderLock", add: Callable[["Planned", "Outcome"], None], say: Callable[[str], None]
) -> Callable[["Planned", "Outcome"], None]:
    """`add`, and now and then what has finished is brought to the parquet files; `say` is told once where that fails.

    Nothing is lost by it: parts stay until they are merged, and files that were damaged meanwhile are set aside. Raises
    InputError, which ends the run, where the lock of the folder was lost.
    """
    compacted, told = time.monotonic(), False

    def ended(planned: "Planned", outcome: "Outcome") -> None:
        nonlocal compacted, told
        add(planned, outcome)
        if time.monotonic() - compacted > COMPACT_EVERY:
            try:
                folder_lock.check()
                _compact(results, say)
            except OSError as error:
                if not told:
                    say(f"rows wait in {results / 'parts'} ({error.strerror or error}): they are merged later")
                told = True
            compacted = time.monotonic()

    return ended


def exit_if_failed(planned: Sequence["Planned"], results: Path) -> None:
    """Ends with FAILED_EXIT where some of the trials failed or have no row, and says how many."""
    from study.storage.schema import FAILED
    from study.storage.tables import statuses

    found = statuses(results, {p.trial.id for p in planned})
    keys = dict.fromkeys(p.key for p in planned)
    failed = sum(found.get(key) == FAILED for key in keys)
    missing = sum(key not in found for key in keys)
    if failed:
        print(f"{failed:,} trials failed: see `study status`; --retry-failed runs them again.", file=sys.stderr)
    if missing:  # as where workers saw another disk under the same path
        print(
            f"{missing:,} trials have no row: see that all nodes write to the same {results}; the same command runs"
            " them again.",
            file=sys.stderr,
        )
    if failed or missing:
        raise typer.Exit(FAILED_EXIT)
