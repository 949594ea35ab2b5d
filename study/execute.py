"""One trial from its definition to its part file: what a worker does, and `study train` in its own process."""

import platform
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from study import data
from study.checkpoint import Generator, load_generator, save_generator, save_state
from study.continuation import Continuation, continuation
from study.metrics.extractors import load_extractor
from study.metrics.scoring import Scorer
from study.names import InputError
from study.results import generator_path, read_evaluation, state_path, trial_folder, write_part
from study.rows import CONTINUED, DIVERGED, FAILED, FINISHED, KEPT_GENERATOR, STOPPED, TRAINING, Record
from study.train import Checkpoint, Diverged, train
from study.trial import SEMANTICS, Evaluation, MetricProtocol, Trial


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all trials of a dataset in one run share; plain values, for a worker on another machine.

    Attributes:
        dataset, dataset_sha256: the images; a worker that holds others refuses to train.
        protocol: how trials are scored.
        checkpoint_every: D updates between scored checkpoints.
        data_dir, results: folders that every worker sees.
        extractor_weights: a weights file instead of the extractor's own, or None.
        operator_norms: whether checkpoints tell the operator norms of D's layers.
        metrics: what is measured beside the Frechet distance; names of `study.metrics.menu`.
        keep_states: whether finished trials keep their last full state, from which a longer one can go on.
    """

    dataset: str
    dataset_sha256: str
    protocol: MetricProtocol
    checkpoint_every: int
    data_dir: Path
    results: Path
    extractor_weights: Path | None = None
    operator_norms: bool = False
    metrics: tuple[str, ...] = ()
    keep_states: bool = False

    @property
    def conditions(self) -> dict[str, Any]:
        """What, beside a trial, decides its evaluations; plain values."""
        return {
            "dataset_sha256": self.dataset_sha256,
            "protocol_id": self.protocol.id,
            "checkpoint_every": self.checkpoint_every,
            "operator_norms": self.operator_norms,
            "metrics": list(self.metrics),
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the driver is told of a trial that has ended; all of it, and more, stands in the part file."""

    trial_id: str
    dataset: str
    method: str
    status: str
    reason: str | None
    best_frechet_distance: float | None
    seconds: float


