"""The machines of a Ray cluster: joined, examined, and counted while trials run."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import LocalRayletDiedError, NodeDiedError, TaskUnschedulableError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.core.context import Context
from study.core.errors import InputError
from study.driver.resources import Slots
from study.driver.scheduler import node_checks
from study.worker.outcome import complain

LOOK_EVERY = 2.0
"""Seconds after which the cluster is looked at anew for nodes that joined or left."""
NO_NODE = (NodeDiedError, TaskUnschedulableError, LocalRayletDiedError, WorkerCrashedError)
"""What Ray raises where a node cannot be asked, since it is gone: what it lacked, if anything, stops nobody."""
LOST_WITHIN = 30.0
"""Seconds after which a silent node has been found to be lost."""
JOINED_WITHIN = 600.0
"""Seconds for which a cluster without a node that could run a trial is waited for: workers start after their head."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[tuple[float, float]]:
    """Ray, started on this machine or joined at `address`; yields the CPU cores and GPUs of the cluster.

    Raises InputError where there is no cluster at the address, or where no node of it can run a trial, now or soon.
    """
    if address and address != "auto":
        node_checks.check_answers(address)
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
    try:
        ray.init(address=address or "local", include_dashboard=None if address else False, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--address {address}: no Ray cluster answers ({reason}); are it and RAY_AUTH_TOKEN right?"
        ) from error
    try:
        if address:
            _wait_for_nodes(address)
        resources = ray.cluster_resources()
        yield resources.get("CPU", 1), resources.get("GPU", 0)
    finally:
        ray.shutdown()


def _nodes() -> list[dict[str, Any]]:
    """Those that trials could run on."""
    return [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU", 0) >= 1]


def _wait_for_nodes(address: str) -> None:
    """Until there is one; raises InputError where none comes.

    What there is decides on what trials compute: on what comes later they would leave the GPUs idle, unasked.
    """
    deadline, told = time.monotonic() + JOINED_WITHIN, False
    while not _nodes():
        if time.monotonic() > deadline:
            raise InputError(
                f"--address {address}: the cluster has no node with a CPU core; start one by `ray start --address"
                " HOST:PORT`, and run the same command again."
            )
        if not told:
            complain(f"--address {address}: no node with a CPU core has joined yet; waiting")
            told = True
        time.sleep(1.0)


def check_nodes(contexts: Sequence[Context], *, prepare: bool, say: Callable[[str], None] = print) -> None:
    """Raises InputError where a node that trials could run on lacks what they need; `say` is told of other versions.

    `prepare`: nodes prepare the datasets that they lack.
    """
    nodes = _nodes()
    names = {one["NodeID"]: f"{one['NodeManagerHostname']} ({one['NodeManagerAddress']})" for one in nodes}
    examine = ray.remote(num_cpus=0, max_retries=0)(node_checks.examine)
    found: dict[str, node_checks.Found] = {}
    problems: list[tuple[str, str]] = []
    results = contexts[0].results
    with node_checks.wanted(contexts, prepare=prepare) as wanted:
        there = {each: NodeAffinitySchedulingStrategy(each, soft=False) for each in names}
        asked = {each: examine.options(scheduling_strategy=there[each]).remote(wanted, each) for each in names}
        for each, answer in asked.items():
            try:
                found[each] = ray.get(answer)
            except ray.exceptions.RayError as error:
                if not (isinstance(error, NO_NODE) and _has_left(each)):
                    problems.append((names[each], node_checks.no_answer(error)))
                continue
            problems += [(names[each], problem) for problem in found[each].problems]
            if not found[each].problems and not node_checks.signed(results, wanted.nonce, each):
                problems.append((names[each], f"writes --results {results} to another place; put it where all see it"))
    if problems:
        raise node_checks.refusal(problems)
    if line := node_checks.other_versions({names[each]: answer for each, answer in found.items()}):
        say(line)


def _has_left(node_id: str) -> bool:
    """Whether a node is none of the cluster's, now or soon: Ray takes one for lost when it was silent for a while."""
    deadline = time.monotonic() + LOST_WITHIN
    while any(one["NodeID"] == node_id and one["Alive"] for one in ray.nodes()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class Cluster:
    """How many trials the cluster has room for, as nodes join and leave."""

    def __init__(self, slots: Slots) -> None:
        self._slots, self._room, self._looked = slots, slots.concurrent, time.monotonic()

    def room(self) -> int:
        """At a time, those that run among them."""
        if time.monotonic() - self._looked > LOOK_EVERY:
            resources = ray.cluster_resources()
            self._room = self._slots.on(resources.get("CPU", 0), resources.get("GPU", 0))
            self._looked = time.monotonic()
        return self._room
