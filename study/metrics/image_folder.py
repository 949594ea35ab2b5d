"""Reads images that are to be scored, from any kind of source."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from study.core.errors import InputError
from study.core.text import plural, printable
from study.data.dataset import Encoded, Unreadable
from study.data.decoding.image import upright
from study.data.sources.opening import open_source, source_path
from study.data.sources.pools import FLAT, NONE, Opened

MODES = {1: "L", 3: "RGB"}


def open_images(source: str, n: int) -> Opened:
    """The images of a source, sorted by name in a folder or archive; raises InputError if there are fewer than n."""
    with _images_option():
        opened = open_source(source_path(source), FLAT, NONE)
    if opened.n < n:
        counts = f"has {opened.n:,} {plural(opened.n, 'image')}, but the protocol needs {n:,} generated images"
        passed_over = sum(opened.passed_over.counts.values())
        counts += f" ({passed_over:,} {plural(passed_over, 'file is', 'files are')} passed over)" if passed_over else ""
        raise InputError(f"--images {opened.source}: {counts}; add images, or set --n-fake to at most {opened.n}.")
    return opened


def read_images(opened: Opened, n: int, shape: tuple[int, int, int], batch_size: int) -> Iterator[Tensor]:
    """The first n images in batches, float32 [B, C, H, W] in [0, 1].

    Raises InputError, which names the image, if one cannot be read or is not of `shape` (C, H, W).
    """
    (pool,) = opened.pools.values()
    with _images_option():
        images = pool.read(range(n))
        while batch := [_pixels(opened.source, *image, shape) for image in islice(images, batch_size)]:
            yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255


@contextmanager
def _images_option() -> Iterator[None]:
    """Errors about a source name the option that gave it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("--source ", "--images ", 1)) from error


def _pixels(source: str, name: str, data: Encoded, shape: tuple[int, int, int]) -> np.ndarray:
    """One image, uint8 [H, W, C]."""
    from PIL import Image

    channels, height, width = shape
    where = f"--images {source}: {printable(name)}"
    try:
        if isinstance(data, Unreadable):
            raise ValueError(data.detail)
        if isinstance(data, np.ndarray):
            mode, (rows, columns), pixels = MODES[data.shape[2]], data.shape[:2], data
        else:
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as stored:
                image = upright(stored, [])
                mode, rows, columns, pixels = image.mode, image.height, image.width, np.asarray(image, dtype=np.uint8)
    except Exception as error:  # a damaged file can raise anything
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise InputError(f"{where}: not a readable image ({reason}); remove or replace it.") from error
    if (mode, rows, columns) != (MODES[channels], height, width):
        described = f"is {mode} of {columns}x{rows} px, not {MODES[channels]} of {width}x{height} px"
        raise InputError(f"{where}: {described} like the dataset; convert it, or choose another --dataset.")
    return pixels.reshape(height, width, channels)
