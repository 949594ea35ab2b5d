"""Our parts of Ray Tune: what hands out trials, what follows them, and in which order they run.

The only file that uses private interfaces of Tune; `tests/driver/scheduler/test_ray_private.py` lists them.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import Searcher

from study.core.errors import StudyStops
from study.driver.scheduler.feed import Feed
from study.worker.outcome import Outcome, Progress, record_stopped

NODE_LOST = ("its node has died", "The actor is temporarily unavailable")
"""How Ray says that it was not the worker: its node is gone, or the way to it."""


NOT_IMPORTED = re.compile(r"\b(ModuleNotFoundError|ImportError): .+")
"""What Ray's own words on a worker hold where that could not even start: a trial's errors are caught by the trial."""


WHERE = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)


OUT_OF_MEMORY = "running low on memory"


class Asked(Searcher):
    """What Tune asks for trials: the feed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._tunes: dict[str, Any] = {}  # Tune's own trials, of those that run
        self._known = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its parts for a restore that is never asked for, and a live display cannot be saved."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, None while others must end first, or that there are no more."""
        config = self._feed.next(trial_id)
        if config is None:
            self._tell_lost()
            config = self._feed.next(trial_id)
        return Searcher.FINISHED if config is None and self._feed.over else config

    def see(self, tunes: Sequence[Any]) -> None:
        """All trials that Tune has, of which earlier ones are known."""
        self._tunes |= {trial.trial_id: trial for trial in islice(tunes, self._known, None)}
        self._known = len(tunes)

    def _tell_lost(self) -> None:
        """A worker that dies while it is handed its next trial loses it, and Tune tells nobody but its own list."""
        self._tunes = {tag: one for tag, one in self._tunes.items() if self._feed.running(tag)}
        for trial in self._tunes.values():
            if trial.status == tune.experiment.Trial.ERROR:
                tell_death(self._feed, trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """What ends is told by `Watcher`, with more to it."""


def tell_death(feed: Feed, trial: Any) -> None:
    """Tell the feed how Tune's trial lost its worker."""
    path = Path(trial.error_file or "")
    said = path.read_text() if path.is_file() else ""
    if lacks := NOT_IMPORTED.search(said):
        where = WHERE.search(said)
        name, lack = where[1] if where else "that joined", lacks[0].strip()
        remedy = "install the study's revision there, and run the same command again"
        feed.stop(StudyStops(f"node {name}: cannot run `study` ({lack}); {remedy}."))
    if any(words in said for words in NODE_LOST):
        feed.lost(trial.trial_id)
    elif OUT_OF_MEMORY in said:
        feed.died(trial.trial_id, "Ray ended it, since its node was running low on memory")
    else:
        feed.died(trial.trial_id, "killed, or it crashed")


class Workers(tune_controller.RayActorManager):
    """Tune's workers, of which one that Ray ended is dead, whatever the error is called.

    For want of memory, for one, Ray raises an OutOfMemoryError, which Tune takes for no error of a worker: it would end
    with it, and all other workers with Tune.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)


tune_controller.RayActorManager = Workers  # Tune has no public way to use another manager


class Watcher(tune.Callback):
    """Tells the feed what has become of trials, those of a pack when its worker is free. "A trial" of Tune's is a pack.

    Told before, the feed would hand out a trial for which Tune asks Ray for a further worker, only to take back some
    such wish when the free one is there: on a busy machine it took back that of a node that had just joined, each time.
    """

    def __init__(self, feed: Feed, asked: Asked) -> None:
        self._feed, self._asked = feed, asked
        self._progress: dict[str, Progress] = {}
        self._outcomes: dict[str, list[Outcome]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as of the feed."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Before Tune asks for trials. What ends the study is raised here: Tune survives it where a trial ends."""
        if self._feed.error:
            raise self._feed.error
        self._asked.see(trials)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has ended, or stands at a checkpoint, or its worker has something to say."""
        if "study_line" in result:
            self._feed.say(result["study_line"])
        elif "study_stop" in result:
            self._feed.stop(StudyStops(result["study_stop"]))
        elif "study_progress" in result:
            self._progress[trial.trial_id] = Progress(**result["study_progress"])
        elif "study_status" in result:
            outcome = Outcome(**{field.name: result[f"study_{field.name}"] for field in fields(Outcome)})
            self._outcomes.setdefault(trial.trial_id, []).append(outcome)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tune is done with a pack; what of it did not end by itself was stopped."""
        made = self._progress.pop(trial.trial_id, None)
        self._tell_outcomes(trial)
        left = self._feed.running(trial.trial_id)
        if left and made:
            (planned,) = left
            self._feed.end(trial.trial_id, record_stopped(planned.trial, planned.context, made))
        elif left:
            self._feed.died(trial.trial_id, "it ended without a word")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A pack's worker died, be it when all of the pack had ended."""
        self._progress.pop(trial.trial_id, None)
        self._tell_outcomes(trial)
        if self._feed.running(trial.trial_id):
            tell_death(self._feed, trial)

    def _tell_outcomes(self, trial: Any) -> None:
        for outcome in self._outcomes.pop(trial.trial_id, ()):
            self._feed.end(trial.trial_id, outcome)


class NewestFirst(FIFOScheduler):
    """A worker that is free takes the newest trial that waits.

    Tune would give it the oldest, and dismiss the worker that is being started for that one: where trials end faster
    than workers start, a node that joins would never be used.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The newest that waits; None where none does."""
        trials = reversed(tune_controller.get_trials())
        return next((one for one in trials if one.status == tune.experiment.Trial.PENDING), None)


class HalvingByGroup(NewestFirst):
    """Successive halving among the trials of each group on its own: what is easy for one method is not for another."""

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, AsyncHyperBandScheduler] = {}

    def _halving(self, trial: Any) -> AsyncHyperBandScheduler:
        group, first = trial.config["early"]["group"], trial.config["early"]["first"]
        steps = trial.config["tasks"][0]["trial"]["training"]["discriminator_steps"]
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
