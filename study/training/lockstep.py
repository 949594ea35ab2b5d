"""Trains several trials of one cell (`Trial.cell`) in lockstep, each with its own hyperparameters and seed.

Every trial has a slot of one program, which applies the same operations to all slots, on a leading axis of the tensors.
Slots do not affect each other: a diverged trial or an empty slot does not disturb the rest. A single trial in a single
slot has no leading axis; it runs the plain step.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.trial import Trial
from study.gan.model import Gan, HyperparameterTensors, State
from study.gan.networks.layers import to_channels_last
from study.gan.program import EAGER, PackedBatchNorm, Programs, RecordedUpdate, overwrite, programs
from study.training.device import arithmetic

WITHOUT_GRAPH = "{} without CUDA graph"
"""What runs the updates if only recording failed; the name of a compiler belongs into it."""

Tree = TypeVar("Tree")
"""A nested structure of tensors."""


class Diverged(Exception):  # noqa: N818  an outcome, not an error
    """A loss, a parameter or a generated image is not finite; the message says which, and at which step."""


class MeanLosses(NamedTuple):
    """Mean losses over the updates since the last checkpoint; G's is None if G was not updated."""

    discriminator_loss: float
    penalty: float
    generator_loss: float | None


class LossTally(NamedTuple):
    """Sums of the losses since the last checkpoint, on the device.

    Attributes:
        sums: of D's loss, the penalty and G's loss; float32 [3].
        diverged_at: the first step with a loss that is not finite, float32 scalar; 0 if all losses are finite.
        steps, generator_steps: numbers of updates of D and of G in the sums.
    """

    sums: Tensor
    diverged_at: Tensor
    steps: int = 0
    generator_steps: int = 0

    @classmethod
    def empty(cls, device: str | torch.device) -> "LossTally":
        return cls(torch.zeros(3, device=device), torch.zeros((), device=device))

    def check(self) -> None:
        """Raises Diverged if a loss was not finite."""
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
    """The progress of a trial after `step` D updates: all that is needed to continue, and the seconds spent so far."""

    step: int
    state: State
    tally: LossTally
    training_seconds: float
    scoring_seconds: float


class LockstepState(NamedTuple):
    """All that updates change, with a leading axis [slots, ...] if there are several slots."""

    state: State
    sums: Tensor
    diverged_at: Tensor


class Lockstep:
    """The slots, and the updates of all trials in them.

    With a compiler, the state has memory of its own, which updates overwrite. On a GPU, a whole cycle of n_dis updates
    of D and one of G is then recorded as a CUDA graph, which is dropped with this object.

    Args:
        gan: the static structure of the cell.
        trials: one trial of the cell per slot; a trial may fill several slots.
        compiler: a key of `study.gan.program.COMPILERS`.
        device: where the states are.
    """

    def __init__(self, gan: Gan, trials: Sequence[Trial], compiler: str, device: str) -> None:
        self.gan, self.trials, self.slots, self._device = gan, trials, len(trials), device
        in_place = compiler != EAGER
        self.programs = programs(gan, compiler, packed=self.slots > 1, in_place=in_place)
        self._precision = trials[0].training.precision
        self._settings = self._joined([HyperparameterTensors.of(trial.hyperparameters, device) for trial in trials])
        self._updates = partial(_updates, self.programs, self._settings)
        self._cycle = RecordedUpdate(self._updates) if in_place and device.startswith("cuda") else None
        self._counts = [(0, 0)] * self.slots
        self._now: Any = None

    def _joined(self, parts: Sequence[Tree]) -> Tree:
        """The parts of all slots with a leading axis; a single part unchanged."""
        if self.slots == 1:
            return parts[0]
        joined: Tree = pytree.tree_map(_stacked, *parts)
        return joined

    def load(self, slot: int, state: State, tally: LossTally) -> None:
        """Load a trial's state into a slot. The first call fills all slots with it."""
        sums, diverged_at = (numbers.to(self._device, copy=True) for numbers in tally[:2])
        entering = LockstepState(state, sums, diverged_at)
        if self._now is None:
            now = self._joined([entering] * self.slots)
            self._now = pytree.tree_map(torch.clone, now) if self.programs.in_place else now
        elif self.slots > 1:
            pytree.tree_map(lambda stacked, value: stacked[slot].copy_(value), self._now, entering)
        else:
            self._reach(entering)
        self._counts[slot] = tally.steps, tally.generator_steps

    def _reach(self, now: LockstepState) -> None:
        """Take over a new state of all slots."""
        if self.programs.in_place:
            overwrite(self._now, now)
        else:
            self._now = now

    def state(self, slot: int) -> State:
        """The state of the slot's trial, which later updates do not change."""
        state: State = self._now.state
        if self.slots > 1:
            return pytree.tree_map(lambda stacked: _copy(stacked[slot]), state)  # type: ignore[no-any-return]
        return pytree.tree_map(torch.clone, state) if self.programs.in_place else state

    def sample(self, latents: Tensor) -> Tensor:
        """Images [slots, N, C, H, W] in [0, 1] from latents [N, latent_dim], as they are scored."""
        latents = latents.to(self._device)
        networks = self._now.state.generator, self._now.state.generator_buffers
        if self.slots == 1:
            return self.gan.sample(*networks, latents)[None]
        images: Tensor = PackedBatchNorm()(torch.vmap(self.gan.sample, in_dims=(0, 0, None)))(*networks, latents)
        return images

    def tallies(self) -> list[LossTally]:
        """The sums of the losses of each slot's trial, on the CPU; one transfer from the device."""
        numbers = torch.cat([self._now.sums, self._now.diverged_at[..., None]], dim=-1).reshape(self.slots, 4).cpu()
        return [LossTally(row[:3], row[3], *counts) for row, counts in zip(numbers, self._counts, strict=True)]

    def broken_networks(self) -> list[str | None]:
        """`broken_networks` of the current state."""
        return broken_networks(self._now.state, self.slots)

    def reset_tally(self, slot: int) -> None:
        """Set the sums of the losses of the slot's trial to zero."""
        for sums in (self._now.sums, self._now.diverged_at):
            (sums[slot] if self.slots > 1 else sums).zero_()
        self._counts[slot] = 0, 0

    def run(self, first: int, n_dis: int, reals: Tensor, latents: Tensor, noise: Tensor) -> None:
        """The D updates `first`, `first` + 1, ..., one per batch, and the update of G if one of them is due.

        On a GPU with a compiler, a whole cycle of n_dis updates of D and one of G is a single launch.

        Args:
            first: number of the first D update, counted from 1.
            n_dis: D updates per update of G.
            reals: images in [0, 1], [n, N, C, H, W], not past the end of a cycle.
            latents: [n, N, latent_dim], or [n, slots, N, latent_dim] for several slots.
            noise: of the penalty, [n, ...], or [n, slots, ...] for several slots.
        """
        with_generator = (first - 1) % n_dis == 0
        number = torch.full_like(self._now.diverged_at, first)
        with arithmetic(self._precision):
            if self._cycle and with_generator and len(reals) == n_dis:
                self._cycle(self._now, number, reals, latents, noise)
            else:
                self._reach(self._updates(self._now, number, reals, latents, noise, with_generator=with_generator))
        self._counts = [
            (steps + len(reals), generator_steps + with_generator) for steps, generator_steps in self._counts
        ]

    def prepare(self, reals: Tensor, latents: Tensor, noise: Tensor) -> None:
        """Trace, compile and record the updates of a cycle, for inputs of the shapes of `run`; nothing is updated."""
        with arithmetic(self._precision):
            self.programs.discriminator.prepare(self._now.state, self._settings, reals[0], latents[0], noise[0])
            self.programs.generator.prepare(self._now.state, self._settings, latents[0])
            if self._cycle:
                self._cycle.prepare(self._now, torch.zeros_like(self._now.diverged_at), reals, latents, noise)

    @property
    def backend(self) -> str:
        """What runs the updates: EAGER, the compiler, or WITHOUT_GRAPH if their cycle could not be recorded."""
        compiled = self.programs.compiled
        return WITHOUT_GRAPH.format(compiled) if compiled != EAGER and self._cycle and self._cycle.refused else compiled

    @property
    def refused(self) -> str | None:
        """Why a requested compiler or CUDA graph failed, in one line; None if it did not."""
        return self.programs.refused or (self._cycle.refused if self._cycle else None)


