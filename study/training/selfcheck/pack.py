"""A small pack of trials that is trained for two cycles: in lockstep, as trials are, and by the plain step."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.trial import BFLOAT16, FLOAT32, TF32, Trial
from study.gan.model import Gan, HyperparameterTensors, Tensors, initial_state
from study.gan.networks.layers import flat
from study.gan.program import best_compiler
from study.gan.step import discriminator_step, generator_step
from study.training.bench.cases import Case
from study.training.device import arithmetic
from study.training.draws import draws, stream
from study.training.lockstep import Lockstep, LossTally, Position

CYCLES = 2
LEAST = {FLOAT32: 1e-3, TF32: 5e-2, BFLOAT16: 5e-3}
"""The least tolerance of a precision; see `Pack.tolerances`. Products this small need not use TF32 in the plain step,
which then shows nothing of its rounding; the figure is more than an eighth of what bfloat16 does to Adam's moments."""
ROUNDINGS = 4.0
LEARNING_RATE = 1e-6
"""Of the first trial. With larger ones, networks this small amplify the rounding of bfloat16 beyond any use."""


class Difference(NamedTuple):
    """The part of a trial that is farthest from where it should be, beside its tolerance."""

    part: str
    size: float
    tolerance: float

    @property
    def tolerated(self) -> bool:
        """Whether the size is within the tolerance; False if it is NaN."""
        return self.size <= self.tolerance

    def __str__(self) -> str:
        return f"{self.part}: {self.size:.1e} of at most {self.tolerance:.1e}"


class Pack:
    """The trials of a case, which differ in their seeds and learning rates, with inputs that are always the same."""

    def __init__(self, case: Case) -> None:
        self.case, trial = case, case.trial
        training = replace(trial.training, discriminator_steps=CYCLES * case.n_dis)
        settings, rate = trial.hyperparameters, LEARNING_RATE
        self.trials = [
            replace(
                trial,
                seed=number,
                hyperparameters=replace(settings, learning_rate=(1 + number) * rate),
                training=training,
            )
            for number in range(case.pack)
        ]

    @cached_property
    def gan(self) -> Gan:
        """The networks and the method."""
        return self.case.gan

    @property
    def starts(self) -> list[Position]:
        """The trials before their first step."""
        starts = []
        for trial in self.trials:
            state = initial_state(self.gan, stream(trial.seed, "initial", 0))
            state = pytree.tree_map(lambda tensor: tensor.to(self.case.device), state)
            starts.append(Position(0, state, LossTally.empty(self.case.device), 0.0, 0.0))
        return starts

    def inputs(self, cycle: int, trials: Sequence[Trial]) -> list[Tensor]:
        """Real images, latents and noise of a cycle, counted from 0, as `Lockstep.run` takes them."""
        case = self.case
        shape = torch.Size((case.batch_size, case.channels, case.resolution, case.resolution))
        reals = torch.rand(case.n_dis, *shape, generator=stream(0, "selfcheck", cycle))
        steps = range(cycle * case.n_dis + 1, (cycle + 1) * case.n_dis + 1)
        return [reals.to(case.device), *draws(self.gan, trials, shape, steps, case.device)]

    @torch.no_grad()
    def lockstep(self, starts: Sequence[Position]) -> Lockstep:
        """The slots, each at its start."""
        made = Lockstep(self.gan, self.trials, best_compiler(self.case.device), self.case.device)
        for slot, start in enumerate(starts):
            made.load(slot, start.state, start.tally)
        return made

    @torch.no_grad()
    def run(self, lockstep: Lockstep, cycles: range) -> list[Position]:
        """Where the trials are after these cycles."""
        for cycle in cycles:
            inputs = self.inputs(cycle, self.trials)
            lockstep.prepare(*inputs)
            lockstep.run(cycle * self.case.n_dis + 1, self.case.n_dis, *inputs)
        step, tallies = cycles.stop * self.case.n_dis, lockstep.tallies()
        return [Position(step, lockstep.state(slot), tallies[slot], 0.0, 0.0) for slot in range(self.case.pack)]

    @cached_property
    def trained(self) -> tuple[list[Position], Lockstep]:
        """The trials after CYCLES cycles, and the slots that they were trained in."""
        lockstep = self.lockstep(self.starts)
        return self.run(lockstep, range(CYCLES)), lockstep

    @cached_property
    def plain(self) -> list[Position]:
        """The trials after CYCLES cycles of the plain step, one operation after the other, each trial alone."""
        return self._plain(self.gan, torch.float32)

    @torch.no_grad()
    def _plain(self, gan: Gan, dtype: torch.dtype) -> list[Position]:
        ends = []
        for trial, start in zip(self.trials, self.starts, strict=True):
            settings = HyperparameterTensors.of(trial.hyperparameters, self.case.device)
            state = pytree.tree_map(lambda tensor: tensor.to(dtype), start.state)
            sums = torch.zeros(3, device=self.case.device)
            for cycle in range(CYCLES):
                inputs = (each.to(dtype) for each in self.inputs(cycle, [trial]))
                for step, (real, latents, noise) in enumerate(zip(*inputs, strict=True)):
                    with arithmetic(self.case.precision):
                        state, (loss, penalty) = discriminator_step(gan, state, settings, real, latents, noise)
                        generator_loss = torch.zeros_like(loss)
                        if step == 0:
                            state, generator_loss = generator_step(gan, state, settings, latents)
                    sums = sums + torch.stack([loss, penalty, generator_loss])
            ends.append(Position(CYCLES * self.case.n_dis, state, start.tally._replace(sums=sums), 0.0, 0.0))
        return ends

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """How far a trial may be from the plain step, by part, because of rounding.

        ROUNDINGS times the distance of the plain step from the same in float64, which is what rounding in this
        precision does to these networks here, but not less than LEAST.
        """
        exact = self._plain(replace(self.case, precision=FLOAT32).gan, torch.float64)
        least = LEAST[self.case.precision]
        sizes = self._sizes(self.plain, exact)
        return {part: max(least, ROUNDINGS * size) for part, size in sizes.items()}

    def worst(self, got: Sequence[Position], wanted: Sequence[Position]) -> Difference:
        """The difference of two ends of the trials that is the largest relative to its tolerance."""
        sizes = self._sizes(got, wanted)
        found = [Difference(part, sizes[part], tolerance) for part, tolerance in self.tolerances.items()]
        return max(found, key=lambda each: float("inf") if each.size != each.size else each.size / each.tolerance)

    def _sizes(self, got: Sequence[Position], wanted: Sequence[Position]) -> dict[str, float]:
        """The differences of the trial that differs most, by part; NaN if a number is not finite."""
        each = [differences(*three) for three in zip(got, wanted, self.starts, strict=True)]
        return {part: torch.tensor([sizes[part] for sizes in each]).max().item() for part in each[0]}


