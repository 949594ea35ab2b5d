"""ResNet-CIFAR: the small residual networks of Miyato et al. (2018, table 4) as in the study, and their ablation."""

import torch
from torch import Tensor, nn

from study.core.errors import InputError
from study.gan.member import Option
from study.gan.networks import resnet
from study.gan.networks.architecture import Architecture, NormFactory, truncated_normal_kernels

SINGLE_CHANGES = ("RES", "CIN", "OPT", "SUM", "TAN", "EPS")
CHANGES: dict[str, frozenset[str]] = {
    "DEF": frozenset(),
    **{change: frozenset({change}) for change in SINGLE_CHANGES},
    "CIN_OPT": frozenset({"CIN", "OPT"}),
    "ALL": frozenset(SINGLE_CHANGES),
}
"""The changes of each code of the paper's ablation (appendix D).

RES: the shortcut of D's blocks is the identity if input and output have the same shape; otherwise it keeps its 3x3
convolution, as in Miyato et al.'s code.

CIN: the inner channels of D's blocks are as many as the input's, not the output's.

OPT: the first block of D has no normalization and ReLU before its first convolution, and its inner channels are as many
as its output's. Images are never negative, so without TAN or a layer normalization that ReLU has no effect and OPT
equals DEF. No other block changes its number of channels, so CIN_OPT equals DEF too.

SUM: D sums the last maps over pixels instead of averaging them.

TAN: images are in [-1, 1] inside the networks: G ends in tanh, and D rescales its input.

EPS: G's batch norm has eps 2e-5 instead of 1e-5.
"""


def unit_tanh(maps: Tensor) -> Tensor:
    """Tanh rescaled to [0, 1]."""
    return (torch.tanh(maps) + 1) / 2


def generator(*, latent_dim: int, width: int, resolution: int, channels: int, ablation: str) -> nn.Module:
    """Latents [N, latent_dim] -> images [N, channels, resolution, resolution] in [0, 1]."""
    changes = CHANGES[ablation]
    return resnet.ResnetGenerator(
        latent_dim=latent_dim,
        channels=channels,
        seed=(4 * width, resolution // 8),
        blocks=[(4 * width, True)] * 3,
        eps=2e-5 if "EPS" in changes else resnet.EPS,
        squash=unit_tanh if "TAN" in changes else torch.sigmoid,
    )


def discriminator(*, width: int, resolution: int, channels: int, norm: NormFactory, ablation: str) -> nn.Module:
    """Images [N, channels, resolution, resolution] in [0, 1] -> outputs [N]."""
    changes = CHANGES[ablation]
    blocks: list[resnet.DiscriminatorBlock] = []
    size, inputs, outputs = resolution, channels, 2 * width
    for down in (True, True, False, False):
        optimized = "OPT" in changes and not blocks
        blocks.append(
            resnet.DiscriminatorBlock(
                inputs,
                outputs,
                size=size,
                norm=norm,
                down=down,
                hidden=inputs if "CIN" in changes and not optimized else outputs,
                leading=not optimized,
                shortcut="RES" not in changes or down or inputs != outputs,
            )
        )
        size, inputs = size // 2 if down else size, outputs
    return resnet.ResnetDiscriminator(blocks=blocks, features=outputs, total="SUM" in changes, signed="TAN" in changes)


def check_size(resolution: int) -> None:
    """Raises InputError if the resolution is not a multiple of 8 px."""
    if resolution < 8 or resolution % 8:
        raise InputError(f"--architecture resnet_cifar: {resolution} px does not fit; it takes any multiple of 8 px.")


ARCHITECTURE = Architecture(
    description="residual, after Miyato et al. 2018, table 4; multiples of 8 px; 32 px and width 64 in the study",
    generator=generator,
    discriminator=discriminator,
    initialize=truncated_normal_kernels,
    check_size=check_size,
    study_sizes=(32,),
    options={
        "ablation": Option(
            default="DEF", choices=tuple(CHANGES), description="ablation of the networks; appendix D of the study"
        )
    },
)
