"""Runs packs of trials with Ray Tune.

Ray only schedules; it keeps no record of the study. A trial is done when its worker has written the part file, and only
then does the worker report to Ray. So no finished trial is run again, whatever was killed. One Tune run serves a whole
command, even if later trials depend on earlier results (`Work`), so that workers are started once.
"""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import tune

from study.core.context import Context
from study.core.errors import StudyStops
from study.core.output import show
from study.driver.planning.planned import Planned
from study.driver.resources import Slots
from study.driver.scheduler import node_checks, ray_session
from study.driver.scheduler.feed import Feed
from study.driver.scheduler.messages import ASSIGNMENT, MESSAGE, Assignment, Message, Notice, StopRequest
from study.driver.scheduler.ray_cluster import Cluster
from study.driver.scheduler.ray_tune import FeedCallback, FeedSearcher, HalvingByGroup, NewestFirst
from study.driver.scheduler.retries import Attempts
from study.driver.scheduler.work import EarlyStopping, Work
from study.training.device import limit_memory
from study.training.loop import Checkpoint
from study.worker.execute import execute_pack
from study.worker.outcome import Outcome, partial_result
from study.worker.record import now
from study.worker.snapshot import Snapshot

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the study reports the ends of trials itself


class DriverIdentity(NamedTuple):
    """What a worker on another machine must share with the driver: the code and the results folder."""

    code: str
    nonce: str
    host: str

    def check(self, results: Path) -> None:
        """Raises StudyStops if this process runs other code, or sees another results folder."""
        node_checks.check_code(self.code)
        node_checks.check_shared(results, self.nonce, self.host)


def _report(message: Message, **metrics: float | None) -> None:
    """Send a message to the driver; `metrics` are for Tune's scheduler."""
    tune.report({MESSAGE: message, **metrics})


def _run_in_worker(
    config: dict[str, Any],
    contexts: Sequence[Context],
    driver: DriverIdentity | None,
    run: Callable[..., Iterator[Outcome]],
) -> None:
    """Run the pack of a Tune trial and report its outcomes; `driver` is given if this may be another machine."""
    assignment: Assignment = config[ASSIGNMENT]
    context, started = contexts[assignment.context], now()
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    if device == "cuda":
        limit_memory(ray.get_runtime_context().get_assigned_resources()["GPU"])  # type: ignore[no-untyped-call]

    def at_checkpoint(checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        evaluation, compiled = checkpoint.evaluation, checkpoint.lockstep.backend
        step = evaluation.discriminator_step
        if assignment.halving and step < snapshot.trial.training.discriminator_steps:
            result = partial_result(context, snapshot, started=started, device=device, compiled=compiled)
            _report(result, step=step, score=evaluation.frechet_distance)

    def say(line: str) -> None:
        _report(Notice(line))

    try:
        if driver:
            driver.check(context.results)
        for outcome in run(assignment.tasks, context, device, at_checkpoint, slots=assignment.slots, say=say):
            _report(outcome)
    except StudyStops as stop:
        _report(StopRequest(str(stop)))


def launch(
    work: Work,
    slots: Slots,
    on_outcome: Callable[[Planned, Outcome], None],
    *,
    say: Callable[[str], None] = show,
    stopping: EarlyStopping | None = None,
    max_failures: int = 2,
    code: str | None = None,
    run: Callable[..., Iterator[Outcome]] = execute_pack,
) -> None:
    """Run all trials of the work, as many packs at the same time as fit.

    Args:
        work: the packs.
        slots: the resources of each pack, and how many run at the same time.
        on_outcome: called with each trial that has ended.
        say: called with one line for the user.
        stopping: how trials are stopped early; None if they are not.
        max_failures: how often a failed trial is retried.
        code: digest of the driver's code; if given, workers with other code or another results folder stop the study.
        run: runs a pack in the worker, like `study.worker.execute.execute_pack`.

    Raises:
        StudyStops: a worker reports that no trial can be run.
        InputError: the disk with Ray's temporary files is full.
    """
    feed = Feed(work, Attempts(max_failures), Cluster(slots).room, on_outcome, say, stopping)
    searcher, scheduler = FeedSearcher(feed), HalvingByGroup() if stopping else NewestFirst()
    signature = node_checks.driver_signature(work.contexts[0].results) if code else contextlib.nullcontext()
    try:
        with ray_session.private_folder() as scratch, signature as nonce:
            driver = DriverIdentity(code, nonce, socket.gethostname()) if code and nonce else None
            trainable = partial(_run_in_worker, contexts=work.contexts, driver=driver, run=run)
            tuner = tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1, "gpu": slots.gpus_per_trial}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher, num_samples=-1, reuse_actors=True, scheduler=scheduler
                ),
                run_config=tune.RunConfig(
                    storage_path=str(scratch), name="study", verbose=0, callbacks=[FeedCallback(feed, searcher)]
                ),
            )
            try:
                tuner.fit()
            except OSError as error:
                if not feed.error and (full := ray_session.full(scratch, error)):
                    raise full from error
                raise
    except tune.TuneError:
        if not feed.error:
            raise
    if feed.error:
        raise feed.error
