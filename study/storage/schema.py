"""The schema of the tables in a results folder, and the row of a trial.

results/README.md describes each column; a test compares it with this file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from study.core.evaluation import Diagnostics, Evaluation, MetricProtocol, Scores
from study.core.trial import BFLOAT16, Trial, field_names

SCORES, DIAGNOSTICS = field_names(Scores), field_names(Diagnostics)
ADDED_COLUMNS = {
    "trials": ("source", "kid_subset", "feature_precision", "resumptions", "pack", "compiled"),
    "evaluations": (*SCORES, *DIAGNOSTICS),
    "memberships": ("trial",),
}
"""Columns that were added later, which files of older versions do not have."""
TRAINING, KEPT_GENERATOR, CONTINUED = "training", "kept generator", "continued from {trial_id}"
FINISHED, DIVERGED, FAILED, STOPPED = "finished", "diverged", "failed", "stopped"
STATUSES = (FINISHED, DIVERGED, FAILED, STOPPED)
"""A stopped trial was ended early because others were better; its checkpoints have scores, the trial has none."""
OPEN = (FAILED, STOPPED)
"""Statuses that a later outcome of the same trial replaces."""
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Hash of the Inception weights that define the FID (torch-fidelity's port of the 2015 TensorFlow graph)."""

_TEXT, _INTEGER, _FLOAT, _TIMESTAMP = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
_FLOATS = pa.list_(_FLOAT)

PYTHON: Mapping[pa.DataType, type | tuple[type, ...]] = {
    _TEXT: str,
    _INTEGER: int,
    _FLOAT: (int, float),
    _FLOATS: list,
    _TIMESTAMP: datetime,
    pa.bool_(): bool,
}


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={"study-schema": "1"})


