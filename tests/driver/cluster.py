"""A Ray cluster of several nodes on this machine, by `ray start`: each node with its own processes and ports."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}
SOON = {"RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000"}
"""A node that is lost is found to be so within seconds."""
SOON |= {"RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "2"}
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A head of one CPU; `add` starts further nodes. `within` is put before each command, for a network namespace."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", within: Sequence[str] = (), cpus: int = 1) -> None:
        self.address = f"{host}:{free_port()}"
        self._folder, self._nodes = folder, list[subprocess.Popen[bytes]]()
        port = self.address.rpartition(":")[2]
        how = ("--head", "--port", port, "--node-ip-address", host, "--include-dashboard=false")
        self._start(*how, "--temp-dir", str(folder / "ray"), cpus=cpus, within=within)

    def add(
        self, cpus: int = 1, path: Path = ROOT, cwd: Path | None = None, within: Sequence[str] = (), host: str = ""
    ) -> int:
        """Start a node that imports `study` from `path`; returns its number."""
        where = ("--node-ip-address", host) if host else ()
        return self._start("--address", self.address, *where, cpus=cpus, path=path, cwd=cwd, within=within)

    def _start(
        self, *options: str, cpus: int, path: Path = ROOT, cwd: Path | None = None, within: Sequence[str] = ()
    ) -> int:
        ray = Path(sys.executable).with_name("ray")
        command = [*within, str(ray), "start", "--block", "--num-cpus", str(cpus), "--num-gpus", "0", *options]
        log = (self._folder / f"node-{len(self._nodes)}.log").open("w")
        env = {**os.environ, **TOKEN, **SOON, "PYTHONPATH": str(path), "RAY_USAGE_STATS_ENABLED": "0"}
        cwd = cwd or self._folder
        made = subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=log, start_new_session=True)
        self._nodes.append(made)
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in (said := Path(log.name).read_text()):
            assert made.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)
        return len(self._nodes) - 1

    def kill(self, number: int) -> None:
        """Kill a node's raylet, as when its machine is lost."""
        os.kill(self.child(number, "raylet/raylet"), signal.SIGKILL)

    def child(self, number: int, name: str) -> int:
        """The process id of a node's own process of this name."""
        group = self._nodes[number].pid
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError, IndexError):
                if name in path.read_bytes().split(b"\0")[0].decode() and os.getpgid(int(path.parent.name)) == group:
                    return int(path.parent.name)
        raise AssertionError(f"node {number} has no process {name}")

    def processes(self, number: int) -> dict[int, str]:
        """The process ids of a node, its workers among them, with what they call themselves."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.getsid(pid := int(path.parent.name)) == self._nodes[number].pid:
                    found[pid] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return found

    def trainers(self) -> list[int]:
        """The processes that train, on all nodes."""
        found = (self.processes(number) for number in range(len(self._nodes)))
        return [pid for node in found for pid, name in node.items() if name.startswith("ray::ImplicitFunc")]

    def destroy(self) -> None:
        """Kill all processes of all nodes at once, as when the power fails."""
        for number in range(len(self._nodes)):
            for pid in self.processes(number):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End all processes of all nodes."""
        for node in reversed(self._nodes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
        for node in self._nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)


@contextlib.contextmanager
def cluster(**how: object) -> Iterator[Cluster]:
    """A cluster that is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # sockets are there, whose paths must be short
    made = None
    try:
        made = Cluster(folder, **how)  # type: ignore[arg-type]
        yield made
    finally:
        if made:
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)
