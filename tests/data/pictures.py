"""Image files of every kind, as they are found in folders of people's own; made by the tests."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(size=(128, 128), seed=0, channels=3):
    """Pixels uint8 [H, W, channels], or [H, W] for one."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def saved(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def png_bytes(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def png_16_bit(path, pixels):
    """Writes uint16 [H, W, 3] as an RGB PNG of 16 bits, which Pillow does not."""
    height, width, _ = pixels.shape
    raw_png(path, (width, height), 16, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))


def raw_png(path, size, bits, rows):
    """An RGB PNG with this header, whatever its rows are."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size, bits, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def cut(path, seed=0):
    """A PNG that ends half way."""
    data = saved(path, Image.fromarray(noise(seed=seed))).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flipped(path, seed=0):
    """A PNG with one wrong byte."""
    data = bytearray(saved(path, Image.fromarray(noise(seed=seed))).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _grey(path, size, seed):
    saved(path.with_suffix(".png"), Image.fromarray(noise(size, seed, 1)))


def _jpeg(path, size, seed):
    saved(path.with_suffix(".JPG"), Image.fromarray(noise(size, seed)), quality=90)


def _rgb(path, size, seed):
    saved(path.with_suffix(".png"), Image.fromarray(noise(size, seed)), compress_level=1)


def _alpha(path, size, seed):
    saved(path.with_suffix(".png"), Image.fromarray(noise(size, seed, 4)))


def _webp(path, size, seed):
    saved(path.with_suffix(".webp"), Image.fromarray(noise(size, seed)), lossless=True)


def _palette(path, size, seed):
    saved(path.with_suffix(".png"), Image.fromarray(noise(size, seed)).quantize(32))


def _cmyk(path, size, seed):
    saved(path.with_suffix(".jpeg"), Image.fromarray(noise(size, seed)).convert("CMYK"))


def _grey_16(path, size, seed):
    saved(path.with_suffix(".png"), Image.fromarray(noise(size, seed, 1).astype(np.uint16) * 257 + seed % 2))


def _rgb_16(path, size, seed):
    png_16_bit(path.with_suffix(".png"), noise(size, seed).astype(np.uint16) * 256 + 7)


def _gif(path, size, seed):
    frames = [Image.fromarray(noise(size, seed + i)).quantize(64) for i in range(3)]
    saved(path.with_suffix(".gif"), frames[0], save_all=True, append_images=frames[1:])


def _corrupt(path, size, seed):
    (cut, flipped)[seed % 2](path.with_suffix(".png"), seed)


def _tiny(path, size, seed):
    saved(path.with_suffix(".bmp"), Image.fromarray(noise((9 + seed % 20, 15), seed)))


def _float(path, size, seed):
    saved(path.with_suffix(".tiff"), Image.fromarray(noise(size, seed, 1).astype(np.float32)))


def _text(path, size, seed):
    path.with_suffix(".jpg").write_text("<html>404 Not Found</html>")


def _avif(path, size, seed):
    saved(path.with_suffix(".avif"), Image.fromarray(noise(size, seed)), speed=10)


def _rotated(path, size, seed):
    exif = Image.Exif()
    exif[0x0112] = 2 + seed % 7
    saved(path.with_suffix(".jpg"), Image.fromarray(noise(size, seed)), exif=exif)


def _empty(path, size, seed):
    path.with_suffix(".png").write_bytes(b"")


def _hidden(path, size, seed):
    path.with_name(f".{path.name}.png").write_bytes(b"")


def _beside(path, size, seed):
    path.with_suffix(".txt").write_text("no image, by its name")


KINDS = {
    "rgb": _rgb,
    "jpeg": _jpeg,
    "webp": _webp,
    "grey": _grey,
    "alpha": _alpha,
    "palette": _palette,
    "cmyk": _cmyk,
    "grey-16": _grey_16,
    "rgb-16": _rgb_16,
    "gif": _gif,
    "corrupt": _corrupt,
    "tiny": _tiny,
    "float": _float,
    "text": _text,
    "beside": _beside,
    "avif": _avif,
    "rotated": _rotated,
    "empty": _empty,
    "hidden": _hidden,
}


def mixed_folder(folder: Path, n: int) -> dict[str, int]:
    """Fills `folder` with `n` files of all KINDS in turn, of sizes around 64 px; returns how many of each."""
    folder.mkdir(parents=True)
    counts = dict.fromkeys(KINDS, 0)
    for i in range(n):
        kind = list(KINDS)[i % len(KINDS)]
        size = (64, 64) if i % 4 == 0 else (64 + i % 37, 64 + i % 23)
        KINDS[kind](folder / f"{kind}-{i:04}", size, i)
        counts[kind] += 1
    return counts
