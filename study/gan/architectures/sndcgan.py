"""SNDCGAN: the convolutional networks of Miyato et al. (2018, table 3) with the study's settings (table 2 in v1)."""

import torch
from torch import Tensor, nn

from study.core.errors import InputError
from study.gan.networks.architecture import Architecture, NormFactory
from study.gan.networks.layers import BatchNorm, Conv2d, ConvTranspose2d, LeakyReLU

EPS = 2e-5
"""Of G's batch norm."""


class SndcganGenerator(nn.Module):
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""

    def __init__(self, *, latent_dim: int, width: int, resolution: int, channels: int) -> None:
        super().__init__()
        self.seed_map = (8 * width, resolution // 8, resolution // 8)
        units = 8 * width * (resolution // 8) ** 2
        # Batch norm of the flat vector: one scale and offset per unit, not per channel.
        self.project = nn.Sequential(nn.Linear(latent_dim, units), BatchNorm(units, EPS), nn.ReLU())
        self.upsample = nn.Sequential(
            *(
                layer
                for inputs, outputs in ((8, 4), (4, 2), (2, 1))
                for layer in (
                    ConvTranspose2d(inputs * width, outputs * width, 4, stride=2, padding=1),
                    BatchNorm(outputs * width, EPS),
                    nn.ReLU(),
                )
            ),
            ConvTranspose2d(width, channels, 3, padding=1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        seed = self.project(latents).view(-1, *self.seed_map)
        return (torch.tanh(self.upsample(seed)) + 1) / 2


class SndcganDiscriminator(nn.Module):
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N].

    `norm` follows each convolution, before its activation. Differs from the study, which used none or spectral norm
    here.
    """

    def __init__(self, *, width: int, resolution: int, channels: int, norm: NormFactory) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size, inputs = resolution, channels
        for outputs, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
            size //= stride
            kernel = 4 if stride == 2 else 3
            layers += [
                Conv2d(inputs, outputs * width, kernel, stride=stride, padding=1),
                norm(outputs * width, size),
                LeakyReLU(0.1),
            ]
            inputs = outputs * width
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * size * size, 1))

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images * 2 - 1)
        return outputs.squeeze(1)


def check_size(resolution: int) -> None:
    """Raises InputError if the resolution is not a multiple of 8 px."""
    if resolution < 8 or resolution % 8:
        raise InputError(f"--architecture sndcgan: {resolution} px does not fit; it takes any multiple of 8 px.")


def initialize(network: nn.Module, rng: torch.Generator) -> None:
    """All weights Normal(0, 0.02), biases 0, normalization scales 1."""
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.02, generator=rng)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)


ARCHITECTURE = Architecture(
    description="convolutional; Miyato et al. 2018, table 3; multiples of 8 px; width 64 in the study",
    generator=SndcganGenerator,
    discriminator=SndcganDiscriminator,
    initialize=initialize,
    check_size=check_size,
    study_sizes=(32, 128),
)
