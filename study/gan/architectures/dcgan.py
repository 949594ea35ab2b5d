"""DCGAN: the convolutional networks of Radford et al. (2016) as in the study's released code.

Differs from Radford et al.: D's input and G's output are in [0, 1], and the method chooses D's normalization.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

from study.core.errors import InputError
from study.gan.networks import winograd
from study.gan.networks.architecture import Architecture, NormFactory, truncated_normal_kernels
from study.gan.networks.layers import BatchNorm, LeakyReLU

EPS = 1e-5
"""Of G's batch norm."""


class HalvingConv(nn.Conv2d):
    """A 5x5 convolution of stride 2 for even sizes, padded as in TensorFlow: 1 px before and 2 px after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        if (fast := winograd.convolution(maps, self.weight, self.bias, 2, 1)) is not None:
            return fast
        return conv2d(pad(maps, (1, 2, 1, 2)), self.weight, self.bias, stride=2)


class DoublingConv(nn.ConvTranspose2d):
    """The transpose of HalvingConv: 1 px is cropped before and 2 px after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, stride=2)

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]  # no output_size: cropping fixes the size
        if (fast := winograd.transposed_convolution(maps, self.weight, self.bias, 1)) is not None:
            return fast
        return conv_transpose2d(maps, self.weight, self.bias, stride=2, padding=1)[:, :, :-1, :-1]


class DcganGenerator(nn.Module):
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""

    def __init__(self, *, latent_dim: int, width: int, resolution: int, channels: int) -> None:
        super().__init__()
        self.seed_map = (8 * width, resolution // 16, resolution // 16)
        self.project = nn.Linear(latent_dim, 8 * width * (resolution // 16) ** 2)
        self.upsample = nn.Sequential(
            *(
                layer
                for inputs, outputs in ((8, 4), (4, 2), (2, 1))
                for layer in (
                    BatchNorm(inputs * width, EPS),
                    nn.ReLU(),
                    DoublingConv(inputs * width, outputs * width),
                )
            ),
            BatchNorm(width, EPS),
            nn.ReLU(),
            DoublingConv(width, channels),
        )

    def forward(self, latents: Tensor) -> Tensor:
        seed = self.project(latents).view(-1, *self.seed_map)
        return 0.5 * torch.tanh(self.upsample(seed)) + 0.5


class DcganDiscriminator(nn.Module):
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N].

    `norm` follows each convolution except the first, before its activation.
    """

    def __init__(self, *, width: int, resolution: int, channels: int, norm: NormFactory) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size, inputs = resolution, channels
        for multiple in (1, 2, 4, 8):
            size, outputs = size // 2, multiple * width
            layers.append(HalvingConv(inputs, outputs))
            if multiple > 1:
                layers.append(norm(outputs, size))
            layers.append(LeakyReLU(0.2))
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * size * size, 1))

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images)
        return outputs.squeeze(1)


def check_size(resolution: int) -> None:
    """Raises InputError if the resolution is not a multiple of 16 px."""
    if resolution < 16 or resolution % 16:
        raise InputError(f"--architecture dcgan: {resolution} px does not fit; it takes any multiple of 16 px.")


ARCHITECTURE = Architecture(
    description="convolutional, 5x5 kernels; Radford et al. 2016; multiples of 16 px; width 64 in the study's code",
    generator=DcganGenerator,
    discriminator=DcganDiscriminator,
    initialize=truncated_normal_kernels,
    check_size=check_size,
    study_sizes=(32, 128),
)
