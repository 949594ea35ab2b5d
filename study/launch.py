"""Hands trials to Ray Tune. The only file that imports ray.

Ray schedules; it is not asked to remember. A trial is done when the worker has written its part file, and only then is
Ray told, so that whatever is killed, a finished trial is never run again.
"""

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the rows are kept elsewhere
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C reaches the command, which ends the study in order
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["RAY_TRAIN_V2_ENABLED"] = "0"

import ray
from ray import tune
from ray.tune.search import Searcher

from study.execute import Context, Outcome, execute, record_loss
from study.names import InputError
from study.plan import Planned, Slots
from study.trial import Trial

WORKER_DEATHS = 2
"""How often a trial whose worker was killed is run again before it counts as failed."""

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what happens to trials is told in our own words


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[tuple[float, float]]:
    """Ray, started on this machine or joined at `address`; yields the CPU cores and GPUs of the cluster.

    Raises InputError where there is no cluster at the address.
    """
    if address and address != "auto":
        _check_answers(address)
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL", "include_dashboard": False}
    try:
        ray.init(address=address or "local", **(quiet if address is None else {**quiet, "include_dashboard": None}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--address {address}: no Ray cluster answers ({reason}); are it and RAY_AUTH_TOKEN right?"
        ) from error
    try:
        resources = ray.cluster_resources()
        yield resources.get("CPU", 1), resources.get("GPU", 0)
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises InputError where nothing listens at host:port, for which Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        reason = f"{error}; it is HOST:PORT of `ray start --head`, or auto"
        raise InputError(f"--address {address}: no Ray cluster answers ({reason}).") from error


class Queue(Searcher):
    """Feeds a list of configurations to Tune, in order."""

    def __init__(self, configurations: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self._left = iter(configurations)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next configuration."""
        return next(self._left, Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learnt from a result."""


class Watcher(tune.Callback):
    """Passes on what ends, and remembers why workers died."""

    def __init__(self, on_outcome: Callable[[Outcome], None]) -> None:
        self._on_outcome = on_outcome
        self.ended: set[str] = set()
        self.deaths: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never asked for, and a live display cannot be."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has ended and its part is written."""
        if "study_status" in result:
            outcome = Outcome(**{field.name: result[f"study_{field.name}"] for field in fields(Outcome)})
            self.ended.add(outcome.trial_id)
            self._on_outcome(outcome)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial's worker died: what the trial itself raises is caught there and ends as a row."""
        reason = str(trial.get_error() or "killed").split(". ")[0]
        self.deaths[Trial.from_dict(trial.config["trial"]).id] = " ".join(reason.split())


def _configuration(planned: Planned, contexts: Sequence[Context]) -> dict[str, Any]:
    """What `_train_in_worker` is told of a trial; plain values."""
    return {
        "trial": planned.trial.to_dict(),
        "context": contexts.index(planned.context),
        "kept": planned.kept,
        "parent": planned.parent and planned.parent.to_dict(),
    }


def _train_in_worker(config: dict[str, Any], contexts: Sequence[Context]) -> None:
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    context = contexts[config["context"]]
    parent = config["parent"] and Trial.from_dict(config["parent"])
    outcome = execute(Trial.from_dict(config["trial"]), context, device, kept=config["kept"], parent=parent)
    tune.report({f"study_{name}": value for name, value in asdict(outcome).items()})


def launch(todo: Sequence[Planned], slots: Slots, on_outcome: Callable[[Outcome], None]) -> None:
    """Run trials to their end, `slots.concurrent` at a time; `on_outcome` is told of each as it ends.

    Trials whose worker was killed are run again when the others are through; one that loses its worker each time gets
    its row here, since no worker is left to write it.
    """
    watcher = Watcher(on_outcome)
    for _ in range(1 + WORKER_DEATHS):
        _run_through(todo, slots, watcher)
        todo = [planned for planned in todo if planned.trial.id not in watcher.ended]
        if not todo:
            return
    for planned in todo:
        death = watcher.deaths.get(planned.trial.id, "Ray gave no reason")
        on_outcome(record_loss(planned.trial, planned.context, f"its worker died {1 + WORKER_DEATHS} times ({death})"))


def _run_through(todo: Sequence[Planned], slots: Slots, watcher: Watcher) -> None:
    """Offer every trial to Ray Tune once."""
    contexts = list(dict.fromkeys(planned.context for planned in todo))
    queue = Queue([_configuration(p, contexts) for p in todo])
    scratch = tempfile.mkdtemp(prefix="study-ray-")
    trainable = partial(_train_in_worker, contexts=contexts)
    try:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": slots.gpus_per_trial}),
            tune_config=tune.TuneConfig(
                search_alg=queue, num_samples=-1, max_concurrent_trials=slots.concurrent, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=scratch, name="study", verbose=0, callbacks=[watcher]),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
