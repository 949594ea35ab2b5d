"""Image files to pixels of one size: what is done to each kind of image, and which are left out.

Nothing here depends on the machine: an image is taken as stored where that is possible, else converted in the one way
that TREATMENTS states, and counted; it is never mended by a guess. Orientation tags and colour profiles are not used.
"""

import hashlib
import io
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from study.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FITS = ("exact", "crop", "pad", "resize")
TREATMENTS = {
    "grey": "the one channel taken three times, without loss",
    "palette": "colours looked up, without loss",
    "alpha": "laid over white",
    "16-bit": "the high byte of each channel kept",
    "CMYK": "converted by Pillow's formula, without a colour profile",
    "YCbCr": "converted by Pillow's formula",
    "animated": "the first frame taken",
    "cropped": "the centre taken",
    "padded": "black added around, after the centre was taken where one side was too long",
    "resized": "the centre square resampled (Lanczos)",
}
"""What is done to the kinds of images that are not taken as they are; a grey image stays grey in a grey dataset."""
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
"""Pillow's modes without colour."""


Encoded = str | bytes | np.ndarray
"""Where an image's pixels are: the path of an image file, the bytes of one, or an array uint8 [H, W, C]."""


class Target(NamedTuple):
    """What all images become: uint8 [channels, resolution, resolution], by a fit of FITS."""

    resolution: int
    channels: int
    fit: str


class Decoded(NamedTuple):
    """One image, ready to be written, or the reason why it is left out.

    Attributes:
        pixels: the bytes of uint8 [C, H, W]; empty where it is left out.
        digest: 8 bytes that tell its pixels from others.
        kinds: what was done to it, keys of TREATMENTS; empty where it was taken as it is.
        reason: why it is left out, in words that many images share.
        detail: what is to be said of this one.
    """

    pixels: bytes
    digest: bytes = b""
    kinds: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


class _LeftOut(Exception):  # noqa: N818  an outcome, not an error
    pass


def decode_all(items: Iterable[tuple[str, Encoded]], target: Target) -> list[Decoded]:
    """`decode` over (name, data), with Pillow's warnings of odd files silenced: what matters is counted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [decode(name, data, target) for name, data in items]


def decode(name: str, data: Encoded, target: Target) -> Decoded:
    """One image, from a file, the bytes of a file, or pixels uint8 [H, W, C], as `target` wants it.

    Raises InputError, naming the image, where the fit is "exact" and its size is another: then the others are of
    another size too, most likely, and none must be left out in silence.
    """
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


def _planes(name: str, data: Encoded, target: Target, kinds: list[str]) -> bytes:
    """The pixels of an image that Pillow handles, channel by channel; notes what was done in `kinds`."""
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
        raise _LeftOut("no image that Pillow knows", "") from error
    except Image.DecompressionBombError as error:
        raise _LeftOut("too large to be decoded safely", str(error)) from error
    except Exception as error:  # a damaged file makes Pillow raise whatever its decoders meet: struct.error, KeyError
        unreadable = isinstance(error, OSError) and error.strerror
        detail = " ".join(str(unreadable or error).split())
        raise _LeftOut("cannot be read" if unreadable else "does not decode", detail) from error


def _fitted(name: str, picture: "Image", target: Target, kinds: list[str]) -> bytes:
    side = target.resolution
    if picture.size != (side, side):
        width, height = picture.size
        if target.fit == "exact":
            raise InputError(
                f"image {name}: {width}x{height} pixels; must be {side}x{side}: scale the images before preparing them."
            )
        if target.fit == "crop" and min(width, height) < side:
            raise _LeftOut(f"smaller than {side} px, so not to be cropped", f"{width}x{height} pixels")
    picture = _converted(picture, target.channels, kinds)
    if picture.size != (side, side):
        picture = _brought_to(picture, side, target.fit, kinds)
    if target.channels == 1:
        return picture.tobytes()
    rows = np.frombuffer(picture.tobytes("raw", "RGB;L"), np.uint8)  # red, green and blue of a row, then the next row
    return rows.reshape(side, 3, side).transpose(1, 0, 2).tobytes()


def _converted(picture: "Image", channels: int, kinds: list[str]) -> "Image":
    """The image in mode L or RGB, decoded to its end."""
    wanted = "RGB" if channels == 3 else "L"
    if getattr(picture, "is_animated", False):
        kinds.append("animated")
    # Pillow opens 16-bit RGB as mode RGB and drops the low byte; only the decoder's arguments tell.
    if picture.mode in SIXTEEN_BIT or any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
        kinds.append("16-bit")
    if picture.mode not in GREY and channels == 1:
        raise _LeftOut("has colour where grey is wanted", f"is {picture.mode}")
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
        raise _LeftOut("of a mode that has no one conversion to 8 bits", f"is {picture.mode}")
    picture.load()
    return picture if picture.mode == wanted else picture.convert(wanted)


def _over_white(picture: "Image", wanted: str) -> "Image":
    from PIL import Image

    grey = wanted == "L" or picture.mode in GREY
    opaque = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), opaque)
    return flat.getchannel("R") if grey else flat.convert("RGB")


def _brought_to(picture: "Image", side: int, fit: str, kinds: list[str]) -> "Image":
    """An image of another size as [side, side]: centre and black border as by TensorFlow's resize_with_crop_or_pad."""
    from PIL import Image

    width, height = picture.size
    if fit == "resize":
        kinds.append("resized")
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        # Cropped first: the `box` of Pillow's resize lets pixels beyond it bleed in.
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
