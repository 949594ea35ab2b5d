"""What all trials of a dataset in one run share."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study.core.errors import InputError, look_up
from study.core.evaluation import MetricProtocol

NONE, BEST, ALL = "none", "best", "all"
KEEPS = {
    NONE: "no generator",
    BEST: "the one with the lowest score, of a trial that finishes",
    ALL: "those at all scored steps, and beside them the best",
}
"""Which generators trials keep."""
TENSORBOARD = "tensorboard"
LOGGERS = {TENSORBOARD: "files that `tensorboard --logdir RESULTS/tensorboard` shows"}
PATIENCE = 300.0
"""Seconds for which writing is tried again before the study stops."""


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
        keep: which generators are kept; one of `KEEPS`.
        deterministic: whether a GPU is to compute the same bits each time; a CPU does so anyway.
        logger: what is told of checkpoints as trials come to them; one of `study.core.context.LOGGERS`, or None.
        patience: seconds for which writing results is tried again, see `study.storage.retry`.
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
        """What, beside a trial, decides its evaluations; plain values."""
        return {
            "dataset_sha256": self.dataset_sha256,
            "protocol_id": self.protocol.id,
            "checkpoint_every": self.checkpoint_every,
            "operator_norms": self.operator_norms,
            "metrics": list(self.metrics),
        }


def check_logger(name: str | None) -> None:
    """Raises InputError for a logger that is unknown, or whose package is not installed; None is no logger."""
    if name is None:
        return
    look_up("--logger", name, LOGGERS)
    if find_spec("tensorboardX") is None:
        raise InputError(
            f"--logger {name}: needs tensorboardX, which is not installed; pip install 'gan-study[tensorboard]'."
        )