TRIALS = _schema(
    trial_id=_TEXT,
    protocol_id=_TEXT,
    dataset=_TEXT,
    method=_TEXT,
    architecture=_TEXT,
    loss=_TEXT,
    normalizations=_TEXT,
    penalty=_TEXT,
    constraint=_TEXT,
    options=_TEXT,
    learning_rate=_FLOAT,
    beta1=_FLOAT,
    beta2=_FLOAT,
    n_dis=_INTEGER,
    penalty_weight=_FLOAT,
    discriminator_steps=_INTEGER,
    width=_INTEGER,
    batch_size=_INTEGER,
    latent_dim=_INTEGER,
    precision=_TEXT,
    data_seed=_INTEGER,
    seed=_INTEGER,
    status=_TEXT,
    reason=_TEXT,
    final_step=_INTEGER,
    final_frechet_distance=_FLOAT,
    best_step=_INTEGER,
    best_frechet_distance=_FLOAT,
    source=_TEXT,
    resumptions=_INTEGER,
    pack=_INTEGER,
    compiled=_TEXT,
    extractor=_TEXT,
    weights_sha256=_TEXT,
    n_real=_INTEGER,
    n_fake=_INTEGER,
    resize=_TEXT,
    quantize=pa.bool_(),
    split=_TEXT,
    dtype=_TEXT,
    protocol_seed=_INTEGER,
    kid_subset=_INTEGER,
    feature_precision=_TEXT,
    dataset_sha256=_TEXT,
    started_at=_TIMESTAMP,
    finished_at=_TIMESTAMP,
    training_seconds=_FLOAT,
    scoring_seconds=_FLOAT,
    images_per_second=_FLOAT,
    host=_TEXT,
    device=_TEXT,
    study_version=_TEXT,
    code_revision=_TEXT,
    semantics=_INTEGER,
    python=_TEXT,
    torch=_TEXT,
)
EVALUATIONS = _schema(
    trial_id=_TEXT,
    discriminator_step=_INTEGER,
    protocol_id=_TEXT,
    frechet_distance=_FLOAT,
    discriminator_loss=_FLOAT,
    generator_loss=_FLOAT,
    penalty=_FLOAT,
    **{name: _INTEGER if name == "classes_hit" else _FLOAT for name in SCORES},
    **{name: _FLOATS if name in ("sigmas", "operator_norms") else _FLOAT for name in DIAGNOSTICS},
)
MEMBERSHIPS = _schema(space=_TEXT, context=_TEXT, round=_INTEGER, order=_INTEGER, trial_id=_TEXT, trial=_TEXT)
TABLES = {"trials": TRIALS, "evaluations": EVALUATIONS, "memberships": MEMBERSHIPS}
KEYS = {
    "trials": ("trial_id", "protocol_id"),
    "evaluations": ("trial_id", "discriminator_step", "protocol_id"),
    "memberships": ("space", "context", "round", "trial_id"),
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The execution of one trial.

    Raises ValueError, when it is made, for an unknown status.

    Attributes:
        status, reason: one of STATUSES, and why the trial failed, diverged or stopped.
        dataset_sha256: hash of the images.
        started_at, finished_at: ISO 8601, UTC.
        training_seconds, scoring_seconds: wall time; steps that were repeated after an interruption count once.
        images_per_second: training speed.
        host, device: where the trial ran.
        study_version, code_revision, semantics, python, torch: the software that ran it.
        source: TRAINING; CONTINUED if the trial continued a shorter one, with bit-identical first steps; KEPT_GENERATOR
            if the trial was trained earlier, under another protocol, and only its best generator was scored.
        resumptions: number of resumptions after interruptions.
        pack: number of trial slots of the program that trained it, 1 for a trial alone; None if nothing was trained.
        compiled: what ran the training step (`Lockstep.backend`); None if nothing was trained.
    """

    status: str
    reason: str | None
    dataset_sha256: str
    started_at: str
    finished_at: str
    training_seconds: float | None
    scoring_seconds: float | None
    images_per_second: float | None
    host: str
    device: str
    study_version: str
    code_revision: str
    semantics: int
    python: str
    torch: str
    source: str = TRAINING
    resumptions: int = 0
    pack: int | None = 1
    compiled: str | None = "eager"

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status}: must be one of {', '.join(STATUSES)}")


def is_open(status: str | None) -> bool:
    """Whether a new outcome is accepted for a trial with this status; None for a trial without a result."""
    return status is None or status in OPEN


LABEL_FIELDS = ("extractor", "weights_sha256", "feature_precision")
"""Columns that the label of a score depends on."""


class ScoreFields(Protocol):
    """A row of the trials table, of any type, or the fields of a protocol."""

    def __getitem__(self, name: str, /) -> Any: ...


def score_label(row: ScoreFields) -> str:
    """The label of a Frechet distance: `FID` for the known Inception weights, else `FD (extractor)`.

    A distance of features in bfloat16 is labelled as such and is not an FID. Reads the columns LABEL_FIELDS.
    """
    if row["feature_precision"] == BFLOAT16:
        return f"FD ({row['extractor']}, bf16 features)"
    if row["extractor"] == "inception-v3-compat" and row["weights_sha256"] == INCEPTION_SHA256:
        return "FID"
    return f"FD ({row['extractor']})"


def trial_row(
    trial: Trial, protocol: MetricProtocol, record: TrialRecord, evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """The row of trials.parquet: the trial, its protocol, its record, and its final and best (lowest) scores."""
    scored = [e for e in evaluations if e.frechet_distance is not None and record.status == FINISHED]
    final = scored[-1] if scored else None
    if final and record.source == KEPT_GENERATOR and final.discriminator_step < trial.training.discriminator_steps:
        final = None  # the last generator was not kept
    best = min(scored, key=lambda e: (e.frechet_distance, e.discriminator_step)) if scored else None
    content = trial.to_dict()
    method = content.pop("method")
    method["normalizations"] = "+".join(method["normalizations"])
    method["options"] = json.dumps(method["options"], sort_keys=True)
    row = {
        "trial_id": trial.id,
        "protocol_id": protocol.id,
        "method": trial.method.name,
        **method,
        **content.pop("hyperparameters"),
        **content.pop("training"),
        **content,
        **{("protocol_seed" if name == "seed" else name): value for name, value in asdict(protocol).items()},
        **asdict(record),
    }
    for name, evaluation in (("final", final), ("best", best)):
        row[f"{name}_step"] = evaluation.discriminator_step if evaluation else None
        row[f"{name}_frechet_distance"] = evaluation.frechet_distance if evaluation else None
    for name in ("started_at", "finished_at"):
        row[name] = datetime.fromisoformat(row[name])
    return row
