"""Folders, zip and tar archives: which files are images, in which order, and what is said of all others."""

import io
import os
import re
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from study.core.errors import InputError
from study.data.dataset import Unreadable
from study.data.sources.trees import archives
from study.data.sources.trees.archives import TarTree, ZipTree
from study.data.sources.trees.folder import FolderTree
from study.data.sources.trees.tree import image_suffixes

from .pictures import noise, png_bytes

FILES = {
    "b.PNG": b"b",
    "a10.jpg": b"a10",
    "a2.jpeg": b"a2",
    "below/deeper/c.webp": b"c",
    "below/deeper/d.avif": b"d",
    "notes.txt": b"x",
    "Thumbs.db": b"x",
    "README": b"x",
    "._a.png": b"x",
    ".cache/d.png": b"x",
    "__MACOSX/b.PNG": b"x",
}
IMAGES = ["a10.jpg", "a2.jpeg", "b.PNG", "below/deeper/c.webp", "below/deeper/d.avif"]
PASSED_OVER = {
    "hidden": (2, "._a.png"),
    "metadata of macOS (__MACOSX)": (1, "__MACOSX/b.PNG"),
    "not an image by its name (.txt)": (1, "notes.txt"),
    "not an image by its name (.db)": (1, "Thumbs.db"),
    "not an image by its name (no suffix)": (1, "README"),
}


def in_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return FolderTree(str(path))


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def in_zip(path, files):
    return ZipTree(str(zipped(path, files, compression=zipfile.ZIP_DEFLATED)))


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def in_tar(mode):
    return lambda path, files: TarTree(str(tarred(path, files, mode)))


MAKERS = {
    "folder": in_folder,
    "zip": in_zip,
    "tar": in_tar("w"),
    "tar.gz": in_tar("w:gz"),
    "tar.bz2": in_tar("w:bz2"),
    "tar.xz": in_tar("w:xz"),
}


def counted(tree):
    return {reason: (n, tree.passed_over.first[reason]) for reason, n in tree.pass_over().counts.items()}


def contents(tree, names):
    return [data if isinstance(data, bytes) else Path(data).read_bytes() for _, data in tree.read(names)]


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_images_come_sorted_and_each_other_file_is_counted(tmp_path, make):
    tree = make(tmp_path / "source", FILES)
    assert tree.images == IMAGES
    assert counted(tree) == PASSED_OVER
    assert contents(tree, tree.images) == [FILES[name] for name in IMAGES]


@pytest.mark.parametrize("buffer", [1, 5, 1 << 20])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_any_order_of_names_is_served(tmp_path, make, buffer, monkeypatch):
    monkeypatch.setattr(archives, "TAR_BUFFER", buffer)
    files = {f"{i * 7 % 20:02}.png": bytes([i]) * (i % 4 + 1) for i in range(20)}
    tree = make(tmp_path / "source", files)
    for names in (tree.images, tree.images[::-1], tree.images[3:9]):
        assert [name for name, _ in tree.read(names)] == names
        assert contents(tree, names) == [files[name] for name in names]


def test_every_format_that_pillow_writes_and_reads_is_an_image_by_its_name(tmp_path):
    picture = Image.new("RGB", (16, 16))
    written = set()
    for suffix, name in Image.registered_extensions().items():
        if name in Image.OPEN and name in Image.SAVE and name not in ("BUFR", "GRIB", "HDF5", "WMF", "EPS"):
            mode = {"XBM": "1", "MSP": "1", "BLP": "P"}.get(name, "RGB")
            picture.convert(mode).save(tmp_path / f"a{suffix}")
            written.add(f"a{suffix}")
    tree = FolderTree(str(tmp_path))
    assert set(tree.images) == written and len(written) > 40
    assert {".avif", ".jfif", ".jp2", ".qoi", ".tga", ".gif", ".pgm"} <= image_suffixes()
    assert not {".h5", ".mpg", ".eps", ".grib", ".pdf", ".txt", ".json"} & image_suffixes()


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "z.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a" / "b.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.png"))
    tree = FolderTree(str(tmp_path))
    assert tree.images == ["a/b.png", "circle.png", "link.png", "z.png"]
    assert tree.passed_over.counts == {"not a regular file": 3, "a link to a folder that is read already": 1}


def test_unreadable_folder(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("study.data.sources.trees.folder.os.scandir", refuse)
    with refused(r"cannot be read \(Permission denied\)"):
        FolderTree(str(tmp_path))


def test_names_in_archives_are_names_only(tmp_path):
    files = {"/abs.png": b"1", "../../up.png": b"2", "./here/a.png": b"3", "win\\dows\\b.png": b"4"}
    assert in_zip(tmp_path / "z", files).images == ["abs.png", "here/a.png", "up.png", "win/dows/b.png"]
    tree = in_tar("w")(tmp_path / "t", files)
    assert tree.images == ["abs.png", "here/a.png", "up.png", "win\\dows\\b.png"]
    assert contents(tree, ["up.png"]) == [b"2"] and not (tmp_path.parent / "up.png").exists()


def test_links_and_repeated_names_in_a_tar(tmp_path):
    path = tarred(tmp_path / "t.tar", {"x/a.png": b"old", "./x/a.png": b"new!"})
    with tarfile.open(path, "a") as archive:
        for name, kind, target in (
            ("x/hard.png", tarfile.LNKTYPE, "x/a.png"),
            ("y/soft.png", tarfile.SYMTYPE, "../x/a.png"),
            ("y/gone.png", tarfile.SYMTYPE, "nowhere.png"),
            ("pipe.png", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    tree = TarTree(str(path))
    assert tree.images == ["x/a.png", "x/hard.png", "y/soft.png"]
    assert contents(tree, tree.images) == [b"new!"] * 3
    assert counted(tree) == {
        "an earlier file of the same name in the archive": (1, "x/a.png"),
        "a link to a file that is not in the archive": (1, "y/gone.png"),
        "not a regular file": (1, "pipe.png"),
    }


def test_one_damaged_member_of_a_zip_is_named_and_costs_no_other(tmp_path):
    images = {f"{i}.png": png_bytes(noise((16, 16), i)) for i in range(5)}
    path = zipped(tmp_path / "a.zip", images)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        content[archive.getinfo("3.png").header_offset + 100] ^= 1
    path.write_bytes(content)
    found = dict(ZipTree(str(path)).read([*images]))
    assert [name for name, data in found.items() if isinstance(data, Unreadable)] == ["3.png"]
    assert "3.png" in found["3.png"].detail


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda path: zipped(path, {"a.png": b"x" * 1000}), "a.zip"),
        (lambda path: tarred(path, {"a.png": os.urandom(100_000)}), "a.tar"),
        (lambda path: tarred(path, {"a.png": os.urandom(100_000)}, "w:gz"), "a.tar.gz"),
        (lambda path: tarred(path, {"a.png": os.urandom(100_000)}, "w:xz"), "a.tar.xz"),
    ],
)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_archive(tmp_path, make, name, keep):
    path = make(tmp_path / name)
    if name == "a.tar" and keep == 0.99:
        keep = 0.9  # the last hundredth of a tar is only padding
    os.truncate(path, int(path.stat().st_size * keep))
    kind = "zip" if name == "a.zip" else "tar"
    with refused(rf"--source {re.escape(str(path))}: not a readable {kind} archive \(.+\); download or make it again"):
        (ZipTree if kind == "zip" else TarTree)(str(path))
