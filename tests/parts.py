"""Trials that have ended, for tests of what reads a results folder: the parts that they leave, made up."""

from pathlib import Path

from study.core.evaluation import Evaluation, MetricProtocol
from study.core.trial import SEMANTICS, Trial
from study.storage.memberships import add_memberships
from study.storage.parts import write_part
from study.storage.schema import FINISHED, TrialRecord

PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=600, n_fake=600)
OWN = {
    "code_revision",
    "resumptions",
    "started_at",
    "finished_at",
    "training_seconds",
    "scoring_seconds",
    "images_per_second",
}
"""Columns of a trial's row that differ between two runs of it."""


def leave(
    folder: Path,
    trial: Trial,
    score: float | None = 1.0,
    *,
    status: str = FINISHED,
    seconds: float | None = None,
    scoring: float = 0.0,
    protocol: MetricProtocol = PROTOCOL,
    dataset_sha256: str = "d" * 64,
    device: str = "cpu",
    space: str | None = None,
    pack: int = 1,
) -> None:
    """The part of a trial: its one checkpoint's score, seconds of training and of scoring, and the `space` it is of."""
    record = TrialRecord(
        status=status,
        reason=None if status == FINISHED else "made so",
        dataset_sha256=dataset_sha256,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T00:00:00+00:00",
        training_seconds=seconds,
        scoring_seconds=None if seconds is None else scoring,
        images_per_second=None,
        host="here",
        device=device,
        study_version="0",
        code_revision="none",
        semantics=SEMANTICS,
        python="3",
        torch="2",
        pack=pack,
    )
    checkpoint = Evaluation(
        trial_id=trial.id,
        discriminator_step=trial.training.discriminator_steps,
        protocol_id=protocol.id,
        frechet_distance=score,
        discriminator_loss=1.0,
        generator_loss=1.0,
        penalty=0.0,
    )
    assert write_part(folder, trial, protocol, record, [] if score is None else [checkpoint])
    if space:
        add_memberships(folder, space, trial.dataset, [trial])
