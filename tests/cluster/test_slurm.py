"""The files of cluster/slurm under a Slurm of two nodes on this machine: to the end, and through losses and kills."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.storage.parts import part_paths
from study.storage.tables import read_table
from tests.cluster.slurm import Slurm, missing, slurm

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=f"missing: {', '.join(missing())}"),
]

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "cluster" / "slurm"
SMALL = "--pack 1 --discriminator-steps {steps} --n-real 100 --n-fake 100 --metrics none --yes"
GRID = "grid --methods none --n-dis 1 --settings 3 " + SMALL
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    try:
        with slurm(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Work:
    """A folder from which jobs are submitted, with the variables of cluster/README.md."""

    def __init__(self, cluster: Slurm, folder: Path, arguments: str) -> None:
        self.cluster, self.folder, self.results = cluster, folder, folder / "results"
        self.variables = {
            "STUDY_ARGS": arguments,
            "STUDY_RESULTS": str(self.results),
            "STUDY_VENV": sys.prefix,
            "PYTHONPATH": str(ROOT),
        }

    def submit(self, script: str, *options: str, **variables: str) -> str:
        sizes = ("--gpus-per-node", "0", "--cpus-per-task", "1")
        return self.cluster.submit(
            SCRIPTS / script, *sizes, *options, cwd=self.folder, **{**self.variables, **variables}
        )

    def wait(self, job: str, seconds: float = 500) -> dict[str, str]:
        """What Slurm says of a job at its end."""
        self.cluster.wait_until(lambda: self.cluster.state(job) in ENDED, seconds, f"job {job} does not end")
        return self.cluster.job(job)

    def wait_for_states(self, count: int) -> None:
        """Wait until trials have left states from which they can continue."""
        unfinished = self.results / "unfinished"
        self.cluster.wait_until(lambda: len(list(unfinished.glob("[!.]*.pt"))) >= count, 400, "no trial has a state")

    def rows(self) -> list[dict[str, Any]]:
        return read_table(self.results, "trials").to_pylist()

    def log(self, name: str) -> str:
        return (self.folder / f"study-{name}.log").read_text()


def finished(work: Work, count: int) -> None:
    """All trials have one row each, and nothing is left over."""
    rows = work.rows()
    assert [row["status"] for row in rows] == ["finished"] * count
    assert len({row["trial_id"] for row in rows}) == count
    assert not list(part_paths(work.results)) and not list(work.results.glob("unfinished/[!.]*.pt"))


def test_a_study_runs_on_both_nodes_and_ends_with_them(cluster: Slurm, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    work = Work(cluster, tmp_path, GRID.format(steps=300))
    job = work.submit("study.sbatch", TMPDIR=str(long))
    ended = work.wait(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), work.log(job)
    finished(work, 3)
    assert {row["host"] for row in work.rows()} == {"node1", "node2"}
    assert "ERR" not in work.log(job) and "Failed to start Ray" not in work.log(job)
    cluster.wait_until(lambda: cluster.states() == {"idle"}, 60, "the nodes are not free")
    assert not [pid for name in cluster.names for pid in cluster.processes(name, "raylet")]


def test_the_job_is_queued_again_when_a_node_is_lost_and_continues(cluster: Slurm, tmp_path: Path) -> None:
    work = Work(cluster, tmp_path, GRID.format(steps=1500) + " --checkpoint-every 100")
    job = work.submit("study.sbatch")
    work.wait_for_states(2)
    cluster.power_off("node2")
    cluster.wait_until(lambda: cluster.state(job) == "PENDING", 120, "the job is not queued again")
    cluster.power_on("node2")
    ended = work.wait(job, 700)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("COMPLETED", "0:0", "1"), work.log(job)
    finished(work, 3)
    assert sum(row["resumptions"] for row in work.rows()) >= 1


def test_a_cancelled_study_is_continued_by_the_same_command(cluster: Slurm, tmp_path: Path) -> None:
    work = Work(cluster, tmp_path, GRID.format(steps=1000) + " --checkpoint-every 100")
    job = work.submit("study.sbatch")
    work.wait_for_states(1)
    cluster.call("scancel", job)
    assert work.wait(job)["JobState"] == "CANCELLED"
    cluster.wait_until(lambda: cluster.states() == {"idle"}, 60, "the nodes are not free")
    again = work.submit("study.sbatch")
    assert work.wait(again)["ExitCode"] == "0:0", work.log(again)
    finished(work, 3)
    assert sum(row["resumptions"] for row in work.rows()) >= 1


def test_a_job_of_an_array_that_is_killed_leaves_its_part_alone_for_another(cluster: Slurm, tmp_path: Path) -> None:
    arguments = "grid --methods none,spectral_norm --n-dis 1 --settings 3 " + SMALL.format(steps=400)
    work = Work(cluster, tmp_path, arguments)
    job = work.submit("array.sbatch", "--array", "1-3")
    running: list[int] = []

    def third_runs() -> bool:
        nonlocal running
        running = [pid for name in cluster.names for pid in cluster.processes(name, r"^\S*python.*--shard 3/3")]
        return bool(running) and bool(list(work.results.glob("parts/*/*")) or work.rows())

    cluster.wait_until(third_runs, 500, "the third job does not start")
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    states = {task: work.wait(f"{job}_{task}") for task in (1, 2, 3)}
    codes = [states[task]["ExitCode"] for task in (1, 2, 3)]
    assert codes[:2] == ["0:0", "0:0"] and codes[2] != "0:0", codes
    done = len(work.rows())
    assert done < 6
    again = work.submit("array.sbatch", "--array", "3", STUDY_SHARDS="3")
    assert work.wait(f"{again}_3")["ExitCode"] == "0:0", work.log(f"{again}-3")
    finished(work, 6)
