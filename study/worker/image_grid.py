"""PNG grids of generated images."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from study.storage.files import replace

SMALLEST = 32
"""Minimum height of an image in pixels: smaller images are enlarged by repeating pixels."""


def fixed_latents(n: int, latent_dim: int, seed: int = 0) -> Tensor:
    """Latents [n, latent_dim], uniform in [-1, 1]; equal seeds give equal latents, so grids can be compared."""
    return torch.rand(n, latent_dim, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def save_grid(path: Path, images: Tensor) -> None:
    """Write images [N, C, H, W] in [0, 1] as one PNG: a square grid with a white line of one pixel between images."""
    from PIL import Image

    pixels = (images.clamp(0, 1) * 255).round().byte().cpu().numpy().transpose(0, 2, 3, 1)
    enlarge = max(1, SMALLEST // pixels.shape[1])
    pixels = pixels.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    n, height, width, channels = pixels.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    picture = Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet)
    replace(path, lambda file: picture.save(file, format="PNG"))
