"""The interface of the discriminator (D) for penalties and normalizations."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] in [0, 1] -> outputs [N], with parameters and normalizations applied."""

Parameters = Mapping[str, Tensor]
"""D's raw parameters by name, before any normalisation."""

SingularVectors = Mapping[str, Tensor]
"""Singular vectors of D's layers by name (`study.gan.networks.spectrum`); empty if a method does not use them."""


class Discriminator(NamedTuple):
    """D as a function, with its parameters.

    Attributes:
        critic: images -> outputs.
        parameters: raw parameters, before normalization.
        vectors: singular vectors of the layers.
    """

    critic: Critic
    parameters: Parameters
    vectors: SingularVectors


def layer_weights(parameters: Parameters) -> list[str]:
    """The names of the weights of convolutions and linear layers: the parameters with two or more dimensions."""
    return [name for name, parameter in parameters.items() if parameter.ndim >= 2]


def image_gradients(critic: Critic, images: Tensor) -> tuple[Tensor, Tensor]:
    """D's gradient with respect to each image, [N, C, H, W], and its outputs, [N]."""

    def total(images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = critic(images)
        return outputs.sum(), outputs

    gradients, outputs = torch.func.grad(total, has_aux=True)(images)
    return gradients, outputs
