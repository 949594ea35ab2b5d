"""The private interfaces of Ray Tune that the scheduler uses: that each is there, and what breaks if it changes.

`study/driver/scheduler/ray_tune.py` is the only file that uses them, but for one function in `ray_cluster.py`. After an
upgrade of Ray, run these tests first.
"""

import inspect
import os
import pickle
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import exceptions, tune
from ray._private import utils as ray_utils
from ray._private import worker
from ray._private.node import Node
from ray.air.execution import _internal
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher, SearchGenerator, search_generator

from study.core.errors import InputError
from study.driver.scheduler import ray_cluster, ray_tune
from study.driver.scheduler.messages import ASSIGNMENT, Assignment, Halving


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_installed_ray_is_one_that_was_checked() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (required,) = (line for line in project["dependencies"] if line.startswith("ray"))
    assert "<" in required, "ray needs an upper bound in pyproject.toml: private interfaces of Tune are used"
    assert version("ray").startswith("2.60."), "Ray was upgraded: run this file, then change this line and the bound"


def test_the_controller_makes_its_workers_by_the_manager_that_is_replaced() -> None:
    why = "without it a worker that Ray kills for lack of memory ends the whole study"
    assert issubclass(ray_tune.ActorManager, _internal.RayActorManager), why
    assert vars(tune_controller)["RayActorManager"] is ray_tune.ActorManager, f"Tune's manager is not replaced: {why}"
    source = inspect.getsource(tune_controller.TuneController.__init__)
    assert "RayActorManager(" in source, f"the controller makes its manager in another way: {why}"


def test_the_manager_handles_the_errors_of_workers_in_the_method_that_is_overridden() -> None:
    why = "a worker that Ray kills for lack of memory would end the whole study"
    method = _internal.RayActorManager._actor_task_failed
    assert parameters(method) == ["self", "tracked_actor_task", "exception"], f"other parameters: {why}"
    source = inspect.getsource(_internal.RayActorManager)
    assert "self._actor_task_failed(" in source, f"the manager no longer calls it: {why}"


def test_the_manager_itself_refuses_other_errors() -> None:
    manager = _internal.RayActorManager(resource_manager=SimpleNamespace())  # type: ignore[arg-type]
    task = SimpleNamespace(_tracked_actor=SimpleNamespace(), _on_error=None)
    with pytest.raises(RuntimeError, match="unexpected exception"):  # else ActorManager is no longer needed
        manager._actor_task_failed(task, exceptions.OutOfMemoryError("low"))  # type: ignore[arg-type]


def test_an_error_of_a_worker_can_be_pickled_with_its_cause() -> None:
    """Tune writes it to a file, from which `report_death` reads it."""
    error = pickle.loads(pickle.dumps(ray_tune.WorkerEndedError(exceptions.OutOfMemoryError("low"))))
    assert isinstance(error, ray_tune.WorkerEndedError), "the type is lost: the reason in the row names no cause"
    assert isinstance(error.cause, exceptions.OutOfMemoryError), "the cause is lost: the reason in the row names none"
    assert str(error) == "OutOfMemoryError: low" and not error.preempted


class Storage:
    """The part of Tune's storage that a trial needs for its errors; the real one needs a running Ray."""

    def __init__(self, folder: Path) -> None:
        self.trial_dir_name = "a"
        self.trial_driver_staging_path = str(folder)

    def __deepcopy__(self, _: object) -> "Storage":
        return self


def test_a_trial_of_tune_tells_its_state_its_configuration_and_its_error(tmp_path: Path) -> None:
    why = "FeedSearcher would not notice that a worker died while it got its next pack, and the study would hang"
    assert (Trial.PENDING, Trial.RUNNING, Trial.TERMINATED, Trial.ERROR) == (
        "PENDING",
        "RUNNING",
        "TERMINATED",
        "ERROR",
    ), why
    made = Trial("study", stub=True, config={ASSIGNMENT: 1}, trial_id="a", storage=Storage(tmp_path))  # type: ignore[arg-type]
    assert made.status == Trial.PENDING, f"the field `status` has changed: {why}"
    assert made.trial_id == "a", "the feed names packs by `trial_id`: no outcome would find its pack"
    assert made.config == {ASSIGNMENT: 1}, "HalvingByGroup reads the assignment in `config`"
    assert made.error_file is None, "report_death reads `error_file`: it would not see that a node was lost"
    assert made.get_pickled_error() is None, "report_death reads `get_pickled_error`: causes of death would be unknown"
    made.handle_error(ray_tune.WorkerEndedError(exceptions.OutOfMemoryError("low")))
    assert "OutOfMemoryError: low" in Path(str(made.error_file)).read_text(), "no text of the error: see NODE_LOST"
    pickled = pickle.loads(Path(str(made.pickled_error_file)).read_bytes())
    assert isinstance(pickled, ray_tune.WorkerEndedError), "the type of the error is lost: causes would be unknown"
    source = inspect.getsource(Trial.get_pickled_error)
    assert "pickled_error_filename" in source, "get_pickled_error reads another file: causes would be unknown"


