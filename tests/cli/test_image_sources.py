"""Images from every kind of source, with hostile names among them, as a person gives them on the command line."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study import data
from study.data.sources.pools import LABELS, LAYOUTS
from tests.data.test_trees import tarred, zipped

Study = Callable[..., object]
HOSTILE = (b"caf\xe9", b"line\nbreak", b"\x1b[31mred", "bidi\u202e".encode())
"""Names of folders that are not UTF-8, of several lines, or commands to a terminal."""


def png(seed: int, size: int = 16) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    root = tmp_path / os.fsdecode(b"so\xfcrce")
    for seed, name in enumerate(HOSTILE):
        folder = root / os.fsdecode(name)
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / os.fsdecode(b"%d\xff\n.png" % i)).write_bytes(png(10 * seed + i))
        (folder / os.fsdecode(b"!\x1b[2J\xff.png")).write_bytes(b"no image")
        (folder / os.fsdecode(b"\x07\xff.txt")).write_bytes(b"text")
    return str(root)


def test_names_of_any_bytes_are_prepared_listed_and_escaped(study: Study, hostile: str, tmp_path: Path) -> None:
    where = ["--data-dir", tmp_path / "data"]
    made = study("data", "prepare", "mine", "--source", hostile, "--resolution", 16, *where)
    assert made.code == 0, made.err
    listed = study("datasets", *where)
    assert listed.code == 0 and r"of " in listed.out and r"so\udcfcrce" in listed.out
    assert study("data", "verify", "mine", *where).code == 0
    for said in (made.out, listed.out):
        assert all(character.isprintable() or character == "\n" for character in said)
    for line in (
        r"  12 train, 4 test (the last 10 % of each class are the test split)",
        r"  4 classes: \x1b[31mred (4), bidi\u202e (4), caf\udce9 (4), line\nbreak (4); labels from folders",
        r"  passed over 4 files:",
        r"    not an image by its name (.txt): 4 (the first: \x1b[31mred/\x07\udcff.txt)",
        r"  not an image that Pillow can read: 4 (the first: \x1b[31mred/!\x1b[2J\udcff.png)",
    ):
        assert line in made.out.splitlines(), line
    manifest = json.loads((tmp_path / "data" / "mine" / "manifest.json").read_text())
    assert manifest["classes"] == [r"\x1b[31mred", r"bidi\u202e", r"caf\udce9", r"line\nbreak"]


@pytest.mark.parametrize("kind", ["prepare", "evaluate"])
def test_errors_about_such_names_are_one_line(study: Study, hostile: str, tmp_path: Path, kind: str) -> None:
    where = ["--data-dir", tmp_path / "data"]
    if kind == "prepare":
        answer = study("data", "prepare", "mine", "--source", hostile, "--resolution", 16, "--fit", "exact", *where)
        assert answer.code == 0, answer.err
        answer = study("data", "prepare", "other", "--source", f"{hostile}/\n", "--resolution", 16, *where)
    else:
        answer = study("evaluate", "--images", hostile, "--n-fake", 2, "--n-real", 100, *where)
    assert answer.code == 2
    lines = answer.err.strip().splitlines()
    assert all(line.isprintable() for line in lines) and "so\\udcfcrce" in lines[-1]


def test_a_dataset_that_was_prepared_with_such_a_name_before_is_listed(
    study: Study, hostile: str, tmp_path: Path
) -> None:
    data.prepare("mine", hostile, tmp_path / "data", resolution=16)
    path = tmp_path / "data" / "mine" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["declaration"]["description"] = f"images of {hostile}"
    manifest["classes"] = [os.fsdecode(name) for name in HOSTILE]
    path.write_text(json.dumps(manifest))
    listed = study("datasets", "--data-dir", tmp_path / "data")
    assert listed.code == 0 and r"so\udcfcrce" in listed.out


def test_the_plan_comes_before_the_images_are_read(study: Study, tmp_path: Path) -> None:
    for i in range(12):
        for split in ("Train", "VALID", "test"):
            path = tmp_path / "source" / split / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(i, 24))
    options = ["--source", tmp_path / "source", "--resolution", 16, "--data-dir", tmp_path / "data"]
    answer = study("data", "prepare", "mine", *options, "--fit", "exact")
    assert answer.code == 2 and answer.err.startswith("image Train/0.png: 24x24 pixels; must be 16x16")
    assert answer.out.splitlines() == [
        f"mine, from the folder {tmp_path / 'source'}:",
        "  12 train, 12 test (as the source is split)",
        "  no labels",
        "  remark: the validation split of the source, 12 images, is left out",
    ]


def test_the_help_says_what_the_options_take(study: Study) -> None:
    said = " ".join(study("data", "prepare", "--help").out.replace("│", " ").split())
    for kind in ("a folder", "zip or tar archive", ".npz file", "LMDB", "parquet files", "hf://OWNER/NAME"):
        assert kind in said
    assert "|".join(LAYOUTS) in said.replace(" ", "") and "|".join([*LABELS, "FILE"]) in said.replace(" ", "")
    assert "hf://OWNER/NAME" in " ".join(study("evaluate", "--help").out.split())


def in_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def in_parquet(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    pq.write_table(pa.table({"image": list(files.values())}), path / "a.parquet")
    return path


def in_npz(path: Path, files: dict[str, bytes]) -> Path:
    digits = data.load("digits")
    np.savez(path.with_suffix(".npz"), digits.test[:, 0])
    return path.with_suffix(".npz")


SOURCES = {
    "folder": in_folder,
    "zip": lambda path, files: zipped(path.with_suffix(".zip"), files, compression=zipfile.ZIP_DEFLATED),
    "tar.gz": lambda path, files: tarred(path.with_suffix(".tar.gz"), files, "w:gz"),
    "parquet": in_parquet,
    "npz": in_npz,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_images_are_scored_from_every_source_with_sub_folders(study: Study, tmp_path: Path, make: object) -> None:
    from io import BytesIO

    files = {}
    for i, image in enumerate(data.load("digits").test[:, 0]):
        stream = BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        files[f"{i // 100}/{i:03}.png"] = stream.getvalue()
    source = make(tmp_path / "images", files)  # type: ignore[operator]
    answer = study("evaluate", "--images", source, "--data-dir", tmp_path / "data")
    assert answer.code == 0, answer.err
    assert answer.out.startswith(f"{source}: 600 images, FD (classifier) 0.00, ")
    assert answer.err == ""


def test_files_that_are_passed_over_are_counted_when_images_are_scored(study: Study, tmp_path: Path) -> None:
    files = {f"{i}/a.avif": b"" for i in range(3)} | {"notes.txt": b"", "__MACOSX/a.png": b"", "x/.b.png": b""}
    answer = study("evaluate", "--images", in_folder(tmp_path / "images", files), "--data-dir", tmp_path)
    assert "has 3 images, but the protocol needs 600 generated images (3 files are passed over)" in answer.err
    answer = study("evaluate", "--images", "hf://someone/something", "--data-dir", tmp_path)
    assert answer.code == 2 and answer.err.startswith("--images hf://someone/something: ")


@pytest.fixture(autouse=True)
def no_library_of_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # it would ask the network