def best_device() -> str:
    """Where the commands that use this process compute: on a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=2)
def load(context: Context, device: str) -> tuple[data.Images, Scorer]:
    """The images and the scorer of a context, kept for the next trial of this process.

    Raises InputError where they are missing here, or differ from what the driver saw.
    """
    images = data.load(context.dataset, context.data_dir)
    if images.sha256 != context.dataset_sha256:
        raise InputError(
            f"{context.dataset}: its images here have hash {images.sha256[:16]}, those of the study"
            f" {context.dataset_sha256[:16]}; prepare both from the same source."
        )
    extractor = load_extractor(
        context.protocol.extractor,
        dataset=context.dataset,
        data_dir=context.data_dir,
        weights=context.extractor_weights,
        device=device,
    )
    return images, Scorer.prepare(images, extractor, context.protocol, context.data_dir, context.metrics)


def execute(
    trial: Trial,
    context: Context,
    device: str = "cpu",
    on_checkpoint: Callable[[Checkpoint], None] = lambda _: None,
    *,
    kept: bool = False,
    parent: Trial | None = None,
) -> Outcome:
    """Train and score a trial, keep its best generator and write its part file; where `kept`, see `rescore`.

    Where `parent`, the same trial with fewer steps, left a state that fits, training goes on from there. A trial that
    raises or diverges ends as a row with its status and reason. `on_checkpoint` is shown each checkpoint.
    """
    if kept:
        return rescore(trial, context, device)
    torch.set_num_threads(1)  # rounding depends on the number of threads, and a core belongs to one trial
    started, clock = _now(), time.perf_counter()
    evaluations: list[Evaluation] = []
    best = last = None
    status, reason, source = FINISHED, None, TRAINING
    try:
        images, scorer = load(context, device)
        how = {"checkpoint_every": context.checkpoint_every, "operator_norms": context.operator_norms}
        before = _before(trial, parent, context, device) if parent else None
        if parent and before:
            evaluations, best, last = list(before.evaluations), before.best, before.last
            source = CONTINUED.format(trial_id=parent.id)
        for last in train(trial, images, scorer, **how, device=device, start=before and before.last):
            evaluations.append(last.evaluation)
            if best is None or last.evaluation.frechet_distance < best.evaluation.frechet_distance:
                best = last
            on_checkpoint(last)
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    if best is not None and status == FINISHED:
        shape, path = images.train.shape[1:3], generator_path(context.results, trial.id)
        save_generator(path, trial, best.evaluation.discriminator_step, shape, best.state)
        if context.keep_states:
            save_state(state_path(context.results, trial.id), trial, shape, context.conditions, evaluations, last)
    record = make_record(context, status, reason, started=started, device=device, last=last, trial=trial)
    record = replace(record, source=source)
    score = best.evaluation.frechet_distance if best is not None and status == FINISHED else None
    return _end(trial, context, record, evaluations, score=score, seconds=time.perf_counter() - clock)


def _before(trial: Trial, parent: Trial, context: Context, device: str) -> Continuation | None:
    """What a trial goes on from; None where it trains from the start, and standard error says why."""
    try:
        return continuation(trial, parent, context.results, context.conditions, device=device)
    except InputError as error:
        print(f"trial {trial.id} is trained from the start: {error}", file=sys.stderr)
        return None


def rescore(trial: Trial, context: Context, device: str = "cpu") -> Outcome:
    """Score the generator that a trial kept, under the context's protocol, and write that part file.

    Only the best generator under the first protocol is kept: the row has this one checkpoint, and says so by its
    `source`. Losses and diagnostics stand in the rows of the first protocol.
    """
    torch.set_num_threads(1)
    started, clock = _now(), time.perf_counter()
    evaluations: list[Evaluation] = []
    status, reason = FINISHED, None
    try:
        _, scorer = load(context, device)
        generator = load_generator(generator_path(context.results, trial.id)).to(device)
        evaluations.append(score_generator(generator, scorer))
    except Diverged as error:
        status, reason = DIVERGED, str(error)
    except Exception as error:
        status, reason = FAILED, " ".join(f"{type(error).__name__}: {error}".split())
        _keep_traceback(context.results, trial.id)
    seconds = time.perf_counter() - clock
    record = make_record(context, status, reason, started=started, device=device, last=None, trial=trial)
    record = replace(record, source=KEPT_GENERATOR, scoring_seconds=seconds)
    score = evaluations[0].frechet_distance if evaluations else None
    return _end(trial, context, record, evaluations, score=score, seconds=seconds)


def score_generator(generator: Generator, scorer: Scorer) -> Evaluation:
    """The evaluation of a kept generator; raises Diverged where its images are not finite."""
    scored = scorer.score(generator, generator.trial.training.latent_dim)
    if scored is None:
        raise Diverged(f"generated images are not finite at step {generator.step}")
    return Evaluation(
        trial_id=generator.trial.id,
        discriminator_step=generator.step,
        protocol_id=scorer.protocol.id,
        frechet_distance=scored.frechet_distance,
        scores=scored.scores,
        discriminator_loss=None,
        generator_loss=None,
        penalty=None,
    )


class Progress(NamedTuple):
    """A checkpoint of a trial that still runs, as plain values, for the driver that may stop it."""

    record: dict[str, Any]
    evaluation: dict[str, Any]


def progress(trial: Trial, context: Context, device: str) -> Callable[[Checkpoint], Progress]:
    """What makes a `Progress` of a checkpoint of a trial that starts now."""
    started = _now()

    def made(last: Checkpoint) -> Progress:
        step = last.evaluation.discriminator_step
        reason = f"stopped early at step {step} of {trial.training.discriminator_steps}, by successive halving"
        record = make_record(context, STOPPED, reason, started=started, device=device, last=last, trial=trial)
        return Progress(asdict(record), asdict(last.evaluation))

    return made


def record_stopped(trial: Trial, context: Context, checkpoints: Sequence[Progress]) -> Outcome:
    """The row of a trial that was stopped after these checkpoints."""
    record = Record(**checkpoints[-1].record)
    evaluations = [read_evaluation(**checkpoint.evaluation) for checkpoint in checkpoints]
    seconds = (record.training_seconds or 0) + (record.scoring_seconds or 0)
    return _end(trial, context, record, evaluations, score=None, seconds=seconds)


def record_loss(trial: Trial, context: Context, reason: str) -> Outcome:
    """The row of a trial whose worker cannot write one any more."""
    record = make_record(context, FAILED, reason, started=_now(), device="cpu", last=None, trial=trial)
    return _end(trial, context, record, [], score=None, seconds=0.0)


def _end(
    trial: Trial,
    context: Context,
    record: Record,
    evaluations: list[Evaluation],
    *,
    score: float | None,
    seconds: float,
) -> Outcome:
    """Write the part file, then tell."""
    write_part(context.results, trial, context.protocol, record, evaluations)
    return Outcome(
        trial_id=trial.id,
        dataset=trial.dataset,
        method=trial.method.name,
        status=record.status,
        reason=record.reason,
        best_frechet_distance=score,
        seconds=seconds,
    )


def make_record(
    context: Context,
    status: str,
    reason: str | None,
    *,
    started: str,
    device: str,
    last: Checkpoint | None,
    trial: Trial,
) -> Record:
    """How a trial went, and where and by what it was run. Seconds are None where it reached no checkpoint."""
    images = last.evaluation.discriminator_step * trial.training.batch_size if last else None
    return Record(
        status=status,
        reason=reason,
        dataset_sha256=context.dataset_sha256,
        started_at=started,
        finished_at=_now(),
        training_seconds=last.training_seconds if last else None,
        scoring_seconds=last.scoring_seconds if last else None,
        images_per_second=images / last.training_seconds if last and images else None,
        host=socket.gethostname(),
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        study_version=version("gan-study"),
        code_revision=code_revision(),
        semantics=SEMANTICS,
        python=platform.python_version(),
        torch=torch.__version__,
    )


@cache
def code_revision() -> str:
    """The commit of the checkout that this code runs from, with a plus where it was changed; else its version."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return f"release {version('gan-study')}"


def _keep_traceback(results: Path, trial_id: str) -> None:
    path = trial_folder(results, trial_id) / "traceback.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(traceback.format_exc())


def _now() -> str:
    return datetime.now(UTC).isoformat()
