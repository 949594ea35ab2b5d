"""The architectures, one file each: every file in this folder is an entry of the menu."""

import importlib
import pkgutil

import torch
from torch import nn

from study.gan.networks.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").ARCHITECTURE
    for module in pkgutil.iter_modules(__path__)
    if module.name != "architecture"
}


def parameter_counts(name: str, resolution: int) -> tuple[int, int]:
    """Numbers of parameters of G and D at the study's width, for RGB images and without layer normalization."""
    architecture = ARCHITECTURES[name]
    options = {option: declared.default for option, declared in architecture.options.items()}
    size = {"width": 64, "resolution": resolution, "channels": 3}
    with torch.device("meta"):
        generator = architecture.generator(latent_dim=128, **size, **options)
        discriminator = architecture.discriminator(norm=lambda channels, size: nn.Identity(), **size, **options)
    count_g, count_d = (sum(p.numel() for p in network.parameters()) for network in (generator, discriminator))
    return count_g, count_d
