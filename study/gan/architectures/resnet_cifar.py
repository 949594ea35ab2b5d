"""ResNet-CIFAR: the small residual pair of Miyato et al. (2018, table 4) as the study built it, and its ablation."""

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
"""What each code of the paper's ablation (appendix D) changes.

RES: D's blocks add their input itself where it has the shape of their output; elsewhere the shortcut keeps its 3x3
    convolution, as in Miyato et al.'s code.
CIN: D's blocks are as wide inside as their input, not as their output.
OPT: the first block of D has no normalisation and ReLU before its first convolution, and is as wide inside as its
    output. Images are never negative, so without TAN or a layer normalisation that ReLU does nothing and OPT computes
    what DEF does; and as no other block changes its channels, so does CIN_OPT.
SUM: D sums the last maps over their pixels; it does not average them.
TAN: images are in [-1, 1] inside the networks: G ends in tanh, and D rescales its input.
EPS: G's batch norm has eps 2e-5, not 1e-5.
"""


def unit_tanh(maps: Tensor) -> Tensor:
    """Tanh, rescaled to [0, 1]."""
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
    """Raises InputError where three doublings do not come out even."""
    if resolution < 8 or resolution % 8:
        raise InputError(f"--architecture resnet_cifar: {resolution} px does not fit; it takes any multiple of 8 px.")


ARCHITECTURE = Architecture(
    description="residual, after Miyato et al. 2018, table 4; any multiple of 8 px, 32 px and width 64 in the study",
    generator=generator,
    discriminator=discriminator,
    initialize=truncated_normal_kernels,
    check_size=check_size,
    study_sizes=(32,),
    options={
        "ablation": Option(
            default="DEF", choices=tuple(CHANGES), description="change of the networks; Kurach et al. 2019, appendix D"
        )
    },
)
