"""Trials of one cell (`Trial.cell`) that are trained together, each with its own numbers and seed.

Each has a slot of one program, in which all compute the same operations on a leading axis of their tensors. A slot
knows nothing of the others, so that one that has diverged, or has no trial, disturbs none. One trial in one slot has no
such axis: it is the plain step.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.trial import Trial
from study.gan.model import Gan, HyperparameterTensors, State
from study.gan.networks.layers import to_channels_last
from study.gan.program import EAGER, CudaGraphFunction, Programs, programs
from study.training.device import arithmetic


class Diverged(Exception):  # noqa: N818  an outcome, not an error
    """A loss, a parameter or a generated image is no finite number; the message says what and at which step."""


class MeanLosses(NamedTuple):
    """Mean losses over the updates since the last checkpoint; G's is None where G was not updated."""

    discriminator_loss: float
    penalty: float
    generator_loss: float | None


class LossTally(NamedTuple):
    """Sums of the losses since the last checkpoint and the first step at which one was not finite, on the device.

    Attributes:
        sums: of D's loss, the penalty and G's loss; float32 [3].
        diverged_at: float32 scalar; 0 where all were finite.
        steps, generator_steps: updates of D and of G that they are sums of.
    """

    sums: Tensor
    diverged_at: Tensor
    steps: int = 0
    generator_steps: int = 0

    @classmethod
    def empty(cls, device: str | torch.device) -> "LossTally":
        return cls(torch.zeros(3, device=device), torch.zeros((), device=device))

    def check(self) -> None:
        """Raises Diverged where a loss was not finite."""
        if step := int(self.diverged_at):
            raise Diverged(f"a loss is not finite at step {step}")

    def means(self) -> MeanLosses:
        """The mean losses; raises ZeroDivisionError before the first update."""
        discriminator, penalty, generator = self.sums.tolist()
        return MeanLosses(
            discriminator_loss=discriminator / self.steps,
            penalty=penalty / self.steps,
            generator_loss=generator / self.generator_steps if self.generator_steps else None,
        )


class Position(NamedTuple):
    """Where training stands after `step` D updates: all that it goes on from, and the seconds spent on it so far."""

    step: int
    state: State
    tally: LossTally
    training_seconds: float
    scoring_seconds: float


class LockstepState(NamedTuple):
    """What updates change, on a leading axis [slots, ...] where there are several."""

    state: State
    sums: Tensor
    diverged_at: Tensor


