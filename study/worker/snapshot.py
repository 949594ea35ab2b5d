"""The progress of a trial in memory: what it has reached, and its best generator."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.gan.model import Gan, Tensors
from study.storage.schema import TRAINING
from study.training.lockstep import Position
from study.training.loop import Checkpoint


class KeptGenerator(NamedTuple):
    """A trained generator with its trial and the number of D updates (`step`) after which it was saved."""

    trial: Trial
    step: int
    gan: Gan
    parameters: Tensors
    buffers: Tensors

    def __call__(self, latents: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] for latents [N, latent_dim]; batch norm uses its moving averages."""
        device = next(iter(self.parameters.values())).device
        with torch.no_grad():
            return self.gan.sample(self.parameters, self.buffers, latents.to(device))

    def to(self, device: str) -> "KeptGenerator":
        """A copy of the generator on `device`."""
        parameters = {name: value.to(device) for name, value in self.parameters.items()}
        buffers = {name: value.to(device) for name, value in self.buffers.items()}
        return self._replace(parameters=parameters, buffers=buffers)


class Snapshot(NamedTuple):
    """The progress of a trial: everything that training, its rows and its kept generator continue from.

    It holds no random state and no position in the data: what a step draws depends on its number alone
    (`study.training.loop`).

    Attributes:
        trial: the trial.
        conditions: what else decides the evaluations (`study.core.context.Context.conditions`).
        evaluations: all evaluations so far.
        best: the generator with the lowest score, the earliest of equal ones; None before the first checkpoint.
        position: where training continues, at the last checkpoint or after it; None before the first step.
        source: see `study.storage.schema.Record`.
        resumptions: how often the trial was resumed from a file after an interruption.
    """

    trial: Trial
    conditions: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...] = ()
    best: KeptGenerator | None = None
    position: Position | None = None
    source: str = TRAINING
    resumptions: int = 0

    @property
    def reached(self) -> Position:
        """The position; raises ValueError before the first step."""
        if self.position is None:
            raise ValueError(f"trial {self.trial.id} has not started")
        return self.position

    @property
    def best_generator(self) -> KeptGenerator:
        """`best`; raises ValueError before the first checkpoint."""
        if self.best is None:
            raise ValueError(f"trial {self.trial.id} has no checkpoint")
        return self.best

    @property
    def lowest(self) -> Evaluation | None:
        """The evaluation of `best`."""
        return min(self.evaluations, key=_score_and_step, default=None)

    def differing(self, conditions: Mapping[str, Any]) -> list[str]:
        """The names of the conditions whose values differ from this snapshot's."""
        return [name for name, value in conditions.items() if self.conditions.get(name) != value]

    def after(self, checkpoint: Checkpoint) -> "Snapshot":
        """The snapshot after one more checkpoint."""
        more = self._replace(evaluations=(*self.evaluations, checkpoint.evaluation), position=checkpoint.position)
        is_best = more.lowest is checkpoint.evaluation
        return more._replace(best=generator_of(self.trial, checkpoint)) if is_best else more


def _score_and_step(evaluation: Evaluation) -> tuple[float, int]:
    if evaluation.frechet_distance is None:
        raise ValueError("an evaluation has no score")
    return evaluation.frechet_distance, evaluation.discriminator_step


def generator_of(trial: Trial, checkpoint: Checkpoint) -> KeptGenerator:
    """The trial's generator at a checkpoint."""
    state, step = checkpoint.state, checkpoint.evaluation.discriminator_step
    return KeptGenerator(trial, step, checkpoint.gan, state.generator, state.generator_buffers)
