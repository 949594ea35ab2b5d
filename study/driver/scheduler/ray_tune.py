"""Our parts of Ray Tune: what hands out trials, what follows them, and in which order they run.

The only file that uses private interfaces of Tune; `tests/driver/test_ray_private.py` lists and checks them.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from study.core.errors import StudyStops
from study.driver.scheduler.feed import Feed
from study.driver.scheduler.messages import ASSIGNMENT, MESSAGE, Assignment, Halving, Message, Notice, StopRequest
from study.worker.outcome import Outcome, PartialResult, record_stopped

FINISHED: Any = Searcher.FINISHED  # `Searcher.suggest` may return it, although its annotation does not say so

# Where Ray has an exception type, the type decides. For these three it has only text:
NODE_LOST = "its node has died"
"""Part of the text of ActorDiedError if the actor's node died, except when an autoscaler took it (`preempted`)."""
IMPORT_FAILED = re.compile(r"\b(ModuleNotFoundError|ImportError): .+")
"""Part of the text of an error of a worker that cannot import `study`. Trials catch their own errors."""
NODE_ADDRESS = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)
"""The worker's address in the text of ActorDiedError."""


class WorkerEndedError(RayActorError):
    """Ray ended a worker for a reason (`cause`) other than a RayActorError, such as a lack of memory."""

    def __init__(self, cause: RayError) -> None:
        super().__init__(error_msg=f"{type(cause).__name__}: {cause}")
        self.args = (cause,)  # what pickle passes to __init__
        self.cause = cause


