"""Folders of images: which files are taken, how they are split, which pixels come out."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from study.data.celeba_hq_128 import DATASET
from study.data.folder import decode, image_files, n_test, open_folder
from study.names import InputError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def saved(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("n", "expected"), [(2, 1), (9, 1), (19, 1), (20, 2), (300, 30), (29_999, 2_999), (30_000, 3_000)]
)
def test_one_image_in_ten_is_a_test_image(n, expected):
    assert n_test(n) == expected


def test_thirty_thousand_files_split_as_in_the_study(monkeypatch, tmp_path):
    files = [tmp_path / f"{i:05}.png" for i in range(30_000)]
    monkeypatch.setattr("study.data.folder.image_files", lambda source: files)
    splits = open_folder(DATASET, tmp_path)
    assert splits["train"].shape == (27_000, 3, 128, 128)
    assert splits["test"].shape == (3_000, 3, 128, 128)
    with pytest.raises(InputError, match=r"27000.png"):
        next(iter(splits["test"].images))


def test_images_in_the_folder_itself_hide_those_below_and_come_sorted(tmp_path):
    touch(tmp_path / "b.PNG", tmp_path / "a10.jpg", tmp_path / "a2.jpeg", tmp_path / "notes.txt", tmp_path / "._a.png")
    touch(tmp_path / "below" / "c.png")
    assert [file.name for file in image_files(tmp_path)] == ["a10.jpg", "a2.jpeg", "b.PNG"]


def test_sub_folders_count_where_the_folder_itself_has_no_images(tmp_path):
    touch(tmp_path / "2" / "a.png", tmp_path / "1" / "b.png", tmp_path / "1" / "deeper" / "c.png")
    touch(tmp_path / ".cache" / "d.png", tmp_path / "README.md")
    assert [file.relative_to(tmp_path).as_posix() for file in image_files(tmp_path)] == ["1/b.png", "2/a.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: path.mkdir(), r"no images in it or its sub-folders; .*\.jpg \.png"),
        (lambda path: touch(path / "a.gif"), "no images in it"),
        (lambda path: touch(path / "a.png"), "holds one image"),
    ],
    ids=["missing", "file", "empty", "other files", "one image"],
)
def test_unusable_source(tmp_path, make, message):
    source = tmp_path / "source"
    make(source)
    with pytest.raises(InputError, match=rf"^--source {re.escape(str(source))}: .*{message}") as error:
        open_folder(DATASET, source)
    assert "\n" not in str(error.value)


def test_unreadable_source(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("study.data.folder.os.scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        image_files(tmp_path)


def palette():
    return Image.fromarray(GREY // 16 * 16).convert("RGB").quantize(16)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(RGB), RGB),
        (Image.fromarray(GREY), np.stack([GREY] * 3, axis=-1)),
        (palette(), np.asarray(palette().convert("RGB"))),
        (Image.fromarray(GREY > 127), np.stack([(GREY > 127) * np.uint8(255)] * 3, axis=-1)),
    ],
    ids=["RGB", "grey", "palette", "bilevel"],
)
def test_decoding_is_lossless(tmp_path, picture, expected):
    pixels = decode(saved(tmp_path / "a.png", picture), resolution=128, channels=3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected.transpose(2, 0, 1))


def test_grey_keeps_one_channel_where_one_is_asked_for(tmp_path):
    pixels = decode(saved(tmp_path / "a.png", Image.fromarray(GREY)), resolution=128, channels=1)
    np.testing.assert_array_equal(pixels, GREY[None])


def black_png(path, *, size, bits):
    """An RGB PNG that claims to be `size` pixels square; Pillow itself writes neither 16-bit RGB nor lies."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, bits, 2, 0, 0, 0)
    rows = zlib.compress(bytes(128 * (1 + 128 * 6)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def cut(path):
    data = saved(path, Image.fromarray(RGB)).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flipped(path):
    data = bytearray(saved(path, Image.fromarray(RGB)).read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


BAD = {
    "empty": (lambda path: path.write_bytes(b""), "no image that Pillow knows"),
    "text": (lambda path: path.write_text("not an image"), "no image that Pillow knows"),
    "missing": (lambda path: None, "does not decode"),
    "folder": (lambda path: path.mkdir(), "does not decode"),
    "cut short": (cut, "does not decode"),
    "flipped bit": (flipped, "does not decode"),
    "small": (lambda path: saved(path, Image.new("RGB", (64, 128))), "64x128 pixels; must be 128x128"),
    "huge": (lambda path: black_png(path, size=20_000, bits=8), r"does not decode \(Image size .* exceeds limit"),
    "RGBA": (lambda path: saved(path, Image.new("RGBA", (128, 128))), "transparency"),
    "grey with alpha": (lambda path: saved(path, Image.new("LA", (128, 128))), "transparency"),
    "palette with alpha": (lambda path: saved(path, palette(), transparency=0), "transparency"),
    "16-bit grey": (lambda path: saved(path, Image.new("I;16", (128, 128))), "is I;16"),
    "16-bit RGB": (lambda path: black_png(path, size=128, bits=16), "is RGB of 16 bits"),
    "CMYK": (lambda path: saved(path, Image.new("CMYK", (128, 128)), format="JPEG"), "is CMYK"),
    "animated": (
        lambda path: saved(path, Image.fromarray(RGB), save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "is animated",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_an_image_that_would_lose_something_is_refused_by_name(tmp_path, make, message):
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(InputError, match=rf"^image {re.escape(str(path))}: .*{message}") as error:
        decode(path, resolution=128, channels=3)
    assert "\n" not in str(error.value)


def test_colour_is_refused_where_one_channel_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="is RGB; must be 8-bit grey"):
        decode(saved(tmp_path / "a.png", Image.fromarray(RGB)), resolution=128, channels=1)
