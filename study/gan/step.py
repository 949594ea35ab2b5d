"""The training step, written for one model as a pure function of tensors.

State, hyperparameters and all randomness come in as tensors; the new state and the losses go out. Nothing is mutated,
nothing is read back from the device, and no branch depends on a value: the same code runs eagerly, under
`torch.compile`, and under `torch.vmap` for several trials at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.model import Gan, Settings, State, Tensors
from study.gan.optimizers import adam


class DiscriminatorMetrics(NamedTuple):
    """D's loss without its penalty, and the penalty before its weight (0 where there is none): scalars."""

    loss: Tensor
    penalty: Tensor


def discriminator_step(
    gan: Gan, state: State, settings: Settings, real: Tensor, latents: Tensor, noise: Tensor
) -> tuple[State, DiscriminatorMetrics]:
    """One update of D on a batch of real [N, C, H, W] and as many generated images.

    G makes the fakes with batch statistics, and its moving averages move, as in the study's released code.
    """
    fake, buffers = gan.generate(state.generator, state.generator_buffers, latents)
    weight_norm = gan.weight_norm.advance(state.discriminator, state.weight_norm) if gan.weight_norm else {}

    def objective(parameters: Tensors) -> tuple[Tensor, DiscriminatorMetrics]:
        critic = gan.critic(parameters, weight_norm)
        if gan.couples_samples:
            on_real, on_fake = critic(real), critic(fake)
        else:  # the same numbers from one larger pass
            on_real, on_fake = critic(torch.cat([real, fake])).chunk(2)
        loss = gan.loss.discriminator(on_real, on_fake)
        if gan.penalty is None:
            return loss, DiscriminatorMetrics(loss, torch.zeros_like(loss))
        penalty = gan.penalty.value(critic, parameters, real, fake, noise)
        return loss + settings.penalty_weight * penalty, DiscriminatorMetrics(loss, penalty)

    gradients, (_, metrics) = torch.func.grad_and_value(objective, has_aux=True)(state.discriminator)
    discriminator, moments = adam(state.discriminator, gradients, state.discriminator_adam, *settings[:3])
    state = state._replace(
        generator_buffers=buffers, discriminator=discriminator, weight_norm=weight_norm, discriminator_adam=moments
    )
    return state, metrics


def generator_step(gan: Gan, state: State, settings: Settings, latents: Tensor) -> tuple[State, Tensor]:
    """One update of G on the latents of the D update before it, and G's loss, a scalar."""

    def objective(parameters: Tensors):  # type: ignore[no-untyped-def]  # dynamo cannot evaluate its annotation
        fake, buffers = gan.generate(parameters, state.generator_buffers, latents)
        critic = gan.critic(state.discriminator, state.weight_norm)
        return gan.loss.generator(critic(fake)), buffers

    gradients, (loss, buffers) = torch.func.grad_and_value(objective, has_aux=True)(state.generator)
    generator, moments = adam(state.generator, gradients, state.generator_adam, *settings[:3])
    return state._replace(generator=generator, generator_buffers=buffers, generator_adam=moments), loss
