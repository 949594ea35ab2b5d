"""The machines of a Ray cluster: connects to them, checks them, and counts them while trials run."""

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray._private import utils as ray_utils
from ray.exceptions import (
    AuthenticationError,
    LocalRayletDiedError,
    NodeDiedError,
    TaskUnschedulableError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.core.context import Context
from study.core.errors import InputError, first_line
from study.core.output import show, show_error
from study.driver.resources import Slots
from study.driver.scheduler import node_checks, ray_session

REFRESH_EVERY = 2.0
"""Seconds after which the resources of the cluster are read again."""
NODE_GONE = (NodeDiedError, TaskUnschedulableError, LocalRayletDiedError, WorkerCrashedError)
"""Ray's errors for a check on a node that has left; such a node does not stop the study."""
LOST_WITHIN = 30.0
"""Seconds within which Ray reports a silent node as lost."""
ATTEMPTS = "RAY_gcs_server_port_wait_time_s"
"""The variable with how often Ray tries to join a cluster, for 40 s each time; by default for a quarter of an hour."""
JOINED_WITHIN = 600.0
"""Seconds to wait for the first node that can run a trial: nodes start after the head of the cluster."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[tuple[float, float]]:
    """Start Ray on this machine, or join the cluster at `address`; yields its numbers of CPU cores and GPUs.

    Raises InputError if there is no cluster at the address, if no node that can run a trial joins in time, or if this
    machine has no folder for Ray; OSError if Ray does not start for another reason.
    """
    _check_current_folder()
    with contextlib.ExitStack() as stack:
        if address:
            stack.callback(ray.shutdown)
            _join(address)
            _wait_for_nodes(address)
        else:
            folder = stack.enter_context(ray_session.private_folder())
            stack.enter_context(ray_session.private_token())
            stack.callback(ray.shutdown)
            _start(folder)
        resources = _resources()
        yield resources.get("CPU", 1), resources.get("GPU", 0)


def _check_current_folder() -> None:
    """Raises InputError if Ray cannot tell its workers the path of the current folder, where they look for modules."""
    try:
        os.getcwd().encode()  # noqa: PTH109
    except UnicodeEncodeError as error:
        encoding = sys.getfilesystemencoding()
        raise InputError(
            f"the current folder: Ray cannot use its path, which is not text in the encoding {encoding}; run the"
            " command in another folder."
        ) from error


def _start(folder: Path) -> None:
    """Start Ray on this machine, with its files in `folder`."""
    shared_memory = None if os.access("/dev/shm", os.W_OK) else str(folder)
    try:
        _init(address="local", _temp_dir=str(folder), _plasma_directory=shared_memory)
    except Exception as error:  # Ray raises Exception itself, too
        raise OSError(f"Ray does not start on this machine ({first_line(error)})") from error


def _join(address: str) -> None:
    """Join the cluster at `address`; raises InputError if that fails."""
    if address != "auto":
        node_checks.check_answers(address)
    given = os.environ.get(ATTEMPTS)
    os.environ.setdefault(ATTEMPTS, "1")
    try:
        _init(address=address, include_dashboard=False)
    except (ConnectionError, AuthenticationError) as error:
        reason = first_line(error)
        remedy = "check the port and RAY_AUTH_TOKEN"
        raise InputError(f"--address {address}: no Ray cluster answers ({reason}); {remedy}.") from error
    except Exception as error:
        raise InputError(f"--address {address}: cannot join the cluster ({first_line(error)}).") from error
    finally:
        if given is None:
            del os.environ[ATTEMPTS]


def _init(**options: Any) -> None:
    with _interrupt_deferred():
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    if threading.current_thread() is threading.main_thread():  # Ray's own handler aborts this process
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Defer the first interrupt to the end of the block: Ray, interrupted while it starts, leaves processes behind."""
    came, before = False, signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)  # a second one is not deferred

    if before != signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _entrypoint() -> str:
    """The command, for Ray's list of jobs. Ray's own function fails for a path that is not in UTF-8."""
    return shlex.join(sys.argv).encode(errors="replace").decode()


setattr(ray_utils, "get_entrypoint_name", _entrypoint)  # noqa: B010  `ray.init` has no option for it


def _resources() -> dict[str, float]:
    """CPU cores and GPUs of the cluster, by Ray's names."""
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _all_nodes() -> list[dict[str, Any]]:
    """All nodes that ever joined the cluster."""
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def _nodes() -> list[dict[str, Any]]:
    """The nodes that can run trials."""
    return [node for node in _all_nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def _wait_for_nodes(address: str) -> None:
    """Wait until a node can run trials; raises InputError if none joins in time.

    The resources present now decide whether trials use GPUs, so a study must not start before its nodes have joined.
    """
    deadline, warned = time.monotonic() + JOINED_WITHIN, False
    while not _nodes():
        if time.monotonic() > deadline:
            raise InputError(
                f"--address {address}: the cluster has no node with a CPU core; start one by `ray start --address"
                " HOST:PORT`, and run the same command again."
            )
        if not warned:
            show_error(f"--address {address}: no node with a CPU core has joined yet; waiting")
            warned = True
        time.sleep(1.0)


def check_nodes(contexts: Sequence[Context], *, prepare: bool, say: Callable[[str], None] = show) -> None:
    """Check all nodes that can run trials.

    Args:
        contexts: of the trials.
        prepare: whether nodes prepare missing datasets.
        say: called with one line if nodes have other versions of PyTorch or Python.

    Raises:
        InputError: a node lacks what the trials need.
    """
    names = {node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in _nodes()}
    examine = ray.remote(num_cpus=0, max_retries=0)(node_checks.examine)
    reports: dict[str, node_checks.NodeReport] = {}
    problems: list[tuple[str, str]] = []
    results = contexts[0].results
    with node_checks.node_requirements(contexts, prepare=prepare) as required:
        pinned = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in names}
        pending = {node: examine.options(scheduling_strategy=pinned[node]).remote(required, node) for node in names}
        for node, answer in pending.items():
            try:
                reports[node] = ray.get(answer)
            except ray.exceptions.RayError as error:
                if not (isinstance(error, NODE_GONE) and _has_left(node)):
                    problems.append((names[node], node_checks.no_answer(error)))
                continue
            problems += [(names[node], problem) for problem in reports[node].problems]
            if not reports[node].problems and not node_checks.signed(results, required.nonce, node):
                problems.append((names[node], f"writes --results {results} to another place; put it where all see it"))
    if problems:
        raise node_checks.refusal(problems)
    if line := node_checks.version_differences({names[node]: report for node, report in reports.items()}):
        say(line)


def _has_left(node_id: str) -> bool:
    """Whether a node has left the cluster; waits, because Ray reports a silent node as lost only after a while."""
    deadline = time.monotonic() + LOST_WITHIN
    while any(node["NodeID"] == node_id and node["Alive"] for node in _all_nodes()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class Cluster:
    """The number of packs that fit on the cluster, as nodes join and leave."""

    def __init__(self, slots: Slots) -> None:
        self._slots, self._room, self._refreshed = slots, slots.concurrent, time.monotonic()

    def room(self) -> int:
        """The number of packs that fit, including those that run."""
        if time.monotonic() - self._refreshed > REFRESH_EVERY:
            resources = _resources()
            self._room = self._slots.concurrent_on(resources.get("CPU", 0), resources.get("GPU", 0))
            self._refreshed = time.monotonic()
        return self._room
