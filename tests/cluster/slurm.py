"""Slurm on nodes that are namespaces of this machine: each has its own host name, processes, network and /tmp/ray.

Needs root, and munge and Slurm (Debian: slurm-wlm, munge). Everything is in one folder, and ends with the block.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "nsenter", "unshare", "ip")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=node1
SlurmctldPort=6817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
SlurmdTimeout=15
ReturnToService=2
KillWait=10
MpiDefault=none
MinJobAge=600
NodeName=node[1-{count}] CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
SHELL = """\
hostname "$1"
mount --bind "$2/hosts" /etc/hosts
mkdir -p -m 1777 /tmp/ray && mount -t tmpfs none /tmp/ray
touch "$2/$1.ready"
while true; do sleep 1000 & wait; done  # a shell, because the first process of a namespace must reap the others
"""


class Slurm:
    """A running Slurm of `count` nodes with `cpus` CPUs each; node1 also runs the controller."""

    def __init__(self, folder: Path, count: int, cpus: int) -> None:
        self.folder, self.names = folder, [f"node{number}" for number in range(1, count + 1)]
        self._started: list[subprocess.Popen[bytes]] = []
        self._shells: dict[str, int] = {}
        self._bridge = f"slurm{os.getpid()}"
        hosts = [f"10.232.0.{number} {name}" for number, name in enumerate(self.names, start=1)]
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *hosts, ""]))
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, count=count, cpus=cpus))
        (folder / "state").mkdir()
        try:
            self._start_munge()
            self._call("ip", "link", "add", self._bridge, "type", "bridge")
            self._call("ip", "link", "set", self._bridge, "up")
            for number, name in enumerate(self.names, start=1):
                self._start_node(number, name)
            self._start(*self.within("node1"), "slurmctld", "-D", name="slurmctld")
            for name in self.names:
                self.start_daemon(name)
            self.wait_until(lambda: self.states() == {"idle"}, 60, "the nodes are not ready")
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """The variables of all commands; none of another job."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "RAY"))}
        return {**kept, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def within(self, name: str) -> tuple[str, ...]:
        """What is put before a command that runs on a node."""
        return ("nsenter", "--target", str(self._shells[name]), "--net", "--uts", "--pid", "--mount")

    def call(self, *command: str, **variables: str) -> str:
        """The output of a command on node1."""
        return self._call(*self.within("node1"), *command, **variables)

    def submit(self, script: Path, *options: str, cwd: Path, **variables: str) -> str:
        """Submit a script from a folder; returns the id of the job."""
        return self.call("sbatch", "--parsable", "--chdir", str(cwd), *options, str(script), **variables).strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job, by name."""
        words = self.call("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.partition("=")[::2] for word in words if "=" in word)

    def state(self, number: str) -> str:
        """The state of a job, such as COMPLETED."""
        return self.job(number)["JobState"]

    def states(self) -> set[str]:
        """The states of the nodes."""
        with contextlib.suppress(subprocess.CalledProcessError):
            return set(self.call("sinfo", "--noheader", "--Node", "--format=%t").split())
        return set()

    def processes(self, name: str, pattern: str) -> list[int]:
        """The processes of a node whose command matches a regular expression, by their ids on this machine."""
        inside = Path(f"/proc/{self._shells[name]}/ns/pid").readlink()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if re.search(pattern, command) and (path / "ns" / "pid").readlink() == inside:
                    found.append(int(path.name))
        return found

    def start_daemon(self, name: str) -> None:
        """Start the daemon of a node."""
        self._start(*self.within(name), "slurmd", "-D", "-N", name, name=f"slurmd-{name}")

    def power_off(self, name: str) -> None:
        """End all processes of a node at once."""
        os.kill(self._shells[name], signal.SIGKILL)

    def power_on(self, name: str) -> None:
        """Start a node again."""
        self._start_node(1 + self.names.index(name), name)
        self.start_daemon(name)

    def wait_until(self, condition: object, seconds: float, problem: str) -> None:
        """Wait until a function returns a true value; raises AssertionError with the problem if it takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))
            assert time.monotonic() < deadline, f"{problem}\n{logs}"
            time.sleep(0.5)

    def stop(self) -> None:
        """End everything."""
        for shell in self._shells.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(shell, signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.wait()
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        places = [f"--{kind}={folder}/{kind.split('-')[0]}" for kind in ("key-file", "socket", "pid-file", "seed-file")]
        self._start("munged", "--foreground", "--force", *places, name="munged")
        self.wait_until(lambda: (folder / "socket").exists(), 20, "munged does not start")

    def _start_node(self, number: int, name: str) -> None:
        (self.folder / f"{name}.ready").unlink(missing_ok=True)
        namespaces = ("--net", "--uts", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child")
        node = self._start("unshare", *namespaces, "bash", "-c", SHELL, "bash", name, str(self.folder), name=name)
        self.wait_until(lambda: (self.folder / f"{name}.ready").exists(), 20, f"{name} does not start")
        children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
        self._shells[name] = int(children[0])
        ours, theirs = f"s{os.getpid()}n{number}", f"t{os.getpid()}n{number}"
        self._call("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        self._call("ip", "link", "set", theirs, "netns", str(self._shells[name]))
        self._call("ip", "link", "set", ours, "master", self._bridge, "up")
        for command in (f"addr add 10.232.0.{number}/24 dev {theirs}", f"link set {theirs} up", "link set lo up"):
            self._call(*self.within(name), "ip", *command.split())

    def _start(self, *command: str, name: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.out.log").open("ab") as log:
            started = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        self._started.append(started)
        return started

    def _call(self, *command: str, **variables: str) -> str:
        environment = {**self.environment, **variables}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def missing() -> list[str]:
    """What this machine lacks for a Slurm of its own."""
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    return lacking if os.geteuid() == 0 else [*lacking, "root"]


@contextlib.contextmanager
def slurm(folder: Path, count: int = 2, cpus: int = 1) -> Iterator[Slurm]:
    """A Slurm that is stopped at the end of the block."""
    running = Slurm(folder, count, cpus)
    try:
        yield running
    finally:
        running.stop()
