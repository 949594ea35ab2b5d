"""The training step for one model, as pure functions of tensors.

State, hyperparameters and all random numbers are arguments; the new state and the losses are returned. Nothing is
mutated, nothing is copied back from the device, and no branch depends on the value of a tensor. The same code runs
eagerly, under `torch.compile`, and under `torch.vmap` for several trials at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.model import Gan, HyperparameterTensors, State, Tensors
from study.gan.networks.discriminator import Discriminator
from study.gan.optimizers import adam


class DiscriminatorMetrics(NamedTuple):
    """D's loss without its penalty, and the penalty before its weight (0 without a penalty); scalars."""

    loss: Tensor
    penalty: Tensor


def discriminator_step(
    gan: Gan, state: State, settings: HyperparameterTensors, real: Tensor, latents: Tensor, noise: Tensor
) -> tuple[State, DiscriminatorMetrics]:
    """One update of D on a batch of real images [N, C, H, W] and N generated images.

    G generates with batch statistics, and its moving averages are updated, as in the study's released code.
    """
    fake, buffers = gan.generate(state.generator, state.generator_buffers, latents)
    vectors = gan.advance(state.discriminator, state.vectors)

    def objective(parameters: Tensors):  # type: ignore[no-untyped-def]  # dynamo cannot evaluate its annotation
        critic = gan.critic(parameters, vectors)
        # If no output depends on another image, one larger pass gives the same outputs as two passes.
        outputs = (critic(real), critic(fake)) if gan.couples_samples else critic(torch.cat([real, fake])).chunk(2)
        loss = gan.loss.discriminator(*outputs, *state.loss)
        if gan.penalty is None:
            return loss, (loss, torch.zeros_like(loss), outputs)
        penalty = gan.penalty.value(Discriminator(critic, parameters, vectors), real, fake, noise)
        return loss + settings.penalty_weight * penalty, (loss, penalty, outputs)

    gradients, (_, (loss, penalty, outputs)) = torch.func.grad_and_value(objective, has_aux=True)(state.discriminator)
    gradients = gan.constraint.gradients(gradients)
    discriminator, moments = adam(
        state.discriminator, gradients, state.discriminator_adam, *settings[:3], gan.adam_epsilon
    )
    state = state._replace(
        generator_buffers=buffers,
        discriminator=gan.constraint.parameters(discriminator),
        vectors=vectors,
        loss=gan.loss.advance(*outputs, *state.loss),
        discriminator_adam=moments,
    )
    return state, DiscriminatorMetrics(loss, penalty)


def generator_step(gan: Gan, state: State, settings: HyperparameterTensors, latents: Tensor) -> tuple[State, Tensor]:
    """One update of G on the latents of the preceding D update; returns the new state and G's loss, a scalar."""

    def objective(parameters: Tensors):  # type: ignore[no-untyped-def]  # dynamo cannot evaluate its annotation
        fake, buffers = gan.generate(parameters, state.generator_buffers, latents)
        critic = gan.critic(state.discriminator, state.vectors)
        return gan.loss.generator(critic(fake)), buffers

    gradients, (loss, buffers) = torch.func.grad_and_value(objective, has_aux=True)(state.generator)
    generator, moments = adam(state.generator, gradients, state.generator_adam, *settings[:3], gan.adam_epsilon)
    return state._replace(generator=generator, generator_buffers=buffers, generator_adam=moments), loss
