"""Hands trials to Ray Tune. The only file that imports ray.

Ray schedules; it is not asked to remember. A trial is done when the worker has written its part file, and only then is
Ray told, so that whatever is killed, a finished trial is never run again.
"""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
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

from study.execute import Context, Outcome, execute, make_record
from study.names import InputError
from study.plan import Planned, Slots
from study.results import FAILED, write_part
from study.trial import Trial

WORKER_DEATHS = 2
"""How often a trial whose worker was killed is started again before it counts as failed."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[tuple[float, float]]:
    """Ray, started on this machine or joined at `address`; yields the CPU cores and GPUs of the cluster.

    Raises InputError where there is no cluster at the address.
    """
    if address and address != "auto":
        _check_answers(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        ray.init(address=address or "local", **(quiet if address is None else {**quiet, "include_dashboard": None}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--address {address}: no Ray cluster answers ({reason}); start one or leave it out."
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
    """Passes on what ends. A trial that Ray gave up on gets its row here, since no worker is left to write it."""

    def __init__(self, contexts: Sequence[Context], on_outcome: Callable[[Outcome], None]) -> None:
        self._contexts, self._on_outcome = contexts, on_outcome

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has ended and its part is written."""
        if "study_status" in result:
            self._on_outcome(Outcome(**{field.name: result[f"study_{field.name}"] for field in fields(Outcome)}))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial's worker died too often."""
        lost, context = Trial.from_dict(trial.config["trial"]), self._contexts[trial.config["context"]]
        last = str(trial.get_error() or "killed").splitlines()[-1]
        reason = f"its worker died {WORKER_DEATHS + 1} times, last: {last}"
        now = datetime.now(UTC).isoformat()
        record = make_record(context, FAILED, reason, started=now, device="cpu", last=None, trial=lost)
        write_part(context.results, lost, context.protocol, record, [])
        self._on_outcome(
            Outcome(
                trial_id=lost.id,
                dataset=lost.dataset,
                method=lost.method.name,
                status=FAILED,
                reason=reason,
                best_frechet_distance=None,
                seconds=0.0,
            )
        )


def _train_in_worker(config: dict[str, Any], contexts: Sequence[Context]) -> None:
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    outcome = execute(Trial.from_dict(config["trial"]), contexts[config["context"]], device)
    tune.report({f"study_{name}": value for name, value in asdict(outcome).items()})


def launch(todo: Sequence[Planned], slots: Slots, on_outcome: Callable[[Outcome], None]) -> None:
    """Run trials to their end, `slots.concurrent` at a time; `on_outcome` is told of each as it ends."""
    contexts = list(dict.fromkeys(planned.context for planned in todo))
    queue = Queue([{"trial": p.trial.to_dict(), "context": contexts.index(p.context)} for p in todo])
    scratch = tempfile.mkdtemp(prefix="study-ray-")
    try:
        tune.Tuner(
            tune.with_resources(partial(_train_in_worker, contexts=contexts), {"cpu": 1, "gpu": slots.gpus_per_trial}),
            tune_config=tune.TuneConfig(
                search_alg=queue, num_samples=-1, max_concurrent_trials=slots.concurrent, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name="study",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                callbacks=[Watcher(contexts, on_outcome)],
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
