"""Folders of images as datasets. Pixels are taken as stored, losslessly or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.data.dataset import Dataset, Split
from study.names import InputError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
LOSSLESS = {1: ("1", "L"), 3: ("1", "L", "P", "RGB")}
"""Pillow's modes that become grey (1 channel) or RGB (3 channels) without loss, transparency aside."""


def open_folder(dataset: Dataset, source: Path) -> dict[str, Split]:
    """The images of a folder, sorted by name: the last tenth is the test split, the rest the training split.

    Of 30,000 images the first 27,000 train and the last 3,000 test, as in the study (section 2.5, where the split is
    called random; the released code takes 10 of 100 shards, `datasets.py`). Images are decoded as they are asked for.

    Raises InputError where `source` holds fewer than two images; an image that cannot be used raises when its turn
    comes (`decode`).
    """
    files = image_files(source)
    if len(files) < 2:
        raise InputError(f"--source {source}: holds one image; a training and a test image are the least.")
    n_train = len(files) - n_test(len(files))
    return {"train": _split(dataset, files[:n_train]), "test": _split(dataset, files[n_train:])}


def n_test(n: int) -> int:
    """Images in the test split of `n` images: one in ten, rounded down, but at least one."""
    return max(1, n // 10)


def image_files(source: Path) -> list[Path]:
    """The images directly in the folder `source`, or, where there are none, those directly in its sub-folders.

    An image is a file with one of EXTENSIONS in either case; hidden files and folders are passed over. Sorted by path
    below `source`, by code point, so in one order on every machine.

    Raises InputError where the folder is missing, no folder, unreadable or without images.
    """
    try:
        files, folders = _listing(source)
        if not files:
            files = [file for folder in folders for file in _listing(folder)[0]]
    except FileNotFoundError as error:
        raise InputError(f"--source {source}: no such folder; give the folder that holds the images.") from error
    except NotADirectoryError as error:
        raise InputError(f"--source {source}: is a file; give the folder that holds the images.") from error
    except OSError as error:
        raise InputError(f"--source {error.filename}: cannot be read ({error.strerror}); check its rights.") from error
    if not files:
        allowed = " ".join(EXTENSIONS)
        raise InputError(f"--source {source}: no images in it or its sub-folders; they must end in one of {allowed}.")
    return sorted(files, key=lambda file: file.relative_to(source).as_posix())


def decode(path: Path, *, resolution: int, channels: int) -> np.ndarray:
    """The pixels of an image file: uint8 [channels, resolution, resolution], exactly as stored.

    Grey and palette images become RGB where three channels are asked for, since that loses nothing.

    Raises InputError, naming the file, where it does not decode to its end, is not `resolution` pixels square, or would
    lose something: transparency, more than 8 bits a channel, colour in one channel, CMYK, frames of an animation.
    """
    from PIL import Image, UnidentifiedImageError

    mode = "RGB" if channels == 3 else "L"
    try:
        with Image.open(path) as picture:
            if refusal := _refusal(picture, resolution, channels):
                raise InputError(f"image {path}: {refusal}")
            pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"image {path}: is no image that Pillow knows; replace or remove the file.") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"image {path}: does not decode ({reason}); replace or remove the file.") from error
    return pixels.reshape(resolution, resolution, channels).transpose(2, 0, 1)


def _refusal(picture: "ImageFile", resolution: int, channels: int) -> str | None:
    """Why an opened image, not decoded yet, cannot be taken, with the remedy; None where it can."""
    wanted = "8-bit RGB or grey" if channels == 3 else "8-bit grey"
    if picture.size != (resolution, resolution):
        width, height = picture.size
        return f"{width}x{height} pixels; must be {resolution}x{resolution}: scale the images before preparing them."
    if getattr(picture, "is_animated", False):
        return "is animated; save one frame of it as a still image."
    if picture.has_transparency_data:
        return f"has transparency; save it as {wanted} without an alpha channel."
    # Pillow opens 16-bit RGB as mode RGB and drops the low byte; only the decoder's arguments tell.
    bits = " of 16 bits" if any(";16" in str(tile[3]) for tile in picture.tile) else ""
    if bits or picture.mode not in LOSSLESS[channels]:
        return f"is {picture.mode}{bits}; must be {wanted}: convert it before preparing."
    return None


def _split(dataset: Dataset, files: Sequence[Path]) -> Split:
    images = (decode(file, resolution=dataset.resolution, channels=dataset.channels) for file in files)
    return Split(shape=(len(files), dataset.channels, dataset.resolution, dataset.resolution), images=images)


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files and the sub-folders directly in `folder`."""
    with os.scandir(folder) as entries:
        visible = [(entry.is_dir(), Path(entry.path)) for entry in entries if not entry.name.startswith(".")]
    # A dangling link with an image's name counts as an image: it is refused when its turn comes, not passed over.
    files = [path for is_folder, path in visible if not is_folder and path.suffix.lower() in EXTENSIONS]
    return files, [path for is_folder, path in visible if is_folder]