def test_a_searcher_ends_a_run_by_a_value() -> None:
    assert Searcher.FINISHED == "FINISHED", "FeedSearcher returns it when nothing is left: a study would never end"
    assert "Searcher.FINISHED" in inspect.getsource(SearchGenerator.create_trial_if_possible), "as above"
    assert parameters(Searcher.suggest) == ["self", "trial_id"], "Tune would call FeedSearcher.suggest in another way"


class OneSearcher(Searcher):
    """Hands out one assignment again and again."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__()
        self.assignment = assignment

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {ASSIGNMENT: self.assignment}


def test_an_assignment_passes_through_the_configuration_of_a_trial_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    halving = Halving(group="a", grace_steps=1, steps=4)
    assignment = Assignment(context=0, slots=1, tasks=(), halving=halving)
    monkeypatch.setattr(search_generator, "_create_trial_from_spec", lambda spec, *_, **__: spec["config"])
    config: Any = SearchGenerator(OneSearcher(assignment)).create_trial_if_possible({"config": {}})
    why = "Tune changes values in a configuration: workers would get no Assignment"
    assert config == {ASSIGNMENT: assignment} and isinstance(config[ASSIGNMENT], Assignment), why


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("on_step_begin", ["iteration", "trials"]),
        ("on_trial_result", ["iteration", "trials", "trial", "result"]),
        ("on_trial_complete", ["iteration", "trials", "trial"]),
        ("on_trial_error", ["iteration", "trials", "trial"]),
    ],
)
def test_callbacks_have_the_parameters_that_tune_passes(method: str, expected: list[str]) -> None:
    theirs = parameters(getattr(tune.Callback, method))
    assert theirs[1:-1] == expected, f"Tune calls {method} with other arguments: outcomes would not reach the feed"
    assert parameters(getattr(ray_tune.FeedCallback, method))[1:-1] == expected


def test_schedulers_are_asked_which_trial_runs_next_and_which_goes_on() -> None:
    why = "NewestFirst would not decide the order: nodes that join late would stay idle"
    assert parameters(FIFOScheduler.choose_trial_to_run) == ["self", "tune_controller"], why
    assert parameters(tune_controller.TuneController.get_trials) == ["self"], why
    why = "HalvingByGroup would not decide which trial continues: --stop-early would stop none"
    assert parameters(AsyncHyperBandScheduler.on_trial_result) == ["self", "tune_controller", "trial", "result"], why
    assert parameters(AsyncHyperBandScheduler.on_trial_add) == ["self", "tune_controller", "trial"], why


def test_errors_of_actors_tell_what_became_of_the_node() -> None:
    why = "report_death could not tell the loss of a node, which is excused, from a crash of the trial"
    assert issubclass(exceptions.ActorUnavailableError, exceptions.RayActorError), why
    assert exceptions.RayActorError(preempted=True).preempted and not exceptions.RayActorError().preempted, why
    assert not issubclass(exceptions.OutOfMemoryError, exceptions.RayActorError), "ActorManager is no longer needed"


def test_the_number_of_waiting_trials_is_not_limited_by_tune() -> None:
    name = "TUNE_MAX_PENDING_TRIALS_PG"
    assert os.environ[name] == "1000000", "study.driver.scheduler sets it: Feed limits the number of trials, not Tune"
    source = inspect.getsource(tune_controller)
    assert name in source, f"Tune no longer reads {name}: its own limit would leave free nodes without trials"


def test_ray_asks_for_the_command_by_the_function_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "a results folder whose path is not UTF-8 would stop the study"
    assert ray_utils.get_entrypoint_name is ray_cluster._entrypoint, why
    assert "ray._private.utils.get_entrypoint_name()" in inspect.getsource(worker.init), why
    monkeypatch.setattr("sys.argv", ["study", "run", "r\udce9s"])
    assert ray_cluster._entrypoint().encode() == b"study run 'r?s'"


@pytest.mark.parametrize("given", [None, "5"])
def test_a_cluster_that_does_not_answer_is_tried_once_unless_the_user_says_more(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    name, seen = ray_cluster.ATTEMPTS, []
    assert name in inspect.getsource(Node), f"Ray no longer reads {name}: the wrong port would hang for 15 minutes"
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)

    def init(**_: object) -> None:
        seen.append(os.environ.get(name))
        raise ConnectionError("no answer")

    monkeypatch.setattr(ray_cluster, "_init", init)
    with pytest.raises(InputError, match=r"^--address auto: no Ray cluster answers \(.*\); check the port and"):
        ray_cluster._join("auto")
    assert (seen, os.environ.get(name)) == ([given or "1"], given)
