"""Residual networks of the study: the parts that resnet_cifar and resnet19 share.

After Miyato et al. (2018) and the released code (compare_gan, gans/resnet_architecture.py). Differs from Miyato et al.:
unpooling fills with zeros instead of repeating values, every shortcut has a 3x3 convolution, the first block of D
begins with a ReLU on the image, and all blocks of D change the number of channels in their first convolution.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from study.gan.networks.architecture import NormFactory
from study.gan.networks.layers import BatchNorm, Conv3x3, Conv3x3Pool, ReLU, UnpoolConv3x3

EPS = 1e-5
"""Of G's batch norm (the default in appendix D of the study)."""


class GeneratorBlock(nn.Module):
    """Maps [N, inputs, S, S] -> [N, outputs, S, S], or [N, outputs, 2S, 2S] if `up`."""

    def __init__(self, inputs: int, outputs: int, *, up: bool, eps: float = EPS) -> None:
        super().__init__()
        resize = UnpoolConv3x3 if up else Conv3x3
        self.shortcut = resize(inputs, outputs)
        self.main = nn.Sequential(
            BatchNorm(inputs, eps),
            nn.ReLU(),
            resize(inputs, outputs),
            BatchNorm(outputs, eps),
            nn.ReLU(),
            Conv3x3(outputs, outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = self.shortcut(maps) + self.main(maps)
        return outputs


class ResnetGenerator(nn.Module):
    """Latents [N, latent_dim] -> images [N, channels, S, S] in [0, 1].

    Args:
        latent_dim: dimension of the latents.
        channels: of the images.
        seed: channels and size of the map that the latents are projected to.
        blocks: output channels of each block, and whether it doubles the size.
        eps: of batch norm.
        squash: maps the outputs of the last convolution to [0, 1].
    """

    def __init__(
        self,
        *,
        latent_dim: int,
        channels: int,
        seed: tuple[int, int],
        blocks: Sequence[tuple[int, bool]],
        eps: float = EPS,
        squash: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__()
        inputs, size = seed
        self.seed_map = (inputs, size, size)
        self.project = nn.Linear(latent_dim, inputs * size * size)
        layers: list[nn.Module] = []
        for outputs, up in blocks:
            layers.append(GeneratorBlock(inputs, outputs, up=up, eps=eps))
            inputs = outputs
        self.layers = nn.Sequential(*layers, BatchNorm(inputs, eps), nn.ReLU(), Conv3x3(inputs, channels))
        self.squash = squash

    def forward(self, latents: Tensor) -> Tensor:
        return self.squash(self.layers(self.project(latents).view(-1, *self.seed_map)))


class DiscriminatorBlock(nn.Module):
    """Maps [N, inputs, S, S] -> [N, outputs, S, S], or [N, outputs, S / 2, S / 2] if `down`.

    Args:
        inputs, outputs: channels.
        size: S, for `norm`.
        norm: makes the normalization before each ReLU.
        down: whether the second convolution and the shortcut end in 2x2 mean pooling.
        hidden: channels between the two convolutions; default `outputs`.
        leading: whether normalization and ReLU precede the first convolution.
        shortcut: whether the shortcut has a convolution; otherwise it is the identity.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        size: int,
        norm: NormFactory,
        down: bool,
        hidden: int | None = None,
        leading: bool = True,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        hidden = hidden or outputs
        resize = Conv3x3Pool if down else Conv3x3
        self.shortcut = resize(inputs, outputs) if shortcut else nn.Identity()
        self.main = nn.Sequential(
            *((norm(inputs, size), ReLU()) if leading else ()),
            Conv3x3(inputs, hidden),
            norm(hidden, size),
            ReLU(),
            resize(hidden, outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = self.shortcut(maps) + self.main(maps)
        return outputs


class ResnetDiscriminator(nn.Module):
    """Images [N, C, S, S] in [0, 1] -> outputs [N].

    Args:
        blocks: the residual blocks.
        features: channels of the last block.
        total: whether the last maps are summed over pixels instead of averaged.
        signed: whether images are first rescaled to [-1, 1].
    """

    def __init__(
        self, *, blocks: Sequence[DiscriminatorBlock], features: int, total: bool = False, signed: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*blocks, ReLU())
        self.score = nn.Linear(features, 1)
        self.pool = torch.sum if total else torch.mean
        self.signed = signed

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layers(images * 2 - 1 if self.signed else images)
        scores: Tensor = self.score(self.pool(maps, dim=(2, 3)))
        return scores.squeeze(1)
