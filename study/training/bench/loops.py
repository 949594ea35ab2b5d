"""The study's training loop as it is measured, and the inputs of both loops."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.model import State, initial_state
from study.gan.program import best_compiler
from study.training.bench.cases import Case
from study.training.lockstep import Lockstep, LossTally


class Inputs(NamedTuple):
    """The inputs of a cycle of one trial.

    Attributes:
        real: images [updates, N, C, H, W] in [0, 1].
        latents: [updates, N, latent_dim], uniform in [-1, 1].
        noise: random numbers of the penalty [updates, ...]; [updates, 0] if it needs none.
    """

    real: Tensor
    latents: Tensor
    noise: Tensor

    @classmethod
    def draw(cls, case: Case, updates: int, rng: torch.Generator) -> "Inputs":
        """The inputs of a number of D updates, on the device of `rng`."""
        shape = torch.Size((case.batch_size, case.channels, case.resolution, case.resolution))
        uniform = partial(torch.rand, generator=rng, device=rng.device)
        latents = uniform(updates, case.batch_size, case.trial.training.latent_dim) * 2 - 1
        penalty = case.gan.penalty
        noise = [penalty.draw_noise(shape, rng) for _ in range(updates)] if penalty else latents.new_empty(updates, 0)
        return cls(uniform(updates, *shape), latents, torch.stack(tuple(noise)))


class StudyLoop:
    """The training step as trials run it; for a pack, all trials are equal."""

    def __init__(self, case: Case, state: State, device: str) -> None:
        self.pack, self.n_dis = case.pack, case.n_dis
        self.lockstep = Lockstep(case.gan, [case.trial] * case.pack, best_compiler(device), device)
        self.lockstep.load(0, state, LossTally.empty(device))

    @torch.no_grad()
    def run(self, real: Tensor, latents: Tensor, noise: Tensor) -> None:
        """One cycle on `Inputs`, which all trials of a pack share."""
        if self.pack > 1:
            latents, noise = (tensor[:, None].expand(-1, self.pack, *tensor.shape[1:]) for tensor in (latents, noise))
        self.lockstep.run(1, self.n_dis, real, latents, noise)


def fresh_state(case: Case) -> State:
    """The initial state of both loops, on the case's device."""
    with torch.no_grad():
        return initial_state(case.gan, torch.Generator(case.device).manual_seed(0))
