"""Studies through a real Ray: to the end, again, and after kills."""

import contextlib
import os
import pty
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from study import data
from study.core.errors import InputError
from study.storage.parts import part_paths
from study.storage.tables import read_table, statuses
from tests.conftest import Answer, study_process
from tests.parts import OWN
from tests.requests import make_request

SMALL = ("--methods", "none,spectral_norm", "--settings", "2", "--discriminator-steps", "4")


def finish(*arguments: object) -> Answer:
    process = study_process(*arguments)
    out, err = process.communicate(timeout=300)
    return Answer(process.returncode, out, err)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small grid, run to its end on Ray."""
    folder = tmp_path_factory.mktemp("study") / "results"
    answer = finish("run", "grid", *SMALL, "--results", folder)
    assert answer.code == 0, answer.err
    assert "4/4 trials, best FD (classifier) " in answer.out
    assert "W/O" in answer.out
    assert "FD (classifier)" in answer.out
    return folder


def test_a_study_leaves_its_rows_memberships_generators_and_figure(results: Path) -> None:
    trials = read_table(results, "trials").to_pylist()
    assert [row["status"] for row in trials] == ["finished"] * 4
    assert len({row["trial_id"] for row in trials}) == 4
    assert {row["method"] for row in trials} == {"none", "spectral_norm"}
    assert all(row["images_per_second"] > 0 and row["best_frechet_distance"] > 0 for row in trials)
    assert len(read_table(results, "evaluations")) == 4
    memberships = read_table(results, "memberships").to_pylist()
    assert {(row["space"], row["context"]) for row in memberships} == {("grid", "digits")}
    assert {row["trial_id"] for row in memberships} == {row["trial_id"] for row in trials}
    assert len(list(results.glob("states/*/*/generator.pt"))) == 4
    assert (results / "figures" / "top-5-percent.png").stat().st_size > 10_000
    assert not list(part_paths(results))
    assert not list(results.glob(".lock*"))


def test_a_finished_study_runs_nothing_again(results: Path, study: Callable[..., Answer]) -> None:
    before = read_table(results, "trials")
    answer = study("run", "grid", *SMALL, "--results", results)
    assert answer.code == 0
    assert "all 4 trials are done" in answer.out
    assert read_table(results, "trials") == before


def finish_on_a_terminal(*arguments: object) -> tuple[int, str]:
    """Exit code, and all that the command wrote to a terminal of its own."""
    ours, theirs = pty.openpty()
    process = study_process(*arguments, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # the terminal closes with its last process
        while more := os.read(ours, 65536):
            written += more
    os.close(ours)
    return process.wait(timeout=60), written.decode()


@pytest.mark.full
def test_only_the_difference_is_run_and_a_worker_repeats_this_process_bit_for_bit(
    results: Path, tmp_path: Path, study: object
) -> None:
    options = [*SMALL, "--methods", "none", "--settings", "3"]
    code, screen = finish_on_a_terminal("run", "grid", *options, "--results", results)
    assert code == 0, screen
    assert "3 trials, 2 done, 1 to run" in screen
    assert "starting the workers" in screen
    assert "1/1 trial" in screen
    options = ["--beta2", 0.9, "--n-dis", 5, "--discriminator-steps", 4, "--results", tmp_path]
    assert study("train", *options).code == 0  # type: ignore[operator]
    (here,) = read_table(tmp_path, "evaluations").to_pylist()
    assert here in read_table(results, "evaluations").to_pylist()


@pytest.mark.full
def test_what_is_left_of_a_pack_is_trained_by_its_program(results: Path) -> None:
    """The test before added the third setting; the first, of the same n_dis, was trained when it was alone."""
    rows = read_table(results, "trials").to_pylist()
    assert sorted((row["pack"], row["compiled"]) for row in rows) == [(1, "eager")] * 4 + [(2, "eager")]


def test_an_address_without_a_cluster_is_one_line(tmp_path: Path, study: Callable[..., Answer]) -> None:
    answer = study("run", "grid", *SMALL, "--results", tmp_path / "results", "--address", "127.0.0.1:1")
    assert answer.code == 2
    assert answer.err.startswith("--address 127.0.0.1:1: no Ray cluster")
    assert len(answer.err.strip().splitlines()) == 1
    assert not list(part_paths(tmp_path / "results"))


def wait_for_parts(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while len(list(part_paths(folder))) < count:
        assert time.monotonic() < deadline, "the study makes no progress"
        time.sleep(0.05)


def workers(driver: int) -> list[int]:
    """Processes that train for a driver: children of the raylet that it started."""

    def parent(pid: str) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]

    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"ray::ImplicitFunc" in path.read_bytes() and parent(parent(path.parent.name)) == str(driver):
                found.append(int(path.parent.name))
    return found


KILLED = ("--methods", "none,spectral_norm", "--discriminator-steps", "30")


@pytest.mark.slow
@pytest.mark.parametrize("done", [1, 7])
@pytest.mark.parametrize("victim", ["driver", "workers"])
def test_kill_9_loses_nothing_and_repeats_nothing(tmp_path: Path, victim: str, done: int) -> None:
    process = study_process("run", "grid", *KILLED, "--results", tmp_path)
    wait_for_parts(tmp_path, done)
    killed = [process.pid] if victim == "driver" else workers(process.pid)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    if victim == "driver":
        assert process.returncode == -signal.SIGKILL
        finished = statuses(tmp_path)
        assert done <= len(finished) < 24
    else:
        assert process.returncode == 0, err
        finished = {}
    times = {row["trial_id"]: row["finished_at"] for row in rows_with_parts(tmp_path)}

    answer = finish("run", "grid", *KILLED, "--results", tmp_path)
    assert answer.code == 0, answer.err
    rows = read_table(tmp_path, "trials").to_pylist()
    assert len(rows) == len({row["trial_id"] for row in rows}) == 24
    assert {row["status"] for row in rows} == {"finished"}
    again = {row["trial_id"]: row["finished_at"] for row in rows}
    assert {key: again[key] for key in times} == times
    scored = [(row["trial_id"], row["discriminator_step"]) for row in read_table(tmp_path, "evaluations").to_pylist()]
    assert len(scored) == len(set(scored))
    assert {trial_id for trial_id, _ in scored} == set(again)
    assert {(row["trial_id"], row["final_step"]) for row in rows} <= set(scored)


def rows_with_parts(folder: Path) -> list[dict[str, object]]:
    from study.storage.parts import read_part

    parts = [read_part(path)[0] for path in part_paths(folder)]
    return [*read_table(folder, "trials").to_pylist(), *parts]


LONGER = ("--methods", "none", "--settings", "2", "--discriminator-steps", "200")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "more"), [("driver", ()), ("workers", ()), ("driver", ("--n-dis", "5"))], ids=lambda each: "".join(each)
)
def test_kill_9_within_trials_and_they_go_on(tmp_path: Path, victim: str, more: tuple[str, ...]) -> None:
    """To the rows of a study that nobody killed; of one n_dis they are a pack, which goes on as it was."""
    options, whole, killed = (*LONGER, *more), tmp_path / "whole", tmp_path / "killed"
    assert finish("run", "grid", *options, "--results", whole).code == 0
    process = study_process("run", "grid", *options, "--results", killed)
    deadline = time.monotonic() + 240
    while not list(killed.glob("unfinished/[!.]*.pt")):
        assert time.monotonic() < deadline, "the study makes no progress"
        time.sleep(0.05)
    for pid in [process.pid] if victim == "driver" else workers(process.pid):
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == (-signal.SIGKILL if victim == "driver" else 0), err
    assert finish("run", "grid", *options, "--results", killed).code == 0
    rows, afresh = (
        {row["trial_id"]: row for row in read_table(folder, "trials").to_pylist()} for folder in (killed, whole)
    )
    assert rows.keys() == afresh.keys() and len(rows) == 2
    assert sum(row["resumptions"] for row in rows.values()) > 0
    assert {row["pack"] for row in rows.values()} == {2 if more else 1}
    for trial_id, row in rows.items():
        assert all(row[name] == afresh[trial_id][name] for name in row.keys() - OWN)
    one, other = (
        read_table(f, "evaluations").sort_by([("trial_id", "ascending"), ("discriminator_step", "ascending")])
        for f in (killed, whole)
    )
    assert one == other
    assert not list(killed.glob("unfinished/*"))


@pytest.mark.slow
def test_a_second_driver_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    first = study_process("run", "grid", *KILLED, "--results", tmp_path)
    wait_for_parts(tmp_path, 1)
    second = finish("run", "grid", *KILLED, "--results", tmp_path)
    assert second.code == 2
    assert f"in use by process {first.pid} on" in second.err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    assert first.returncode == 130
    assert not list(tmp_path.glob(".lock*"))


@pytest.mark.slow
def test_shards_share_a_folder_and_nothing_else(tmp_path: Path) -> None:
    """Two drivers at once, one of them killed and started again, end in the study of one."""
    run = ("run", "grid", *KILLED, "--results", tmp_path)
    first, second = (study_process(*run, "--shard", f"{index}/2") for index in (1, 2))
    wait_for_parts(tmp_path, 1)
    for rival, why in (((), "shard "), (("--shard", "2/2"), "shard 2/2"), (("--shard", "1/3"), "shard ")):
        refused = finish(*run, *rival)
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
        assert f"in use by process {second.pid if '2/2' in rival else ''}" in refused.err and why in refused.err
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    finished = {row["trial_id"]: row["finished_at"] for row in rows_with_parts(tmp_path)}
    again = finish(*run, "--shard", "1/2")
    assert again.code == 0, again.err
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    assert "part 2/2 of grid on digits" in out and "all parts are done" in out
    rows = {row["trial_id"]: row for row in read_table(tmp_path, "trials").to_pylist()}
    assert len(rows) == len(read_table(tmp_path, "trials")) == 24
    assert {key: rows[key]["finished_at"] for key in finished} == finished
    assert len(read_table(tmp_path, "memberships")) == 24
    whole = finish(*run)
    assert (whole.code, "all 24 trials are done" in whole.out) == (0, True), whole.err
    assert not list(tmp_path.glob(".lock*"))


class Unrun:
    """A task that Ray does not run."""

    def __init__(self, function: object) -> None:
        pass

    def options(self, **_: object) -> "Unrun":
        return self

    def remote(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("leaves", [True, False])
def test_a_node_that_is_lost_while_it_is_asked_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """Unless it stays: then it only does not answer."""
    from study.driver.planning import plan
    from study.driver.scheduler import ray_cluster

    alive = iter([True, True, *[not leaves] * 1000])
    one = {"NodeID": "ab" * 28, "NodeManagerHostname": "far", "NodeManagerAddress": "10.0.0.9", "Resources": {"CPU": 1}}

    def unasked(*_: object) -> None:
        raise ray_cluster.ray.exceptions.TaskUnschedulableError("gone")

    monkeypatch.setattr(ray_cluster, "LOST_WITHIN", 0.5)
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: [{**one, "Alive": next(alive)}])
    monkeypatch.setattr(ray_cluster.ray, "remote", lambda **_: Unrun)
    monkeypatch.setattr(ray_cluster.ray, "get", unasked)
    (tmp_path / "results").mkdir()
    request = make_request(datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path / "data")
    contexts = [plan.make_context(request, data.get("digits"))[0]]
    if leaves:
        ray_cluster.check_nodes(contexts, prepare=False)
    else:
        with pytest.raises(InputError, match=r"^node far \(10\.0\.0\.9\): cannot run `study`"):
            ray_cluster.check_nodes(contexts, prepare=False)


def test_a_free_worker_takes_the_newest_trial_so_that_those_which_start_are_not_dismissed() -> None:
    from types import SimpleNamespace

    from study.driver.scheduler.ray_tune import NewestFirst

    trials = [SimpleNamespace(status=status) for status in ("TERMINATED", "PENDING", "RUNNING", "PENDING", "RUNNING")]
    controller = SimpleNamespace(get_trials=lambda: trials)
    assert NewestFirst().choose_trial_to_run(controller) is trials[3]  # type: ignore[arg-type]
    trials[1].status = trials[3].status = "ERROR"
    assert NewestFirst().choose_trial_to_run(controller) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("error", ["OutOfMemoryError", "WorkerCrashedError", "RaySystemError"])
def test_a_worker_that_ray_ended_is_dead_whatever_the_error_is_called(error: str) -> None:
    """Tune itself would end with what is no RayActorError."""
    from types import SimpleNamespace

    from ray import exceptions
    from ray.tune.execution import tune_controller

    from study.driver.scheduler import ray_tune

    assert tune_controller.RayActorManager is ray_tune.ActorManager  # type: ignore[attr-defined]
    raised = getattr(exceptions, error)
    told: list[Exception] = []
    worker = SimpleNamespace(actor_id=1, _on_error=lambda _, error: told.append(error))
    manager = ray_tune.ActorManager(None)
    manager._cleanup_actor = lambda **_: None  # type: ignore[method-assign]
    task = SimpleNamespace(_tracked_actor=worker, _on_error=lambda _, error: told.append(error))
    manager._actor_task_failed(task, raised() if error == "WorkerCrashedError" else raised("running low on memory"))
    assert [type(each) for each in told] == [ray_tune.WorkerEndedError] * 2
    assert issubclass(ray_tune.WorkerEndedError, exceptions.RayActorError)
    assert str(told[0]).startswith(error) and manager._failed_actor_ids == {1}


def test_a_cluster_without_a_node_for_trials_is_waited_for_and_then_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from study.driver.scheduler import ray_cluster

    head, worker = ({"Alive": True, "Resources": {"CPU": cpus} if cpus else {}} for cpus in (0, 2))
    seen = iter([[head], [head], [head, worker]])
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: next(seen))
    monkeypatch.setattr(ray_cluster.time, "sleep", lambda _: None)
    ray_cluster._wait_for_nodes("head:6379")
    said = "--address head:6379: no node with a CPU core has joined yet; waiting\n"
    assert capsys.readouterr().err == said
    monkeypatch.setattr(ray_cluster.ray, "nodes", lambda: [head])
    monkeypatch.setattr(ray_cluster, "JOINED_WITHIN", 0.01)
    with pytest.raises(InputError, match=r"^--address head:6379: the cluster has no node with a CPU core; start one"):
        ray_cluster._wait_for_nodes("head:6379")


@pytest.mark.parametrize("ip", ["\tip: 10.0.0.9\n", ""])
def test_a_worker_that_cannot_import_study_stops_it(tmp_path: Path, ip: str) -> None:
    from types import SimpleNamespace

    from study.core.errors import StudyStops
    from study.driver.scheduler import ray_tune
    from study.driver.scheduler.feed import Feed
    from study.driver.scheduler.retries import Attempts
    from study.driver.scheduler.work import FixedWork

    said = f"The actor died.\n{ip}it failed to import on the worker:\n  ModuleNotFoundError: No module named 'study'\n"
    (tmp_path / "error").write_text(said)
    feed = Feed(FixedWork([]), Attempts(2), lambda: 1, lambda *_: None, print, None)
    trial = SimpleNamespace(trial_id="a", error_file=str(tmp_path / "error"), get_pickled_error=lambda: None)
    with pytest.raises(
        StudyStops, match=r"^node .*: cannot run `study` \(ModuleNotFoundError: No module named 'study'"
    ):
        ray_tune.report_death(feed, trial)  # type: ignore[arg-type]
    assert isinstance(feed.error, StudyStops) and ("10.0.0.9" in str(feed.error)) == bool(ip)