def check_parameters(state: State, step: int) -> None:
    """Raises Diverged if a parameter of either network is not finite."""
    (network,) = broken_networks(state, 1)
    if network:
        raise not_finite(network, step)


def not_finite(network: str, step: int) -> Diverged:
    """That a parameter of a network is not finite."""
    return Diverged(f"a parameter of the {network} is not finite at step {step}")


def broken_networks(state: State, slots: int) -> list[str | None]:
    """For each slot, the network with a parameter that is not finite, or None. One transfer from the device."""
    networks = {"discriminator": state.discriminator, "generator": state.generator}
    finite = [
        torch.stack([parameter.isfinite().reshape(slots, -1).all(dim=1) for parameter in parameters.values()]).all(
            dim=0
        )
        for parameters in networks.values()
    ]
    return [
        next((name for name, whole in zip(networks, each, strict=True) if not whole), None)
        for each in torch.stack(finite, dim=1).tolist()
    ]


def _updates(
    steps: Programs,
    settings: HyperparameterTensors,
    now: LockstepState,
    first: Tensor,
    reals: Tensor,
    latents: Tensor,
    noise: Tensor,
    *,
    with_generator: bool = True,
) -> LockstepState:
    """The updates of `Lockstep.run`: D updates from number `first` on, and one of G if requested."""
    state, sums, diverged_at = now
    finite = []
    for i, real in enumerate(reals):
        state, metrics = steps.discriminator(state, settings, real, latents[i], noise[i])
        generator_loss = torch.zeros_like(metrics.loss)
        if with_generator and i == 0:
            state, generator_loss = steps.generator(state, settings, latents[i])
        losses = torch.stack([metrics.loss, metrics.penalty, generator_loss], dim=-1)
        sums = sums + losses  # one after another, so that the rounding does not depend on where training was resumed
        finite.append(losses.isfinite())
    bad = ~torch.stack(finite).all(dim=-1)
    fresh = (diverged_at == 0) & bad.any(dim=0)
    return LockstepState(state, sums, torch.where(fresh, first + bad.byte().argmax(dim=0), diverged_at))


def _stacked(*tensors: Tensor) -> Tensor:
    """The tensors on a leading axis; kernels stay channels last in memory."""
    stack = torch.stack([to_channels_last(tensor) for tensor in tensors])
    return stack.permute(0, 1, 4, 2, 3) if tensors[0].ndim == 4 else stack


def _copy(tensor: Tensor) -> Tensor:
    """A copy that shares no memory with other slots; kernels are channels last, as in a single trial."""
    return tensor.clone(memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format)
