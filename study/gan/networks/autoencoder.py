"""BEGAN's discriminator: an autoencoder whose output is its reconstruction error."""

from torch import Tensor, nn

from study.gan.networks.architecture import NormFactory
from study.gan.networks.layers import Conv2d, ConvTranspose2d, LeakyReLU


class AutoEncoder(nn.Module):
    """Images [N, channels, resolution, resolution] in [0, 1] -> mean absolute reconstruction errors [N].

    The layers of the released code (compare_gan, gans/BEGAN.py), with 64 channels there: two convolutions, a code of
    `width` units, and the same layers mirrored. `norm` is applied to the code and in the decoder; on flat vectors it
    has one scale per unit.
    """

    def __init__(self, *, width: int, resolution: int, channels: int, norm: NormFactory) -> None:
        super().__init__()
        size, units = resolution // 4, 2 * width * (resolution // 4) ** 2
        self.network = nn.Sequential(
            Conv2d(channels, width, 4, stride=2, padding=1),
            LeakyReLU(0.2),
            Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.Flatten(),
            nn.Linear(units, width),
            nn.Unflatten(1, (width, 1, 1)),
            norm(width, 1),
            LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(width, units),
            nn.Unflatten(1, (units, 1, 1)),
            norm(units, 1),
            LeakyReLU(0.2),
            nn.Flatten(),
            nn.Unflatten(1, (2 * width, size, size)),
            ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            norm(width, 2 * size),
            LeakyReLU(0.2),
            ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        reconstructions: Tensor = self.network(images)
        return (reconstructions - images).abs().mean(dim=(1, 2, 3))
