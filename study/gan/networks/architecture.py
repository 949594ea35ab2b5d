"""The type of an architecture, and a weight initialization that several architectures share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from study.gan.member import Option

NormFactory = Callable[[int, int], nn.Module]
"""(channels, size) -> the layer normalization of the method; an identity if the method has none."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pair of networks.

    `width` is the unit of channel counts: 64 in the study, for every architecture.

    Attributes:
        description: one line, with source and sizes.
        generator: (latent_dim, width, resolution, channels, **options) -> module: latents [N, latent_dim] -> images
            [N, C, H, W] in [0, 1].
        discriminator: (width, resolution, channels, norm, **options) -> module: images in [0, 1] -> outputs [N]. It
            does not depend on the kind of normalization: it calls `norm` at every place for one.
        initialize: (network, rng) sets all parameters in place.
        check_size: (resolution) raises InputError if the networks do not support it.
        study_sizes: the resolutions at which the study used it, in px.
        options: options of both networks, by name.
    """

    description: str
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    initialize: Callable[[nn.Module, torch.Generator], None]
    check_size: Callable[[int], None]
    study_sizes: tuple[int, ...]
    options: Mapping[str, Option] = field(default_factory=dict)


def truncated_normal_kernels(network: nn.Module, rng: torch.Generator) -> None:
    """Convolutions TruncatedNormal(0, 0.02), other weights Normal(0, 0.02), biases 0, normalization scales 1.

    As in the released code (compare_gan, gans/ops.py): transposed and dense layers are normal; truncation at two
    standard deviations leaves a standard deviation of 0.0176. A convolution after unpooling counts as a convolution.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim >= 2 and isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04, generator=rng)
            elif parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02, generator=rng)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)
