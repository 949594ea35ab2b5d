"""A GAN: its static structure, which all hyperparameters and seeds of a method share, and its training state."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from study.core.trial import BFLOAT16, Hyperparameters, Method, OptionValue, Trial
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.constraints import Constraint
from study.gan.methods.losses import Loss
from study.gan.methods.menu import members
from study.gan.methods.normalizations import LayerNormalization, OutputNormalization, WeightNormalization
from study.gan.methods.penalties import Penalty
from study.gan.networks.discriminator import Critic, Parameters, SingularVectors, layer_weights
from study.gan.networks.layers import BatchNorm, Together
from study.gan.networks.spectrum import advance_vectors, initial_vectors
from study.gan.optimizers import AdamState, adam_state

Tensors = dict[str, Tensor]
Kind = TypeVar("Kind")


class State(NamedTuple):
    """The training state: everything that an update changes.

    Attributes:
        generator, discriminator: parameters by name.
        generator_buffers: moving averages of G's batch norm, by name.
        vectors: singular vectors of D's layers; empty if the method does not use them.
        loss: state of the loss, scalars.
        generator_adam, discriminator_adam: moments and update counts of Adam.
    """

    generator: Tensors
    generator_buffers: Tensors
    discriminator: Tensors
    vectors: SingularVectors
    loss: tuple[Tensor, ...]
    generator_adam: AdamState
    discriminator_adam: AdamState


class HyperparameterTensors(NamedTuple):
    """A trial's hyperparameters as float64 scalar tensors, so that all trials of a cell share one compiled program."""

    learning_rate: Tensor
    beta1: Tensor
    beta2: Tensor
    penalty_weight: Tensor

    @classmethod
    def of(cls, hyperparameters: Hyperparameters, device: torch.device | str = "cpu") -> "HyperparameterTensors":
        values = (getattr(hyperparameters, field) for field in cls._fields)
        return cls(*(torch.tensor(value or 0.0, dtype=torch.float64, device=device) for value in values))


@dataclass(frozen=True, kw_only=True)
class Gan:
    """The static structure of a GAN. The modules hold no values: parameters and buffers are always passed in.

    Attributes:
        generator, discriminator: the networks, on the meta device.
        averaged_generator: G in evaluation mode, which uses the moving averages of batch norm.
        initialize: (network, rng) sets all parameters of a network in place.
        loss, weight_norm, output_norm, penalty, constraint: the members of the method.
        couples_samples: whether D's output for an image depends on the other images of its batch.
        power_iterations: number of power iterations per D update; 0 if singular vectors are not used.
        adam_epsilon: where Adam adds its epsilon, TORCH or TENSORFLOW of `study.gan.optimizers`.
        precision: of training, one of `study.core.trial.PRECISIONS`.
    """

    generator: nn.Module
    averaged_generator: nn.Module
    discriminator: nn.Module
    initialize: Callable[[nn.Module, torch.Generator], None]
    loss: Loss
    weight_norm: WeightNormalization | None
    couples_samples: bool
    output_norm: OutputNormalization | None
    penalty: Penalty | None
    constraint: Constraint
    power_iterations: int
    adam_epsilon: str
    precision: str

    def call(self, network: nn.Module, tensors: Any, inputs: Tensor) -> Tensor:
        """The output of a network for these parameters and buffers, in the precision of training.

        In bfloat16, layers multiply in bfloat16 and pass bfloat16 maps on; parameters, gradients, Adam's moments, power
        iterations, losses and penalties are float32.
        """
        outputs: Tensor
        if self.precision != BFLOAT16:
            outputs = torch.func.functional_call(network, tensors, inputs)
            return outputs
        # No cache: a cached copy of a weight could belong to another torch.func transform.
        with torch.autocast(inputs.device.type, torch.bfloat16, cache_enabled=False):
            outputs = torch.func.functional_call(network, tensors, inputs)
            return outputs.float()

    def generate(self, parameters: Tensors, buffers: Tensors, latents: Tensor) -> tuple[Tensor, Tensors]:
        """Images [N, C, H, W] in [0, 1] with batch statistics, as in training, and the updated moving averages."""
        moved = {name: buffer.clone() for name, buffer in buffers.items()}
        return self.call(self.generator, (parameters, moved), latents), moved

    def sample(self, parameters: Tensors, buffers: Tensors, latents: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] with the moving averages, as the study scored them.

        Always float32, in every precision of training.
        """
        images: Tensor = torch.func.functional_call(self.averaged_generator, (parameters, buffers), latents)
        return images

    def advance(self, parameters: Tensors, vectors: SingularVectors) -> SingularVectors:
        """D's singular vectors for its next update."""
        return advance_vectors(parameters, vectors, self.power_iterations)

    def weights(self, parameters: Tensors, vectors: SingularVectors) -> Parameters:
        """D's parameters after weight normalization; unchanged if the method has none."""
        if self.weight_norm is None:
            return parameters
        names = layer_weights(parameters)
        normalized = self.weight_norm.apply(parameters, vectors)
        if not any(normalized[name].requires_grad for name in names):  # in updates of G
            return normalized
        together = Together.apply(*(normalized[name] for name in names))  # type: ignore[no-untyped-call]
        return {**normalized, **dict(zip(names, together, strict=True))}

    def critic(self, parameters: Tensors, vectors: SingularVectors) -> Critic:
        """D as a function of images, with weight and output normalization applied."""
        weights = self.weights(parameters, vectors)

        def critic(images: Tensor) -> Tensor:
            return self.call(self.discriminator, weights, images)

        return self.output_norm.wrap(critic) if self.output_norm else critic


