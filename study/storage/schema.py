"""The rows that a study leaves: the schema of its tables, and how a trial becomes a row.

results/README.md says what each column means; a test holds the two together.
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
LATER = {
    "trials": ("source", "kid_subset", "feature_precision", "resumptions", "pack", "compiled"),
    "evaluations": (*SCORES, *DIAGNOSTICS),
    "memberships": ("trial",),
}
"""Columns that rows of before they were introduced lack."""
TRAINING, KEPT_GENERATOR, CONTINUED = "training", "kept generator", "continued from {trial_id}"
FINISHED, DIVERGED, FAILED, STOPPED = "finished", "diverged", "failed", "stopped"
STATUSES = (FINISHED, DIVERGED, FAILED, STOPPED)
"""A stopped trial was ended early because others did better; it has checkpoints, but as a trial no score."""
OPEN = (FAILED, STOPPED)
"""What gives way to a later outcome of the same trial."""
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the weights under which a Frechet distance is the FID (torch-fidelity's port of the 2015 TensorFlow graph)."""

_TEXT, _WHOLE, _REAL, _WHEN = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
_REALS = pa.list_(_REAL)

PYTHON: Mapping[pa.DataType, type | tuple[type, ...]] = {
    _TEXT: str,
    _WHOLE: int,
    _REAL: (int, float),
    _REALS: list,
    _WHEN: datetime,
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
    learning_rate=_REAL,
    beta1=_REAL,
    beta2=_REAL,
    n_dis=_WHOLE,
    penalty_weight=_REAL,
    discriminator_steps=_WHOLE,
    width=_WHOLE,
    batch_size=_WHOLE,
    latent_dim=_WHOLE,
    precision=_TEXT,
    data_seed=_WHOLE,
    seed=_WHOLE,
    status=_TEXT,
    reason=_TEXT,
    final_step=_WHOLE,
    final_frechet_distance=_REAL,
    best_step=_WHOLE,
    best_frechet_distance=_REAL,
    source=_TEXT,
    resumptions=_WHOLE,
    pack=_WHOLE,
    compiled=_TEXT,
    extractor=_TEXT,
    weights_sha256=_TEXT,
    n_real=_WHOLE,
    n_fake=_WHOLE,
    resize=_TEXT,
    quantize=pa.bool_(),
    split=_TEXT,
    dtype=_TEXT,
    protocol_seed=_WHOLE,
    kid_subset=_WHOLE,
    feature_precision=_TEXT,
    dataset_sha256=_TEXT,
    started_at=_WHEN,
    finished_at=_WHEN,
    training_seconds=_REAL,
    scoring_seconds=_REAL,
    images_per_second=_REAL,
    host=_TEXT,
    device=_TEXT,
    study_version=_TEXT,
    code_revision=_TEXT,
    semantics=_WHOLE,
    python=_TEXT,
    torch=_TEXT,
)
EVALUATIONS = _schema(
    trial_id=_TEXT,
    discriminator_step=_WHOLE,
    protocol_id=_TEXT,
    frechet_distance=_REAL,
    discriminator_loss=_REAL,
    generator_loss=_REAL,
    penalty=_REAL,
    **{name: _WHOLE if name == "classes_hit" else _REAL for name in SCORES},
    **{name: _REALS if name in ("sigmas", "operator_norms") else _REAL for name in DIAGNOSTICS},
)
MEMBERSHIPS = _schema(space=_TEXT, context=_TEXT, round=_WHOLE, order=_WHOLE, trial_id=_TEXT, trial=_TEXT)
TABLES = {"trials": TRIALS, "evaluations": EVALUATIONS, "memberships": MEMBERSHIPS}
KEYS = {
    "trials": ("trial_id", "protocol_id"),
    "evaluations": ("trial_id", "discriminator_step", "protocol_id"),
    "memberships": ("space", "context", "round", "trial_id"),
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """How one trial went: status, reason, times (ISO 8601, UTC), seconds, and where and by what it was run.

    `source` is TRAINING, or CONTINUED where the first steps are those of a shorter trial, to the bit; or KEPT_GENERATOR
    where the trial was trained before, under another protocol, and the best generator of that time is all that was
    scored. `resumptions` is how often it went on after an interruption; its seconds are those of the steps that count.
    `pack` is the number of trials that the program that trained it has room for, 1 where it was alone, and `compiled`
    what ran that program's step; both None where nothing was trained.
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
    """Whether a trial that stands in the folder with this status, or not at all, still takes an outcome."""
    return status is None or status in OPEN


LABEL_FIELDS = ("extractor", "weights_sha256", "feature_precision")
"""What the name of a score depends on."""


class ScoreFields(Protocol):
    """A row of trials, of whatever kind, or the fields of a protocol."""

    def __getitem__(self, name: str, /) -> Any: ...


def score_label(row: ScoreFields) -> str:
    """What a Frechet distance may be called: `FID` under the known Inception weights, else `FD (extractor)`.

    One of features in bfloat16 says so, and is no FID. Reads the columns LABEL_FIELDS.
    """
    if row["feature_precision"] == BFLOAT16:
        return f"FD ({row['extractor']}, bf16 features)"
    if row["extractor"] == "inception-v3-compat" and row["weights_sha256"] == INCEPTION_SHA256:
        return "FID"
    return f"FD ({row['extractor']})"


def trial_row(
    trial: Trial, protocol: MetricProtocol, record: TrialRecord, evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """The row of trials.parquet: the trial, its protocol, how it went, and its final and best (lowest) score."""
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
