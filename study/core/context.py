"""Settings that all trials of a dataset share in one run."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study.core.errors import InputError, look_up
from study.core.evaluation import MetricProtocol

NONE, BEST, ALL = "none", "best", "all"
KEEPS = {
    NONE: "no generator",
    BEST: "the generator with the lowest score, of each trial that finishes",
    ALL: "the generators of all scored checkpoints, and the best one",
}
"""Generators that a trial can keep, with descriptions."""
TENSORBOARD = "tensorboard"
LOGGERS = {TENSORBOARD: "files that `tensorboard --logdir RESULTS/tensorboard` shows"}
PATIENCE = 300.0
"""Seconds for which a failed write is repeated before the study stops."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Settings that all trials of a dataset share in one run; plain values, which can be sent to other machines.

    Attributes:
        dataset, dataset_sha256: name and hash of the images; a worker with other images refuses to train.
        protocol: how trials are scored.
        checkpoint_every: discriminator (D) updates between scored checkpoints.
        data_dir, results: data folder and results folder; every worker must have access to them.
        extractor_weights: a weights file to use instead of the extractor's default, or None.
        operator_norms: whether checkpoints record the operator norms of D's layers.
        metrics: additional metrics beside the Frechet distance; names from `study.metrics.menu`.
        keep_states: whether finished trials keep their last training state, so that longer trials can continue it.
        keep: the generators to keep; one of `KEEPS`.
        deterministic: whether training is bit-reproducible on one GPU model; on a CPU it always is.
        logger: where checkpoints are logged during training; one of `LOGGERS`, or None.
        patience: seconds for which a failed write of results is repeated; see `study.storage.retry`.
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
    keep: str = BEST
    deterministic: bool = False
    logger: str | None = None
    patience: float = PATIENCE

    @property
    def conditions(self) -> dict[str, Any]:
        """The settings beside the trial itself that determine its evaluations; plain values."""
        return {
            "dataset_sha256": self.dataset_sha256,
            "protocol_id": self.protocol.id,
            "checkpoint_every": self.checkpoint_every,
            "operator_norms": self.operator_norms,
            "metrics": list(self.metrics),
        }


def check_logger(name: str | None) -> None:
    """Raises InputError if a logger is unknown or its package is not installed; None means no logger."""
    if name is None:
        return
    look_up("--logger", name, LOGGERS)
    if find_spec("tensorboardX") is None:
        raise InputError(
            f"--logger {name}: needs tensorboardX, which is not installed; run: pip install 'gan-study[tensorboard]'."
        )
