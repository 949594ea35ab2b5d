"""Decodes image files to pixels of one size: how each kind of image is converted, and which images are skipped.

The result does not depend on the machine. An image is used as stored if possible; otherwise it is converted as
TREATMENTS describes, and counted. Nothing is guessed. Colour profiles are ignored.
"""

import hashlib
import io
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.core.errors import InputError
from study.data.dataset import Encoded, Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

FITS = ("exact", "crop", "pad", "resize")
TREATMENTS = {
    "grey": "the channel repeated three times, without loss",
    "palette": "colours looked up, without loss",
    "alpha": "composed over white",
    "16-bit": "the high byte of each channel kept",
    "CMYK": "converted by Pillow's formula, without a colour profile",
    "YCbCr": "converted by Pillow's formula",
    "animated": "the first frame used",
    "rotated": "turned or mirrored as the EXIF orientation says",
    "cropped": "cropped at the centre",
    "padded": "padded with black, after a centre crop of a side that was too long",
    "resized": "the centre square resampled (Lanczos)",
}
"""Conversions by the kind of image; a grey image in a grey dataset is not converted."""
ORIENTATION = 0x0112
"""EXIF tag; of its values 1 to 8, 1 is an upright image."""
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
"""Pillow's modes without colour."""


class Target(NamedTuple):
    """The format of the prepared images: uint8 [channels, resolution, resolution], with `fit` one of FITS."""

    resolution: int
    channels: int
    fit: str


class Decoded(NamedTuple):
    """The pixels of an image, or the reason why it is skipped.

    Attributes:
        pixels: the bytes of uint8 [C, H, W]; empty if the image is skipped.
        digest: hash of the pixels, 8 bytes.
        kinds: conversions, keys of TREATMENTS; empty if the image was used as stored.
        reason: why the image is skipped, in words that are the same for all such images.
        detail: details about this image.
    """

    pixels: bytes
    digest: bytes = b""
    kinds: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


class _LeftOut(Exception):  # noqa: N818  an outcome, not an error
    pass


