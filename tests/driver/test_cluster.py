"""Studies on clusters of several nodes, all on this machine: nodes that are lost, join, or lack what trials need."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.storage.tables import read_table, statuses
from tests.conftest import Answer, study_process
from tests.driver.cluster import ROOT, SOON, TOKEN, Cluster, cluster
from tests.parts import OWN

pytestmark = pytest.mark.slow

RUN = ("run", "grid", "--methods", "none", "--n-dis", 1, "--settings", 3, "--pack", 1, "--discriminator-steps", 200)
LONG = (*RUN[:-1], 1000)
"""Long enough for a node to start meanwhile."""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's environment; the nodes have it from `Cluster`."""
    for name, value in {**TOKEN, **SOON, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def start(folder: Path, *arguments: object, within: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A study in a process of its own, whose folder is not that of the code: Ray would show workers the code there."""
    return study_process(*arguments, cwd=folder, within=within)


def end(process: subprocess.Popen[str]) -> Answer:
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    return Answer(process.returncode, out, err)


def wait_until(true: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it makes no progress"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def trains(nodes: Cluster, number: int) -> bool:
    """Whether a node has a worker that trains: a child of its raylet."""
    raylet = str(nodes.child(number, "raylet/raylet"))
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == raylet and b"ray::ImplicitFunc" in (path / "cmdline").read_bytes():
                return True
    return False


def same(folder: Path, other: Path) -> None:
    """Both folders have the same rows, but for times."""
    order = [("trial_id", "ascending")]
    rows, others = (read_table(each, "trials").sort_by(order).to_pylist() for each in (folder, other))
    assert len(rows) == len(others) > 0
    for row, another in zip(rows, others, strict=True):
        assert row["status"] == "finished"
        assert {k: v for k, v in row.items() if k not in OWN} == {k: v for k, v in another.items() if k not in OWN}
    order = [*order, ("discriminator_step", "ascending")]
    one, two = (read_table(each, "evaluations").sort_by(order) for each in (folder, other))
    assert one == two


def test_a_node_that_is_lost_costs_no_trial_an_attempt(nodes: Cluster, tmp_path: Path) -> None:
    doomed = nodes.add()
    nodes.add()
    options = (*RUN, "--max-failures", 0)
    process = start(tmp_path, *options, "--results", tmp_path / "lost", "--address", nodes.address)
    wait_until(lambda: len(list(tmp_path.glob("lost/unfinished/[!.]*.pt"))) >= 3, process)
    nodes.kill(doomed)
    answer = end(process)
    assert answer.code == 0, answer.err
    assert answer.out.count("its node was lost; it continues on another one") == 1
    assert "retried" not in answer.out
    assert end(start(tmp_path, *options, "--results", tmp_path / "whole")).code == 0
    same(tmp_path / "lost", tmp_path / "whole")


def test_a_node_that_joins_is_used(nodes: Cluster, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, "--results", tmp_path / "results", "--address", nodes.address)
    wait_until(lambda: list(tmp_path.glob("results/unfinished/[!.]*.pt")), process)
    late = nodes.add()
    wait_until(lambda: trains(nodes, late), process)
    assert trains(nodes, 0)
    answer = end(process)
    assert answer.code == 0, answer.err
    assert len(read_table(tmp_path / "results", "trials")) == 3


QUICK = ("run", "grid", "--methods", "none", "--n-dis", 1, "--settings", 12, "--seeds", 200, "--keep", "none")
QUICK += ("--discriminator-steps", 10, "--n-real", 100, "--n-fake", 100, "--metrics", "none")
"""Far quicker than a worker's start."""


def test_the_worker_of_a_node_that_joins_stays_though_trials_end_before_it_has_started(
    nodes: Cluster, tmp_path: Path
) -> None:
    process = start(tmp_path, *QUICK, "--results", tmp_path / "results", "--address", nodes.address)
    wait_until(lambda: part_count(tmp_path) > 3, process)
    late, seen = nodes.add(), set[int]()
    wait_until(lambda: trains(nodes, late), process)
    looks = time.monotonic() + 40
    while time.monotonic() < looks:
        assert process.poll() is None, "over too soon"
        seen |= set(nodes.trainers()) & nodes.processes(late).keys()
        time.sleep(0.2)
    process.kill()
    assert len(seen) == 1, seen


def part_count(folder: Path) -> int:
    return len(statuses(folder / "results"))


def other_code(folder: Path) -> Path:
    """A copy of the source with one more comment."""
    for package in ("study", "search_spaces", "analysis"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "study" / "gan" / "losses.py").open("a") as file:
        file.write("# another\n")
    return folder


def refused(answer: Answer, folder: Path, *words: str) -> None:
    """One line, exit code 2, and not a single trial."""
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1
    for word in words:
        assert word in answer.err, answer.err
    assert len(read_table(folder, "memberships")) == 0
    assert not list(folder.glob(".node-*")) and not list(folder.glob("unfinished/*"))


def test_nodes_with_other_code_or_none_are_named(nodes: Cluster, tmp_path: Path) -> None:
    nodes.add(path=other_code(tmp_path / "copy"), cwd=tmp_path)
    options = (*RUN, "--results", tmp_path / "results", "--address", nodes.address)
    host = os.uname().nodename
    refused(end(start(tmp_path, *options)), tmp_path / "results", f"node {host} (", "runs other code (", "install")


def test_a_worker_of_a_node_that_joins_with_other_code_stops_the_study(nodes: Cluster, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, "--results", tmp_path / "results", "--address", nodes.address)
    wait_until(lambda: list(tmp_path.glob("results/unfinished/[!.]*.pt")), process)
    nodes.add(path=other_code(tmp_path / "copy"), cwd=tmp_path)
    answer = end(process)
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1 and "joined with other code" in answer.err
    assert end(start(tmp_path, *LONG, "--results", tmp_path / "results")).code == 0
    assert {row["status"] for row in read_table(tmp_path / "results", "trials").to_pylist()} == {"finished"}


def hidden(folder: Path) -> tuple[str, ...]:
    """What a command is started by for which a folder is another one."""
    script = f'mount -t tmpfs none {folder} && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", script, "sh")
    if os.geteuid() or subprocess.run([*within, "true"]).returncode:
        pytest.skip("no file system can be mounted here")
    return within


def test_a_node_that_does_not_see_the_results_is_named(nodes: Cluster, tmp_path: Path) -> None:
    results = tmp_path / "shared" / "results"
    results.mkdir(parents=True)
    nodes.add(within=hidden(tmp_path / "shared"))
    answer = end(start(tmp_path, *RUN, "--results", results, "--address", nodes.address))
    refused(answer, results, f"does not see --results {results}", "put it where all nodes see it")


def test_a_node_that_joins_without_the_results_stops_the_study(nodes: Cluster, tmp_path: Path) -> None:
    results = tmp_path / "shared" / "results"
    results.mkdir(parents=True)
    within = hidden(tmp_path / "shared")
    process = start(tmp_path, *LONG, "--results", results, "--address", nodes.address)
    wait_until(lambda: list(results.glob("unfinished/[!.]*.pt")), process)
    nodes.add(within=within)
    answer = end(process)
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1 and f"does not see --results {results}" in answer.err
    assert not list(results.glob(".node-*"))
    assert end(start(tmp_path, *LONG, "--results", results)).code == 0
    assert {row["status"] for row in read_table(results, "trials").to_pylist()} == {"finished"}


def without(folder: Path) -> Path:
    """A place from which `study` cannot be imported."""
    (folder / "study").mkdir(parents=True)
    (folder / "study" / "__init__.py").write_text("import what_is_not_installed\n")
    return folder


def test_a_node_that_joins_and_cannot_run_study_stops_it(nodes: Cluster, tmp_path: Path) -> None:
    process = start(tmp_path, *LONG, "--results", tmp_path / "results", "--address", nodes.address)
    wait_until(lambda: list(tmp_path.glob("results/unfinished/[!.]*.pt")), process)
    nodes.add(path=without(tmp_path / "broken"), cwd=tmp_path)
    answer = end(process)
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1 and "No module named 'what_is_not_installed'" in answer.err


@pytest.fixture
def networks() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Two network namespaces with a cable between them, as prefixes of commands; 10.231.0.1 and 10.231.0.2."""
    names = [f"study{os.getpid()}{each}" for each in "ab"]
    made = [f"ip netns add {name}" for name in names]
    made.append(f"ip link add veth0 netns {names[0]} type veth peer name veth0 netns {names[1]}")
    for number, name in enumerate(names, start=1):
        inside = f"ip -n {name}"
        made += [f"{inside} addr add 10.231.0.{number}/24 dev veth0", f"{inside} link set veth0 up"]
        made += [f"{inside} link set lo up"]
    try:
        for command in made:
            if os.geteuid() or subprocess.run(command.split()).returncode:
                pytest.skip("no network namespaces here")
        a, b = (("ip", "netns", "exec", name) for name in names)
        yield a, b
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name])


def test_a_study_across_two_networks_survives_the_loss_of_one(
    networks: tuple[tuple[str, ...], tuple[str, ...]], tmp_path: Path
) -> None:
    here, there = networks
    with cluster(host="10.231.0.1", within=here) as nodes:
        far = nodes.add(host="10.231.0.2", within=there)
        options = (*RUN, "--results", tmp_path / "results", "--max-failures", 0)
        process = start(tmp_path, *options, "--address", nodes.address, within=here)
        wait_until(lambda: len(list(tmp_path.glob("results/unfinished/[!.]*.pt"))) >= 2, process)
        assert trains(nodes, 0) and trains(nodes, far)
        subprocess.run([*there, "ip", "link", "set", "veth0", "down"], check=True)
        answer = end(process)
    assert answer.code == 0, answer.err
    assert "its node was lost" in answer.out and "retried" not in answer.out
    assert end(start(tmp_path, *RUN, "--results", tmp_path / "whole")).code == 0
    same(tmp_path / "results", tmp_path / "whole")