def differences(got: Position, wanted: Position, start: Position) -> dict[str, float]:
    """How far a trial is from where it should be, by part, each as a norm relative to that of the second.

    Of parameters that have moved, the median difference relative to the median distance from the start: where a
    gradient is only rounding, Adam moves a parameter by the sign of that, so that a few differ by whole updates.
    """
    found = {"losses": relative(got.tally.sums, wanted.tally.sums)}
    for network in ("generator", "discriminator"):
        for moment in ("first", "second"):
            both = (getattr(getattr(each.state, f"{network}_adam"), moment) for each in (got, wanted))
            found[f"{moment} moments of the {network}"] = relative(*both)
        end, wanted_end, begin = (numbers(getattr(each.state, network)) for each in (got, wanted, start))
        moved = (wanted_end - begin).abs()
        off = (end - wanted_end).abs()[moved > 0]
        found[f"parameters of the {network}"] = (off.median() / moved[moved > 0].median()).item()
    if start.state.generator_buffers:
        found["moving averages"] = relative(*(numbers(each.state.generator_buffers) for each in (got, wanted)))
    return found


def relative(got: Tensor, wanted: Tensor) -> float:
    """The norm of the difference of two tensors, relative to that of the second."""
    got, wanted = got.double().cpu(), wanted.double().cpu()
    return float((got - wanted).norm() / wanted.norm())


def numbers(tensors: Tensors) -> Tensor:
    """All numbers of named tensors as a vector on the CPU."""
    return torch.cat([flat(tensor).double().cpu() for tensor in tensors.values()])
