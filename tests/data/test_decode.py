"""What becomes of an image file: the pixels that come out, what is said of them, and what is left out."""

import numpy as np
import pytest
from PIL import Image

from study.core.errors import InputError
from study.data.dataset import Unreadable
from study.data.decoding.image import TREATMENTS, Target, decode

from .pictures import cut, flipped, noise, png_16_bit, raw_png, saved

RGB = noise()
GREY = noise(channels=1)
RGBA = noise(channels=4)
EXACT = Target(128, 3, "exact")


def pixels_of(decoded, channels=3):
    assert decoded.reason == ""
    side = round((len(decoded.pixels) / channels) ** 0.5)
    return np.frombuffer(decoded.pixels, np.uint8).reshape(channels, side, side).transpose(1, 2, 0)


def palette():
    return Image.fromarray(GREY // 16 * 16).convert("RGB").quantize(16)


def over_white(pixels, alpha):
    return np.round(pixels * (alpha / 255) + 255 * (1 - alpha / 255))


def thrice(grey):
    return np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize(
    ("picture", "expected", "kinds"),
    [
        (Image.fromarray(RGB), RGB, ()),
        (Image.fromarray(GREY), thrice(GREY), ("grey",)),
        (palette(), np.asarray(palette().convert("RGB")), ("palette",)),
        (Image.fromarray(GREY > 127), thrice((GREY > 127) * np.uint8(255)), ("grey",)),
        (Image.fromarray(GREY.astype(np.uint16) * 256 + 255), thrice(GREY), ("16-bit", "grey")),
        (Image.fromarray(np.dstack([RGB, np.full_like(GREY, 255)])), RGB, ("alpha",)),
    ],
    ids=["RGB", "grey", "palette", "bilevel", "16-bit grey", "opaque alpha"],
)
def test_what_can_be_kept_is_kept_to_the_bit(tmp_path, picture, expected, kinds):
    decoded = decode("a", str(saved(tmp_path / "a.png", picture)), EXACT)
    np.testing.assert_array_equal(pixels_of(decoded), expected)
    assert decoded.kinds == kinds and set(kinds) <= set(TREATMENTS)


def test_transparency_is_laid_over_white(tmp_path):
    decoded = decode("a", str(saved(tmp_path / "a.png", Image.fromarray(RGBA))), EXACT)
    np.testing.assert_allclose(pixels_of(decoded), over_white(RGBA[..., :3], RGBA[..., 3:]), atol=1)
    assert decoded.kinds == ("alpha",)


def test_grey_with_transparency_stays_grey(tmp_path):
    grey = Image.merge("LA", [Image.fromarray(RGBA[..., 0]), Image.fromarray(RGBA[..., 3])])
    path = str(saved(tmp_path / "a.png", grey))
    one = decode("a", path, Target(128, 1, "exact"))
    np.testing.assert_allclose(pixels_of(one, 1)[..., 0], over_white(RGBA[..., 0], RGBA[..., 3]), atol=1)
    assert one.kinds == ("alpha",)
    three = decode("a", path, EXACT)
    np.testing.assert_array_equal(pixels_of(three), np.repeat(pixels_of(one, 1), 3, axis=2))
    assert three.kinds == ("alpha", "grey")


def test_a_transparent_palette_entry_becomes_white(tmp_path):
    picture = palette()
    index = np.asarray(picture)
    decoded = decode("a", str(saved(tmp_path / "a.png", picture, transparency=3)), EXACT)
    expected = np.where(index[..., None] == 3, 255, np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(pixels_of(decoded), expected)
    assert decoded.kinds == ("palette", "alpha")


def test_of_16_bits_the_high_byte_is_kept(tmp_path):
    png_16_bit(tmp_path / "a.png", RGB.astype(np.uint16) * 256 + 255)
    decoded = decode("a", str(tmp_path / "a.png"), EXACT)
    np.testing.assert_array_equal(pixels_of(decoded), RGB)
    assert decoded.kinds == ("16-bit",)


def test_cmyk_and_animations(tmp_path):
    cmyk = Image.fromarray(noise((128, 128), 1, 4), mode="CMYK")
    decoded = decode("a", str(saved(tmp_path / "a.tif", cmyk)), EXACT)
    np.testing.assert_array_equal(pixels_of(decoded), np.asarray(cmyk.convert("RGB")))
    assert decoded.kinds == ("CMYK",)
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    path = saved(tmp_path / "b.png", frames[0], save_all=True, append_images=frames[1:])
    decoded = decode("b", str(path), EXACT)
    np.testing.assert_array_equal(pixels_of(decoded), RGB)
    assert decoded.kinds == ("animated",)


def test_grey_keeps_one_channel_where_one_is_asked_for(tmp_path):
    path = str(saved(tmp_path / "a.png", Image.fromarray(GREY)))
    decoded = decode("a", path, Target(128, 1, "exact"))
    np.testing.assert_array_equal(pixels_of(decoded, 1)[..., 0], GREY)
    assert decoded.kinds == ()


BAD = {
    "empty": (lambda path: path.write_bytes(b""), "not an image that Pillow can read"),
    "text": (lambda path: path.write_text("not an image"), "not an image that Pillow can read"),
    "missing": (lambda path: None, "cannot be read"),
    "folder": (lambda path: path.mkdir(), "cannot be read"),
    "cut short": (cut, "does not decode"),
    "flipped bit": (flipped, "does not decode"),
    "huge": (lambda path: raw_png(path, (20_000, 20_000), 8, b""), "too large to decode safely"),
    "float": (
        lambda path: saved(path, Image.fromarray(GREY.astype(np.float32)), format="TIFF"),
        "without a unique conversion",
    ),
}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_left_out_with_a_reason(tmp_path, make, reason):
    path = tmp_path / "bad.png"
    make(path)
    decoded = decode("bad", str(path), EXACT)
    assert decoded.pixels == b"" and reason in decoded.reason
    assert "\n" not in decoded.reason + decoded.detail


def test_colour_is_left_out_where_one_channel_is_asked_for(tmp_path):
    path = str(saved(tmp_path / "a.png", Image.fromarray(RGB)))
    assert "colour" in decode("a", path, Target(128, 1, "exact")).reason


def test_another_size_stops_an_exact_fit_by_name(tmp_path):
    path = str(saved(tmp_path / "a.png", Image.new("RGB", (64, 128))))
    with pytest.raises(InputError, match=r"^image faces/a.png: 64x128 pixels; must be 128x128: .*$"):
        decode("faces/a.png", path, EXACT)


def tensorflow_crop_or_pad(image, side):
    """tf.image.resize_with_crop_or_pad, by its definition: offsets are half the difference, rounded down."""
    height, width, _ = image.shape
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    image = image[top : top + min(side, height), left : left + min(side, width)]
    out = np.zeros((side, side, 3), np.uint8)
    top, left = max(side - height, 0) // 2, max(side - width, 0) // 2
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out


@pytest.mark.parametrize(
    ("size", "kind"), [((200, 151), "cropped"), ((67, 50), "padded"), ((301, 63), "padded"), ((128, 129), "cropped")]
)
def test_crop_and_pad_are_tensorflows_and_never_rescale(size, kind):
    image = noise(size)
    decoded = decode("a", image, Target(128, 3, "pad"))
    np.testing.assert_array_equal(pixels_of(decoded), tensorflow_crop_or_pad(image, 128))
    assert decoded.kinds == (kind,)
    cropped = decode("a", image, Target(128, 3, "crop"))
    assert (cropped == decoded) if kind == "cropped" else ("smaller than 128 px" in cropped.reason)


def test_resize_takes_the_centre_square():
    image = np.zeros((50, 100, 3), np.uint8)
    image[:, :25] = image[:, 75:] = 255  # none of this is in the centre
    decoded = decode("a", image, Target(32, 3, "resize"))
    assert pixels_of(decoded).max() == 0 and decoded.kinds == ("resized",)
    flat = decode("a", np.full((20, 20, 1), 77, np.uint8), Target(32, 1, "resize"))
    assert set(flat.pixels) == {77}
    same = decode("a", RGB, Target(128, 3, "resize"))
    np.testing.assert_array_equal(pixels_of(same), RGB)
    assert same.kinds == ()


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by the value of the EXIF tag (CIPA DC-008, section 4.6.4)."""


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [*TURNS, 0, 9])
def test_an_image_is_turned_upright_as_its_exif_says(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(noise((60, 40)))
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", stored, exif=exif, **lossless)
    turn = TURNS.get(orientation)
    upright = stored if turn is None else stored.transpose(turn)
    decoded = decode("a", str(path), Target(64, 3, "pad"))
    np.testing.assert_array_equal(pixels_of(decoded), tensorflow_crop_or_pad(np.asarray(upright), 64))
    assert decoded.kinds == (("padded",) if turn is None else ("rotated", "padded"))


def test_the_size_of_an_exact_fit_is_that_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", Image.fromarray(noise((64, 32))), exif=exif)
    with pytest.raises(InputError, match="image a: 32x64 pixels"):
        decode("a", str(path), Target(64, 3, "exact"))


def test_damaged_exif_costs_no_image(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(noise((16, 16))), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode("a", str(path), Target(16, 3, "exact")).reason == ""


def test_what_an_archive_cannot_hand_out_is_left_out():
    decoded = decode("a", Unreadable("Bad CRC-32"), EXACT)
    assert (decoded.reason, decoded.detail) == ("cannot be read", "Bad CRC-32")
