"""Hands packs of trials to Ray Tune.

Ray schedules; it is not asked to remember. A trial is done when the worker has written its part file, and only then is
Ray told, so that whatever is killed, a finished trial is never run again. One Tune run serves a whole command, also
where what comes next depends on what has ended (`Work`), so that workers are started once.
"""

import contextlib
import logging
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import tune

from study.core.context import Context
from study.core.errors import StudyStops
from study.driver.planning.planned import Planned
from study.driver.resources import Slots
from study.driver.scheduler import node_checks
from study.driver.scheduler.feed import Feed
from study.driver.scheduler.ray_cluster import Cluster
from study.driver.scheduler.ray_tune import Asked, HalvingByGroup, NewestFirst, Watcher
from study.driver.scheduler.retries import Attempts
from study.driver.scheduler.work import EarlyStopping, Work
from study.worker.execute import execute_pack
from study.worker.outcome import Outcome, progress
from study.worker.trial_run import Task

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what happens to trials is told in our own words


class Driver(NamedTuple):
    """What a worker on another machine must have in common with the driver."""

    code: str
    nonce: str
    host: str

    def check(self, results: Path) -> None:
        """Raises StudyStops where this process runs other code, or has another results folder."""
        node_checks.check_code(self.code)
        node_checks.check_shared(results, self.nonce, self.host)


def _run_in_worker(
    config: dict[str, Any], contexts: Sequence[Context], driver: Driver | None, run: Callable[..., Iterator[Outcome]]
) -> None:
    """`run` a pack; `driver` is given where this may be another machine."""
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    context, tasks = contexts[config["context"]], [Task.from_dict(task) for task in config["tasks"]]
    report = progress(context, device)

    def at_checkpoint(checkpoint: Any, so_far: Any) -> None:
        step, score = checkpoint.evaluation.discriminator_step, checkpoint.evaluation.frechet_distance
        if "early" in config and step < so_far.trial.training.discriminator_steps:
            tune.report({"step": step, "score": score, "study_progress": report(checkpoint, so_far)._asdict()})

    def say(line: str) -> None:
        tune.report({"study_line": line})

    try:
        if driver:
            driver.check(context.results)
        for outcome in run(tasks, context, device, at_checkpoint, slots=config["slots"], say=say):
            tune.report({f"study_{name}": value for name, value in asdict(outcome).items()})
    except StudyStops as stop:
        tune.report({"study_stop": str(stop)})


def launch(
    work: Work,
    slots: Slots,
    on_outcome: Callable[[Planned, Outcome], None],
    *,
    say: Callable[[str], None] = print,
    stopping: EarlyStopping | None = None,
    max_failures: int = 2,
    code: str | None = None,
    run: Callable[..., Iterator[Outcome]] = execute_pack,
) -> None:
    """Run trials to their end, as many packs at a time as there is room for.

    `on_outcome` is told of each as it ends, `say` what a person should know meanwhile. A trial that fails is tried
    again `max_failures` times. Where `code` is given, workers that run other code, or do not see the results folder,
    stop the study. `run` does in the worker what `study.worker.execute.execute_pack` does.

    Raises StudyStops where a worker says that no trial can be run.
    """
    feed = Feed(work, Attempts(max_failures), Cluster(slots).room, on_outcome, say, stopping)
    asked, scheduler = Asked(feed), HalvingByGroup() if stopping else NewestFirst()
    scratch = tempfile.mkdtemp(prefix="study-ray-")
    try:
        with node_checks.shown(work.contexts[0].results) if code else contextlib.nullcontext() as nonce:
            driver = Driver(code, nonce, socket.gethostname()) if code and nonce else None
            trainable = partial(_run_in_worker, contexts=work.contexts, driver=driver, run=run)
            tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1, "gpu": slots.gpus_per_trial}),
                tune_config=tune.TuneConfig(search_alg=asked, num_samples=-1, reuse_actors=True, scheduler=scheduler),
                run_config=tune.RunConfig(
                    storage_path=scratch, name="study", verbose=0, callbacks=[Watcher(feed, asked)]
                ),
            ).fit()
    except tune.TuneError:
        if not feed.error:
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if feed.error:
        raise feed.error
