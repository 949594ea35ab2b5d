"""The study's networks in the plainest form: PyTorch's own modules, one per layer of the papers' tables.

Unpooling and pooling are separate layers, and all tensors have PyTorch's default layout. Parameters have the same order
as in `study.gan.architectures`: in a residual block, those of the shortcut come first.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

PlainNormFactory = Callable[[int], nn.Module]
"""(channels) -> the normalization of a layer of D."""


class Residual(nn.Module):
    """The sum of two paths."""

    def __init__(self, shortcut: nn.Module, main: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.main = shortcut, main

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = self.shortcut(maps) + self.main(maps)
        return outputs


class Unpool(nn.Module):
    """Doubles the size: each value moves to an even row and column, with zeros elsewhere."""

    def forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        larger = maps.new_zeros(n, channels, 2 * height, 2 * width)
        larger[:, :, ::2, ::2] = maps
        return larger


class Crop(nn.Module):
    """Removes the last row and column."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, :, :-1, :-1]


class Rescale(nn.Module):
    """Multiplies by a scale and adds an offset."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.scale + self.offset


def conv(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def project(latent_dim: int, features: int, size: int) -> tuple[nn.Module, nn.Module]:
    """A linear layer, and its output reshaped to maps [N, features, size, size]."""
    return nn.Linear(latent_dim, features * size * size), nn.Unflatten(1, (features, size, size))


def sndcgan_generator(*, latent_dim: int, width: int, resolution: int, channels: int) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""
    linear, maps = project(latent_dim, 8 * width, resolution // 8)
    flat_norm = nn.BatchNorm1d(8 * width * (resolution // 8) ** 2, eps=2e-5)
    layers: list[nn.Module] = [linear, flat_norm, nn.ReLU(), maps]
    for inputs, outputs in ((8, 4), (4, 2), (2, 1)):
        up = nn.ConvTranspose2d(inputs * width, outputs * width, 4, stride=2, padding=1)
        layers += [up, nn.BatchNorm2d(outputs * width, eps=2e-5), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 3, padding=1), nn.Tanh(), Rescale(0.5, 0.5))


def sndcgan_discriminator(*, width: int, resolution: int, channels: int, norm: PlainNormFactory) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    layers: list[nn.Module] = [Rescale(2, -1)]
    inputs = channels
    for multiple, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1)):
        outputs = multiple * width
        layers += [nn.Conv2d(inputs, outputs, 2 + stride, stride=stride, padding=1), norm(outputs), nn.LeakyReLU(0.1)]
        inputs = outputs
    score = nn.Linear(inputs * (resolution // 8) ** 2, 1)
    return nn.Sequential(*layers, nn.Flatten(), score, nn.Flatten(0))


def dcgan_generator(*, latent_dim: int, width: int, resolution: int, channels: int) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""
    layers = list(project(latent_dim, 8 * width, resolution // 16))
    for inputs, outputs in ((8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width), (width, channels)):
        layers += [
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=1),
            Crop(),
        ]
    return nn.Sequential(*layers, nn.Tanh(), Rescale(0.5, 0.5))


def dcgan_discriminator(*, width: int, resolution: int, channels: int, norm: PlainNormFactory) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    layers: list[nn.Module] = []
    inputs = channels
    for multiple in (1, 2, 4, 8):
        outputs = multiple * width
        layers += [nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(inputs, outputs, 5, stride=2)]  # padding as in TensorFlow
        layers += [norm(outputs)] if multiple > 1 else []
        layers += [nn.LeakyReLU(0.2)]
        inputs = outputs
    score = nn.Linear(inputs * (resolution // 16) ** 2, 1)
    return nn.Sequential(*layers, nn.Flatten(), score, nn.Flatten(0))


def residual_generator(
    latent_dim: int, seed: tuple[int, int], blocks: list[tuple[int, bool]], channels: int
) -> nn.Module:
    """The residual G: `seed` is (channels, size); each block is (channels, whether it doubles the size)."""
    layers: list[nn.Module] = [*project(latent_dim, *seed)]
    inputs = seed[0]
    for outputs, up in blocks:
        unpool = (Unpool(),) if up else ()
        first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), *unpool, conv(inputs, outputs))
        second = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(), conv(outputs, outputs))
        layers.append(Residual(nn.Sequential(*unpool, conv(inputs, outputs)), nn.Sequential(first, second)))
        inputs = outputs
    return nn.Sequential(*layers, nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, channels), nn.Sigmoid())


def residual_discriminator(channels: int, blocks: list[tuple[int, bool]], norm: PlainNormFactory) -> nn.Module:
    """The residual D: each block is (channels, whether it halves the size)."""
    layers: list[nn.Module] = []
    inputs = channels
    for outputs, down in blocks:
        pool = (nn.AvgPool2d(2),) if down else ()
        first = nn.Sequential(norm(inputs), nn.ReLU(), conv(inputs, outputs))
        second = nn.Sequential(norm(outputs), nn.ReLU(), conv(outputs, outputs), *pool)
        layers.append(Residual(nn.Sequential(conv(inputs, outputs), *pool), nn.Sequential(first, second)))
        inputs = outputs
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1), nn.Flatten(0))
    return nn.Sequential(*layers, *head)


def resnet_cifar_generator(*, latent_dim: int, width: int, resolution: int, channels: int) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""
    return residual_generator(latent_dim, (4 * width, resolution // 8), [(4 * width, True)] * 3, channels)


def resnet_cifar_discriminator(*, width: int, resolution: int, channels: int, norm: PlainNormFactory) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    return residual_discriminator(channels, [(2 * width, down) for down in (True, True, False, False)], norm)


def resnet19_generator(*, latent_dim: int, width: int, resolution: int, channels: int) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""
    doublings = (resolution // 4).bit_length() - 1
    multiples = [8, 4, 4, 2, 1] + [1] * (doublings - 5)
    blocks = [(multiple * width, number < doublings) for number, multiple in enumerate(multiples)]
    return residual_generator(latent_dim, (8 * width, 4), blocks, channels)


def resnet19_discriminator(*, width: int, resolution: int, channels: int, norm: PlainNormFactory) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    return residual_discriminator(channels, [(multiple * width, True) for multiple in (1, 2, 4, 4, 8, 8)], norm)


NETWORKS: Mapping[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {
    "sndcgan": (sndcgan_generator, sndcgan_discriminator),
    "dcgan": (dcgan_generator, dcgan_discriminator),
    "resnet_cifar": (resnet_cifar_generator, resnet_cifar_discriminator),
    "resnet19": (resnet19_generator, resnet19_discriminator),
}
"""G and D by architecture."""

NORMS: Mapping[str, PlainNormFactory] = {
    "layer_norm": lambda channels: nn.GroupNorm(1, channels, eps=1e-12),
    "batch_norm": partial(nn.BatchNorm2d, track_running_stats=False),
}
"""Normalizations of D's layers, by name."""