def build(trial: Trial, channels: int, resolution: int) -> Gan:
    """The static structure of the GAN of `trial` for images [channels, resolution, resolution].

    It does not depend on the trial's hyperparameters or seed. Raises InputError for unknown names and options, and if
    the architecture does not support the resolution.
    """
    training = trial.training
    return _build(trial.method, training.latent_dim, training.width, training.precision, channels, resolution)


@lru_cache(maxsize=32)
def _build(method: Method, latent_dim: int, width: int, precision: str, channels: int, resolution: int) -> Gan:
    parts = members(method)
    architecture = ARCHITECTURES[method.architecture]
    architecture.check_size(resolution)
    layer_norm = _of_kind(LayerNormalization, parts.normalizations)
    weight_norm = _of_kind(WeightNormalization, parts.normalizations)
    size = _Size(width=width, resolution=resolution, channels=channels)
    options = tuple(parts.architecture_options.items())
    generator, averaged = _generators(architecture.generator, latent_dim, size, options)
    if parts.loss.network:
        discriminator = _discriminator(parts.loss.network, layer_norm, size)
    else:
        discriminator = _discriminator(architecture.discriminator, layer_norm, size, options)
    return Gan(
        generator=generator,
        averaged_generator=averaged,
        discriminator=discriminator,
        initialize=architecture.initialize,
        loss=parts.loss,
        weight_norm=weight_norm,
        couples_samples=layer_norm is not None and layer_norm.couples_samples,
        output_norm=_of_kind(OutputNormalization, parts.normalizations),
        penalty=parts.penalty,
        constraint=parts.constraint or Constraint(),
        power_iterations=max((part.power_iterations for part in (weight_norm, parts.penalty) if part), default=0),
        **parts.optimizer_options,
        precision=precision,
    )


class _Size(NamedTuple):
    width: int
    resolution: int
    channels: int


Options = tuple[tuple[str, OptionValue], ...]


@lru_cache(maxsize=32)
def _generators(
    make: Callable[..., nn.Module], latent_dim: int, size: _Size, options: Options
) -> tuple[nn.Module, nn.Module]:
    """G in training and in evaluation mode. Methods share the modules, which hold no values."""
    arguments = {"latent_dim": latent_dim, **size._asdict(), **dict(options)}
    with torch.device("meta"):
        return make(**arguments), make(**arguments).eval()


@lru_cache(maxsize=64)
def _discriminator(
    make: Callable[..., nn.Module], layer_norm: LayerNormalization | None, size: _Size, options: Options = ()
) -> nn.Module:
    """D. Methods with the same kind of layers share the module."""
    norm = layer_norm.module if layer_norm else lambda channels, size: nn.Identity()
    with torch.device("meta"):
        return make(norm=norm, **size._asdict(), **dict(options))


def _of_kind(kind: type[Kind], normalizations: Iterable[object]) -> Kind | None:
    return next((n for n in normalizations if isinstance(n, kind)), None)


def initial_state(gan: Gan, rng: torch.Generator) -> State:
    """The state before the first step. Random draws, in this order: G's parameters, D's parameters, D's vectors."""
    generator, buffers = _materialize(gan.generator, gan.initialize, rng)
    discriminator, _ = _materialize(gan.discriminator, gan.initialize, rng)
    return _untrained(gan, generator, buffers, discriminator, rng)


def empty_state(gan: Gan) -> State:
    """The names, shapes and types of a state, on the meta device: it takes no memory for values."""
    generator: Tensors = dict(gan.generator.named_parameters())
    buffers: Tensors = dict(gan.generator.named_buffers())
    discriminator: Tensors = dict(gan.discriminator.named_parameters())
    return _untrained(gan, generator, buffers, discriminator, torch.Generator())


def _untrained(gan: Gan, generator: Tensors, buffers: Tensors, discriminator: Tensors, rng: torch.Generator) -> State:
    device = next(iter(generator.values())).device
    return State(
        generator=generator,
        generator_buffers=buffers,
        discriminator=discriminator,
        vectors=initial_vectors(discriminator, rng) if gan.power_iterations else {},
        loss=tuple(torch.tensor(value, device=device) for value in gan.loss.state),
        generator_adam=adam_state(generator),
        discriminator_adam=adam_state(discriminator),
    )


def _materialize(
    network: nn.Module, initialize: Callable[[nn.Module, torch.Generator], None], rng: torch.Generator
) -> tuple[Tensors, Tensors]:
    """Initialized parameters and default buffers of a network that is on the meta device."""
    materialized = copy.deepcopy(network).to_empty(device=rng.device)
    for module in materialized.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
    initialize(materialized, rng)
    # The layout of the kernels sets that of all activations; channels last is 1.4 to 2 times faster.
    materialized.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in PyTorch's stubs
    parameters = {name: parameter.detach() for name, parameter in materialized.named_parameters()}
    return parameters, dict(materialized.named_buffers())