def decode_all(items: Iterable[tuple[str, Encoded]], target: Target) -> list[Decoded]:
    """Apply `decode` to (name, data) pairs, without Pillow's warnings about unusual files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [decode(name, data, target) for name, data in items]


def decode(name: str, data: Encoded, target: Target) -> Decoded:
    """Decode one image to the format `target`.

    Raises InputError, with the name of the image, if the fit is "exact" and the size is different: then most other
    images probably have a different size, too, and skipping them would go unnoticed.
    """
    if isinstance(data, Unreadable):
        return Decoded(b"", reason="cannot be read", detail=data.detail)
    kinds: list[str] = []
    try:
        if isinstance(data, np.ndarray) and data.shape == (target.resolution, target.resolution, target.channels):
            pixels = data.transpose(2, 0, 1).tobytes()
        else:
            pixels = _planes(name, data, target, kinds)
    except _LeftOut as error:
        reason, detail = error.args
        return Decoded(b"", reason=reason, detail=detail)
    return Decoded(pixels, hashlib.sha256(pixels).digest()[:8], tuple(kinds))


def _planes(name: str, data: str | bytes | np.ndarray, target: Target, kinds: list[str]) -> bytes:
    """The pixels of an image that needs Pillow, channel by channel; appends the conversions to `kinds`."""
    from PIL import Image, UnidentifiedImageError

    try:
        if isinstance(data, np.ndarray):
            picture = Image.fromarray(data.squeeze(2) if data.shape[2] == 1 else data)
            return _fitted(name, picture, target, kinds)
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:
            return _fitted(name, picture, target, kinds)
    except (InputError, MemoryError, _LeftOut):
        raise
    except UnidentifiedImageError as error:
        raise _LeftOut("not an image that Pillow can read", "") from error
    except Image.DecompressionBombError as error:
        raise _LeftOut("too large to decode safely", str(error)) from error
    except Exception as error:  # for a damaged file, decoders of Pillow raise many types: struct.error, KeyError
        unreadable = isinstance(error, OSError) and error.strerror
        detail = " ".join(str(unreadable or error).split())
        raise _LeftOut("cannot be read" if unreadable else "does not decode", detail) from error


def _fitted(name: str, picture: "Image", target: Target, kinds: list[str]) -> bytes:
    side = target.resolution
    if getattr(picture, "is_animated", False):
        kinds.append("animated")
    # Pillow opens 16-bit RGB as mode RGB and drops the low byte; only the arguments of the decoder show it.
    if picture.mode in SIXTEEN_BIT or any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
        kinds.append("16-bit")
    picture = upright(picture, kinds)
    if picture.size != (side, side):
        width, height = picture.size
        if target.fit == "exact":
            raise InputError(
                f"image {name}: {width}x{height} pixels; must be {side}x{side}: scale the images before preparing them."
            )
        if target.fit == "crop" and min(width, height) < side:
            raise _LeftOut(f"smaller than {side} px, cannot be cropped", f"{width}x{height} pixels")
    picture = _converted(picture, target.channels, kinds)
    if picture.size != (side, side):
        picture = _brought_to(picture, side, target.fit, kinds)
    if target.channels == 1:
        return picture.tobytes()
    rows = np.frombuffer(picture.tobytes("raw", "RGB;L"), np.uint8)  # red, green and blue of a row, then the next row
    return rows.reshape(side, 3, side).transpose(1, 0, 2).tobytes()


def upright(picture: "Image", kinds: list[str]) -> "Image":
    """The image, decoded to its end, as its EXIF orientation says; appends to `kinds` if that turns it."""
    from PIL import ImageOps

    if picture.format != "TIFF":
        picture.load()  # the EXIF of a PNG may follow its pixels; a TIFF is turned by Pillow while it is loaded
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF raises many types, and the pixels can be used without it
        orientation = 1
    picture.load()
    if orientation not in range(2, 9):
        return picture
    kinds.append("rotated")
    return picture if picture.format == "TIFF" else ImageOps.exif_transpose(picture)


def _converted(picture: "Image", channels: int, kinds: list[str]) -> "Image":
    """The image in mode L or RGB, decoded to its end."""
    wanted = "RGB" if channels == 3 else "L"
    if picture.mode not in GREY and channels == 1:
        raise _LeftOut("colour image in a grey dataset", f"is {picture.mode}")
    if picture.mode in SIXTEEN_BIT:
        from PIL import Image

        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode == "P":
        kinds.append("palette")
    if picture.has_transparency_data:
        kinds.append("alpha")
        picture = _over_white(picture, wanted)
    if picture.mode in ("CMYK", "YCbCr"):
        kinds.append(picture.mode)
    elif picture.mode in GREY and channels == 3:
        kinds.append("grey")
    elif picture.mode not in ("1", "L", "P", "PA", "RGB"):
        raise _LeftOut("colour mode without a unique conversion to 8 bits", f"is {picture.mode}")
    return picture if picture.mode == wanted else picture.convert(wanted)


def _over_white(picture: "Image", wanted: str) -> "Image":
    from PIL import Image

    grey = wanted == "L" or picture.mode in GREY
    opaque = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), opaque)
    return flat.getchannel("R") if grey else flat.convert("RGB")


def _brought_to(picture: "Image", side: int, fit: str, kinds: list[str]) -> "Image":
    """Fit an image to [side, side]; crops and pads at the centre as TensorFlow's resize_with_crop_or_pad does."""
    from PIL import Image

    width, height = picture.size
    if fit == "resize":
        kinds.append("resized")
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        # Crop first: the `box` argument of Pillow's resize lets pixels outside of it influence the result.
        square = picture.crop((left, top, left + short, top + short))
        return square.resize((side, side), Image.Resampling.LANCZOS)
    kinds.append("cropped" if min(width, height) >= side else "padded")
    left, top = max(width - side, 0) // 2, max(height - side, 0) // 2
    centre = picture.crop((left, top, left + min(width, side), top + min(height, side)))
    if centre.size == (side, side):
        return centre
    canvas = Image.new(picture.mode, (side, side))
    canvas.paste(centre, ((side - centre.width) // 2, (side - centre.height) // 2))
    return canvas
