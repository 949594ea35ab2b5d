"""A GAN as one program: its static structure, shared by all settings and seeds of a method, and its state."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from study.gan.architectures import ARCHITECTURES
from study.gan.losses import Loss
from study.gan.methods import members
from study.gan.normalizations import LayerNormalization, Vectors, WeightNormalization
from study.gan.optimizers import AdamState, adam_state
from study.gan.penalties import Critic, Penalty
from study.trial import Hyperparameters, Method, Trial

Tensors = dict[str, Tensor]


class State(NamedTuple):
    """Everything that training changes."""

    generator: Tensors
    generator_buffers: Tensors
    discriminator: Tensors
    weight_norm: Vectors
    generator_adam: AdamState
    discriminator_adam: AdamState


class Settings(NamedTuple):
    """A trial's hyperparameters as float64 scalars, so that no program depends on their values."""

    learning_rate: Tensor
    beta1: Tensor
    beta2: Tensor
    penalty_weight: Tensor

    @classmethod
    def of(cls, hyperparameters: Hyperparameters, device: torch.device | str = "cpu") -> "Settings":
        values = (getattr(hyperparameters, field) for field in cls._fields)
        return cls(*(torch.tensor(value or 0.0, dtype=torch.float64, device=device) for value in values))


@dataclass(frozen=True, kw_only=True)
class Gan:
    """The static structure. Its modules hold no values: parameters and buffers always come in from a State."""

    generator: nn.Module
    averaged_generator: nn.Module
    discriminator: nn.Module
    initialize: Callable[[nn.Module, torch.Generator], None]
    loss: Loss
    weight_norm: WeightNormalization | None
    couples_samples: bool
    penalty: Penalty | None

    def generate(self, parameters: Tensors, buffers: Tensors, latents: Tensor) -> tuple[Tensor, Tensors]:
        """Images in [0, 1] with batch statistics, as in training, and the moved averages."""
        moved = {name: buffer.clone() for name, buffer in buffers.items()}
        return torch.func.functional_call(self.generator, (parameters, moved), latents), moved

    def sample(self, parameters: Tensors, buffers: Tensors, latents: Tensor) -> Tensor:
        """Images in [0, 1] with the moving averages, as the study scored them."""
        return torch.func.functional_call(self.averaged_generator, (parameters, buffers), latents)

    def critic(self, parameters: Tensors, weight_norm: Vectors) -> Critic:
        """D as a function of images, with its normalised weights bound."""
        weights = self.weight_norm.apply(parameters, weight_norm) if self.weight_norm else parameters
        return lambda images: torch.func.functional_call(self.discriminator, weights, images)


def build(trial: Trial, channels: int, resolution: int) -> Gan:
    """The program that trains `trial` on images [channels, resolution, resolution]; its numbers play no part in it.

    Raises InputError for unknown names and options, and where the architecture does not fit the resolution.
    """
    return _build(trial.method, trial.training.latent_dim, trial.training.width, channels, resolution)


@lru_cache(maxsize=32)
def _build(method: Method, latent_dim: int, width: int, channels: int, resolution: int) -> Gan:
    parts = members(method)
    architecture = ARCHITECTURES[method.architecture]
    architecture.check_size(resolution)
    layer_norm = next((n for n in parts.normalizations if isinstance(n, LayerNormalization)), None)
    weight_norm = next((n for n in parts.normalizations if isinstance(n, WeightNormalization)), None)
    size = {"width": width, "resolution": resolution, "channels": channels}
    with torch.device("meta"):
        generator = architecture.generator(latent_dim=latent_dim, **size)
        averaged = architecture.generator(latent_dim=latent_dim, **size).eval()
        norm = layer_norm.module if layer_norm else lambda channels, size: nn.Identity()
        discriminator = architecture.discriminator(norm=norm, **size)
    return Gan(
        generator=generator,
        averaged_generator=averaged,
        discriminator=discriminator,
        initialize=architecture.initialize,
        loss=parts.loss,
        weight_norm=weight_norm,
        couples_samples=layer_norm is not None and layer_norm.couples_samples,
        penalty=parts.penalty,
    )


def initial_state(gan: Gan, rng: torch.Generator) -> State:
    """The state before the first step: G's parameters are drawn first, then D's, then the normalisation's vectors."""
    generator, buffers = _materialize(gan.generator, gan.initialize, rng)
    discriminator, _ = _materialize(gan.discriminator, gan.initialize, rng)
    return State(
        generator=generator,
        generator_buffers=buffers,
        discriminator=discriminator,
        weight_norm=gan.weight_norm.initial(discriminator, rng) if gan.weight_norm else {},
        generator_adam=adam_state(generator),
        discriminator_adam=adam_state(discriminator),
    )


def _materialize(
    network: nn.Module, initialize: Callable[[nn.Module, torch.Generator], None], rng: torch.Generator
) -> tuple[Tensors, Tensors]:
    """Initialised parameters, and buffers at their defaults, of a network that holds no values."""
    real = copy.deepcopy(network).to_empty(device=rng.device)
    for module in real.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    initialize(real, rng)
    real.to(memory_format=torch.channels_last)  # kernels set the layout of all activations; 1.4 to 2 times faster
    return {name: p.detach() for name, p in real.named_parameters()}, dict(real.named_buffers())