class ActorManager(RayActorManager):
    """Tune's manager of worker processes, except that any Ray error of a worker counts as its death.

    Tune itself raises an error that is neither a RayActorError nor a RayTaskError, and ends with all its workers. Ray
    raises such an error (OutOfMemoryError) for a worker that it killed to free memory.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = WorkerEndedError(exception)
        super()._actor_task_failed(tracked_actor_task, exception)


setattr(tune_controller, "RayActorManager", ActorManager)  # noqa: B010  Tune has no public way to use another manager


class FeedSearcher(Searcher):
    """Tune's source of trials: each of its trials is a pack from the feed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._tune_trials: dict[str, TuneTrial] = {}  # by tag, those that were running
        self._known = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its parts for a restore that is never requested, and the feed cannot be pickled."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next pack; None while others must end first; FINISHED if there are no more."""
        assignment = self._feed.next(trial_id)
        if assignment is None:
            self._find_failed()
            assignment = self._feed.next(trial_id)
        if assignment is None:
            return FINISHED if self._feed.over else None
        return {ASSIGNMENT: assignment}

    def add_trials(self, tune_trials: Sequence[TuneTrial]) -> None:
        """Take over the list of all trials that Tune has; those of earlier calls come first."""
        self._tune_trials |= {trial.trial_id: trial for trial in islice(tune_trials, self._known, None)}
        self._known = len(tune_trials)

    def _find_failed(self) -> None:
        """Report failed trials to the feed.

        If a worker dies while it gets its next trial, Tune calls no callback; it only sets the trial's status.
        """
        self._tune_trials = {tag: trial for tag, trial in self._tune_trials.items() if self._feed.running(tag)}
        for trial in self._tune_trials.values():
            if trial.status == TuneTrial.ERROR:
                report_death(self._feed, trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: `FeedCallback` reports the ends of trials, with more detail."""


def report_death(feed: Feed, trial: TuneTrial) -> None:
    """Report to the feed that Tune's trial lost its worker, and why."""
    error = trial.get_pickled_error()
    path = Path(trial.error_file or "")
    text = path.read_text(errors="replace") if path.is_file() else ""
    if problem := IMPORT_FAILED.search(text):
        address = NODE_ADDRESS.search(text)
        node, reason = address[1] if address else "that joined", problem[0].strip()
        remedy = "install the study's revision there, and run the same command again"
        feed.stop(StudyStops(f"node {node}: cannot run `study` ({reason}); {remedy}."))
    preempted = isinstance(error, RayActorError) and error.preempted
    if preempted or isinstance(error, ActorUnavailableError) or NODE_LOST in text:
        feed.lost(trial.trial_id)
    elif isinstance(error, WorkerEndedError) and isinstance(error.cause, OutOfMemoryError):
        feed.died(trial.trial_id, "Ray killed it because its node was running low on memory")
    else:
        feed.died(trial.trial_id, "it was killed, or it crashed")


class FeedCallback(tune.Callback):
    """Reports to the feed what becomes of trials. A trial of Tune is a pack; its outcomes are passed on at its end.

    If they were passed on earlier, the feed would hand out a new pack while the worker is not yet free. Tune would ask
    Ray for one more worker, and withdraw such a request when the worker is free: on a busy machine it would then always
    withdraw the request on a node that has just joined.
    """

    def __init__(self, feed: Feed, searcher: FeedSearcher) -> None:
        self._feed, self._searcher = feed, searcher
        self._partial: dict[str, PartialResult] = {}
        self._outcomes: dict[str, list[Outcome]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the reason given in `FeedSearcher`."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **_: Any) -> None:
        """Runs before Tune asks for trials. The error that ends the study is raised here: elsewhere Tune hides it."""
        if self._feed.error:
            raise self._feed.error
        self._searcher.add_trials(trials)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_: Any
    ) -> None:
        """A worker has reported a message."""
        message: Message | None = result.get(MESSAGE)
        if isinstance(message, Notice):
            self._feed.say(message.line)
        elif isinstance(message, StopRequest):
            self._feed.stop(StudyStops(message.reason))
        elif isinstance(message, PartialResult):
            self._partial[trial.trial_id] = message
        elif isinstance(message, Outcome):
            self._outcomes.setdefault(trial.trial_id, []).append(message)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """Tune has finished a pack; a trial of it without an outcome was stopped early."""
        partial = self._partial.pop(trial.trial_id, None)
        self._pass_on_outcomes(trial)
        left = self._feed.running(trial.trial_id)
        if left and partial:
            (planned,) = left
            self._feed.end(trial.trial_id, record_stopped(planned.trial, planned.context, partial))
        elif left:
            self._feed.died(trial.trial_id, "it ended without an outcome")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """A pack's worker died, possibly after all its trials had ended."""
        self._partial.pop(trial.trial_id, None)
        self._pass_on_outcomes(trial)
        if self._feed.running(trial.trial_id):
            report_death(self._feed, trial)

    def _pass_on_outcomes(self, trial: TuneTrial) -> None:
        for outcome in self._outcomes.pop(trial.trial_id, ()):
            self._feed.end(trial.trial_id, outcome)


class NewestFirst(FIFOScheduler):
    """A free worker takes the newest waiting trial.

    Tune's own order is oldest first, and it dismisses the worker that is being started for that trial: if trials end
    faster than workers start, a node that joins would never be used.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """The newest waiting trial; None if none waits."""
        trials: Sequence[TuneTrial] = tune_controller.get_trials()
        return next((trial for trial in reversed(trials) if trial.status == TuneTrial.PENDING), None)


class HalvingByGroup(NewestFirst):
    """Successive halving within each group of trials; scores of different methods or datasets are not compared."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, AsyncHyperBandScheduler] = {}

    def _scheduler(self, trial: TuneTrial) -> AsyncHyperBandScheduler:
        assignment: Assignment = trial.config[ASSIGNMENT]
        halving = assignment.halving
        if not isinstance(halving, Halving):
            raise ValueError("a trial without a group cannot take part in successive halving")
        if halving.group not in self._groups:
            self._groups[halving.group] = AsyncHyperBandScheduler(
                time_attr="step",
                metric="score",
                mode="min",
                grace_period=halving.grace_steps,
                max_t=halving.steps,
                reduction_factor=2,
            )
        return self._groups[halving.group]

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """A trial joins its group."""
        self._scheduler(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Whether a trial continues after a checkpoint."""
        return str(self._scheduler(trial).on_trial_result(tune_controller, trial, result))