class Lockstep:
    """The slots, and the updates of all that is in them.

    Args:
        gan: of the cell.
        trials: of the cell, one for each slot; two may be the same.
        compiler: of `study.gan.program.COMPILERS`.
    """

    def __init__(self, gan: Gan, trials: Sequence[Trial], compiler: str, device: str) -> None:
        self.gan, self.trials, self.slots = gan, trials, len(trials)
        self.programs = programs(gan, compiler, packed=self.slots > 1)
        self._precision = trials[0].training.precision
        self._settings = self._joined([HyperparameterTensors.of(trial.hyperparameters, device) for trial in trials])
        self._counts = [(0, 0)] * self.slots
        self._now: Any = None

    def _joined(self, parts: Sequence[Any]) -> Any:
        return pytree.tree_map(_stacked, *parts) if self.slots > 1 else parts[0]

    def load(self, slot: int, state: State, tally: LossTally) -> None:
        """What a slot goes on from; it is in all of them until they are entered."""
        one = LockstepState(state, tally.sums, tally.diverged_at)
        if self.slots == 1 or self._now is None:
            self._now = self._joined([one] * self.slots)
        else:
            self._now = pytree.tree_map(partial(_with, slot), self._now, one)
        self._counts[slot] = tally.steps, tally.generator_steps

    def state(self, slot: int) -> State:
        """What the slot's trial has come to."""
        state: State = self._now.state
        return pytree.tree_map(lambda each: _alone(each[slot]), state) if self.slots > 1 else state

    def sample(self, latents: Tensor) -> Tensor:
        """The images [slots, N, C, H, W] in [0, 1] that the generators make of latents [N, latent_dim], for scores."""
        latents = latents.to(self._now.sums.device)
        networks = self._now.state.generator, self._now.state.generator_buffers
        if self.slots == 1:
            return self.gan.sample(*networks, latents)[None]
        return torch.vmap(self.gan.sample, in_dims=(0, 0, None))(*networks, latents)

    def tally(self, slot: int) -> LossTally:
        """Its losses."""
        _, sums, diverged_at = self._now
        if self.slots > 1:
            sums, diverged_at = sums[slot], diverged_at[slot]
        return LossTally(sums, diverged_at, *self._counts[slot])

    def reset_tally(self, slot: int) -> None:
        """Its losses are summed anew."""
        _, sums, diverged_at = self._now
        empty = LossTally.empty(sums.device)
        put = partial(_with, slot) if self.slots > 1 else lambda _, one: one
        self._now = self._now._replace(sums=put(sums, empty.sums), diverged_at=put(diverged_at, empty.diverged_at))
        self._counts[slot] = 0, 0

    def run(self, first: int, n_dis: int, reals: Tensor, latents: Tensor, noise: Tensor) -> None:
        """The D updates `first`, `first` + 1, ..., one on each batch, and the update of G that follows one of them.

        Where a compiler serves a GPU, a whole cycle of n_dis updates of D and one of G is one launch.

        Args:
            reals: images in [0, 1], [n, N, C, H, W], at most to the end of a cycle.
            latents, noise: [n, N, latent_dim], and the penalty's noise [n, ...]; behind the first axis one of the slots
                where there are several.
        """
        with_generator = (first - 1) % n_dis == 0
        whole = with_generator and len(reals) == n_dis and reals.is_cuda and self.programs.compiler != EAGER
        updates = _replayed(self.programs) if whole else partial(_updates, self.programs, with_generator)
        number = torch.full_like(self._now.diverged_at, first)
        with arithmetic(self._precision):
            self._now = updates(self._now, self._settings, number, reals, latents, noise)
        self._counts = [(steps + len(reals), others + with_generator) for steps, others in self._counts]

    @property
    def refused(self) -> str | None:
        """Why no compiler serves the updates though one was asked for, in a line."""
        return self.programs.refused or (_replayed(self.programs).refused if self.programs.compiler != EAGER else None)


def _updates(
    steps: Programs,
    with_generator: bool,
    now: LockstepState,
    settings: HyperparameterTensors,
    first: Tensor,
    reals: Tensor,
    latents: Tensor,
    noise: Tensor,
) -> LockstepState:
    """What `Lockstep.run` does: D updates from number `first` on, and after it one of G where asked for."""
    state, sums, diverged_at = now
    for i, real in enumerate(reals):
        state, metrics = steps.discriminator(state, settings, real, latents[i], noise[i])
        generator_loss = torch.zeros_like(metrics.loss)
        if with_generator and i == 0:
            state, generator_loss = steps.generator(state, settings, latents[i])
        losses = torch.stack([metrics.loss, metrics.penalty, generator_loss], dim=-1)
        fresh = (diverged_at == 0) & ~losses.isfinite().all(dim=-1)
        sums, diverged_at = sums + losses, torch.where(fresh, first + i, diverged_at)
    return LockstepState(state, sums, diverged_at)


@lru_cache(maxsize=1)
def _replayed(steps: Programs) -> CudaGraphFunction:
    """A cycle as one launch; one at a time, since what it holds of a GPU's memory is free only when it is gone."""
    return CudaGraphFunction(partial(_updates, steps, True))


def _stacked(*tensors: Tensor) -> Tensor:
    """The tensors on a leading axis; kernels keep their layout, channels last."""
    stack = torch.stack([to_channels_last(tensor) for tensor in tensors])
    return stack.permute(0, 1, 4, 2, 3) if tensors[0].ndim == 4 else stack


def _with(slot: int, all: Tensor, one: Tensor) -> Tensor:
    """All slots, of which one is another."""
    changed = all.clone()
    changed[slot] = one
    return changed


def _alone(tensor: Tensor) -> Tensor:
    """A copy that holds no neighbour's memory, kernels laid out as those of a single trial are."""
    return tensor.clone(memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format)
