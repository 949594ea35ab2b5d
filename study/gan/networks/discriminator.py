"""The discriminator (D) as penalties and normalisations see it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] in [0, 1] -> outputs [N], with parameters and normalisations bound."""

Parameters = Mapping[str, Tensor]
"""D's raw parameters by name, before any normalisation."""

SingularVectors = Mapping[str, Tensor]
"""Singular vectors of D's layers by name (`study.gan.networks.spectrum`); empty where a method needs none."""


class Discriminator(NamedTuple):
    """D as a function of images, and what it is made of."""

    critic: Critic
    parameters: Parameters
    vectors: SingularVectors


def layer_weights(parameters: Parameters) -> list[str]:
    """The names of the convolution and linear weights: the parameters that are matrices or kernels."""
    return [name for name, parameter in parameters.items() if parameter.ndim >= 2]


def image_gradients(critic: Critic, images: Tensor) -> tuple[Tensor, Tensor]:
    """D's gradient with respect to each image, [N, C, H, W], and its outputs, [N]."""

    def summed(images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = critic(images)
        return outputs.sum(), outputs

    gradients, outputs = torch.func.grad(summed, has_aux=True)(images)
    return gradients, outputs
