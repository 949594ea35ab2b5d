"""What a file of this folder provides: an `ARCHITECTURE`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

PlaceNorm = Callable[[int, int], nn.Module]
"""(channels, size) -> the module that the method puts there; an identity where it normalises no layers."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A pair of networks.

    Attributes:
        description: one line, with source and sizes.
        generator: (latent_dim, width, resolution, channels) -> module: latents [N, latent_dim] -> images [N, C, H, W]
            in [0, 1].
        discriminator: (width, resolution, channels, norm) -> module: images in [0, 1] -> outputs [N]. It never names a
            normalisation: it calls `norm` where one may stand.
        initialize: (network, rng) sets all parameters, in place.
        check_size: (resolution) raises InputError where the networks do not fit.
    """

    description: str
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    initialize: Callable[[nn.Module, torch.Generator], None]
    check_size: Callable[[int], None]
