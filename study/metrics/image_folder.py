"""Reads a folder of images that are to be scored."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from study.core.errors import InputError

SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"}
MODES = {1: "L", 3: "RGB"}


def image_paths(folder: Path, n: int) -> list[Path]:
    """The first n image files of a folder, sorted by name; raises InputError if there are fewer."""
    if not folder.is_dir():
        raise InputError(f"--images {folder}: no such folder; give a folder with {', '.join(sorted(SUFFIXES))} files.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(paths) < n:
        counts = f"has {len(paths)} images, but the protocol needs {n} generated images"
        raise InputError(f"--images {folder}: {counts}; add images, or set --n-fake to at most {len(paths)}.")
    return paths[:n]


def read_images(paths: list[Path], shape: tuple[int, int, int], batch_size: int) -> Iterator[Tensor]:
    """The images in batches, float32 [B, C, H, W] in [0, 1].

    Raises InputError, which names the file, if an image cannot be read or is not of `shape` (C, H, W).
    """
    for start in range(0, len(paths), batch_size):
        pixels = np.stack([_read(path, shape) for path in paths[start : start + batch_size]])
        yield torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def _read(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """One image, uint8 [H, W, C]."""
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(path) as image:
            properties = (image.mode, image.height, image.width)
            pixels = np.asarray(image, dtype=np.uint8)
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--images {path}: not a readable image ({reason}); remove or replace it.") from error
    if properties != (MODES[channels], height, width):
        mode, rows, columns = properties
        described = f"is {mode} of {columns}x{rows} px, not {MODES[channels]} of {width}x{height} px"
        raise InputError(f"--images {path}: {described} like the dataset; convert it, or choose another --dataset.")
    return pixels.reshape(height, width, channels)
