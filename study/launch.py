"""Hands trials to Ray Tune. The only file that imports ray.

Ray schedules; it is not asked to remember. A trial is done when the worker has written its part file, and only then is
Ray told, so that whatever is killed, a finished trial is never run again. One Tune run serves a whole command, also
where what comes next depends on what has ended (`Work`), so that workers are started once.
"""

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # the rows are kept elsewhere
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C reaches the command, which ends the study in order
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["RAY_TRAIN_V2_ENABLED"] = "0"

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from study.execute import Context, Outcome, Progress, execute, progress, record_loss, record_stopped
from study.names import InputError
from study.plan import Planned
from study.slots import Slots
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


class Work(Protocol):
    """Trials to be run, some of them known only when others have ended."""

    contexts: Sequence[Context]
    """What the trials are run in."""

    def take(self) -> Planned | None:
        """The next trial; None where there is none now. When none is running then either, the work is over."""

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """A trial that was taken has ended, and its row is written."""


class Listed:
    """Work that is known beforehand."""

    def __init__(self, todo: Sequence[Planned]) -> None:
        self.contexts = list(dict.fromkeys(planned.context for planned in todo))
        self._left = deque(todo)

    def take(self) -> Planned | None:
        """In the order of the list."""
        return self._left.popleft() if self._left else None

    def ended(self, planned: Planned, outcome: Outcome) -> None:
        """Nothing follows from a result."""


class EarlyStopping(NamedTuple):
    """Successive halving at the checkpoints (ASHA: Li et al., 2020), among the trials of one `group`."""

    group: Callable[[Trial], str]
    first: Callable[[Planned], int]
    """The D updates that any trial gets."""


class Feed(Searcher):
    """What Tune asks for trials.

    A trial whose worker was killed is handed out again when nothing else is left to hand out; one that loses its worker
    each time gets its row here, since no worker is left to write it.
    """

    def __init__(self, work: Work, on_end: Callable[[Planned, Outcome], None], stopping: EarlyStopping | None) -> None:
        super().__init__()
        self.work = work
        self.tunes: Sequence[Any] = ()  # Tune's own trials
        self.error: Exception | None = None  # which Tune would wrap in one of its own
        self._on_end, self._stopping = on_end, stopping
        self._running: dict[str, Planned] = {}
        self._again: deque[Planned] = deque()
        self._deaths: Counter[str] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its parts for a restore that is never asked for, and a live display cannot be saved."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, None while others must end first, or that there are no more."""
        planned = self._next()
        if planned is None:
            self._count_lost()
            planned = self._next()
        if planned is None:
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = planned
        how: dict[str, Any] = {
            "context": self.work.contexts.index(planned.context),
            "kept": planned.kept,
            "parent": planned.parent and planned.parent.to_dict(),
        }
        if self._stopping:
            how["early"] = {"group": self._stopping.group(planned.trial), "first": self._stopping.first(planned)}
        return {"trial": planned.trial.to_dict(), **how}

    def _next(self) -> Planned | None:
        planned = self.work.take()
        return self._again.popleft() if planned is None and self._again else planned

    def _count_lost(self) -> None:
        """A worker that dies while it is handed its next trial loses it, and Tune tells nobody but its own list."""
        for trial in self.tunes:
            if trial.trial_id in self._running and trial.status == tune.experiment.Trial.ERROR:
                self.died(trial.trial_id, str(trial.get_error() or "killed"))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """What ends is told by `Watcher`, with more to it."""

    def running(self, tune_id: str) -> Planned | None:
        """What Tune's trial runs, unless it has ended."""
        return self._running.get(tune_id)

    def end(self, tune_id: str, outcome: Outcome) -> None:
        """A trial has ended and its part is written."""
        planned = self._running.pop(tune_id)
        try:
            self._on_end(planned, outcome)
            self.work.ended(planned, outcome)
        except Exception as error:
            self.error = error
            raise

    def died(self, tune_id: str, reason: str) -> None:
        """A trial's worker died: what the trial itself raises is caught there and ends as a row."""
        planned = self._running.get(tune_id)
        if planned is None:
            return  # it had ended before
        self._deaths[planned.trial.id] += 1
        if self._deaths[planned.trial.id] <= WORKER_DEATHS:
            self._again.append(self._running.pop(tune_id))
            return
        why = " ".join(reason.split(". ")[0].split())
        loss = f"its worker died {1 + WORKER_DEATHS} times ({why})"
        self.end(tune_id, record_loss(planned.trial, planned.context, loss))


