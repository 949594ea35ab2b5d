"""ResNet19: residual networks for large images, after Miyato et al. (2018; table 3 in v1 of the study)."""

import math

from torch import nn

from study.core.errors import InputError
from study.gan.networks import resnet
from study.gan.networks.architecture import Architecture, NormFactory, truncated_normal_kernels

SEED_SIZE = 4


def generator(*, latent_dim: int, width: int, resolution: int, channels: int) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1].

    Below 128 px the last of the five blocks keeps the size, as in the released code. Differs from that code above 128
    px, which it does not support: further blocks follow.
    """
    doublings = int(math.log2(resolution // SEED_SIZE))
    multiples = [8, 4, 4, 2, 1] + [1] * (doublings - 5)
    return resnet.ResnetGenerator(
        latent_dim=latent_dim,
        channels=channels,
        seed=(8 * width, SEED_SIZE),
        blocks=[(multiple * width, number < doublings) for number, multiple in enumerate(multiples)],
    )


def discriminator(*, width: int, resolution: int, channels: int, norm: NormFactory) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    blocks: list[resnet.DiscriminatorBlock] = []
    size, inputs = resolution, channels
    for multiple in (1, 2, 4, 4, 8, 8):
        blocks.append(resnet.DiscriminatorBlock(inputs, multiple * width, size=size, norm=norm, down=True))
        size, inputs = size // 2, multiple * width
    return resnet.ResnetDiscriminator(blocks=blocks, features=inputs)


def check_size(resolution: int) -> None:
    """Raises InputError if the resolution is not a power of two or is below 64 px."""
    if resolution < 64 or resolution & (resolution - 1):
        raise InputError(f"--architecture resnet19: {resolution} px does not fit; it takes powers of two from 64 px.")


ARCHITECTURE = Architecture(
    description="residual, after Miyato et al. 2018; powers of two from 64 px; 128 px and width 64 in the study",
    generator=generator,
    discriminator=discriminator,
    initialize=truncated_normal_kernels,
    check_size=check_size,
    study_sizes=(128,),
)