class Watcher(tune.Callback):
    """Tells the feed what has become of trials."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._progress: dict[str, Progress] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of the feed."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Before Tune asks for trials."""
        self._feed.tunes = trials

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has ended and its part is written, or it stands at a checkpoint."""
        if "study_progress" in result:
            self._progress[trial.trial_id] = Progress(**result["study_progress"])
        elif "study_status" in result:
            outcome = Outcome(**{field.name: result[f"study_{field.name}"] for field in fields(Outcome)})
            self._progress.pop(trial.trial_id, None)
            self._feed.end(trial.trial_id, outcome)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tune is done with a trial; if that did not end by itself, it was stopped."""
        planned, made = self._feed.running(trial.trial_id), self._progress.pop(trial.trial_id, None)
        if planned and made:
            self._feed.end(trial.trial_id, record_stopped(planned.trial, planned.context, made))
        elif planned:
            self._feed.died(trial.trial_id, "it ended without a word")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial's worker died."""
        self._progress.pop(trial.trial_id, None)
        self._feed.died(trial.trial_id, str(trial.get_error() or "killed"))


class HalvingByGroup(FIFOScheduler):
    """Successive halving among the trials of each group on its own: what is easy for one method is not for another."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, AsyncHyperBandScheduler] = {}

    def _halving(self, trial: Any) -> AsyncHyperBandScheduler:
        group, first = trial.config["early"]["group"], trial.config["early"]["first"]
        steps = trial.config["trial"]["training"]["discriminator_steps"]
        if group not in self._groups:
            self._groups[group] = AsyncHyperBandScheduler(
                time_attr="step", metric="score", mode="min", grace_period=first, max_t=steps, reduction_factor=2
            )
        return self._groups[group]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial joins its group."""
        self._halving(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on beyond a checkpoint."""
        return str(self._halving(trial).on_trial_result(tune_controller, trial, result))


def _train_in_worker(config: dict[str, Any], contexts: Sequence[Context]) -> None:
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    context, trial = contexts[config["context"]], Trial.from_dict(config["trial"])
    report = progress(trial, context, device)

    def at_checkpoint(checkpoint: Any, so_far: Any) -> None:
        step, score = checkpoint.evaluation.discriminator_step, checkpoint.evaluation.frechet_distance
        if "early" in config and step < trial.training.discriminator_steps:
            tune.report({"step": step, "score": score, "study_progress": report(so_far)._asdict()})

    parent = config["parent"] and Trial.from_dict(config["parent"])
    told: list[str] = []  # no one reads what a worker prints
    outcome = execute(trial, context, device, at_checkpoint, kept=config["kept"], parent=parent, say=told.append)
    tune.report({f"study_{name}": value for name, value in asdict(replace(outcome, told=tuple(told))).items()})


def launch(
    work: Work,
    slots: Slots,
    on_outcome: Callable[[Planned, Outcome], None],
    *,
    stopping: EarlyStopping | None = None,
) -> None:
    """Run trials to their end, `slots.concurrent` at a time; `on_outcome` is told of each as it ends."""
    feed = Feed(work, on_outcome, stopping)
    scratch = tempfile.mkdtemp(prefix="study-ray-")
    trainable = partial(_train_in_worker, contexts=work.contexts)
    try:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": slots.gpus_per_trial}),
            tune_config=tune.TuneConfig(
                search_alg=feed,
                num_samples=-1,
                max_concurrent_trials=slots.concurrent,
                reuse_actors=True,
                scheduler=HalvingByGroup() if stopping else None,
            ),
            run_config=tune.RunConfig(storage_path=scratch, name="study", verbose=0, callbacks=[Watcher(feed)]),
        ).fit()
    except tune.TuneError:
        if feed.error:
            raise feed.error from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
