"""Preparing a dataset: the bytes that come out, and what is left behind when it fails."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import study
from study.core.errors import InputError
from study.data import get, is_ready, load, prepare, prepared, report_lines, size_on_disk
from study.data.dataset import ImageRecord, Source, Split

NAME = "celeba-hq-128"
N = 20


def fill(folder, seed=0):
    """A folder of N pictures; returns their pixels [N, H, W, C]."""
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(0, 256, (N, 128, 128, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03}.png", compress_level=1)
    return pixels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "source"
    fill(folder)
    return folder


@pytest.fixture
def data(tmp_path, source):
    """A data folder in which the dataset is prepared."""
    prepare(NAME, source, tmp_path / "data")
    return tmp_path / "data"


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


def test_prepared_pixels_are_the_source_pixels_in_order(tmp_path):
    pixels = fill(tmp_path / "source").transpose(0, 3, 1, 2)
    steps = []
    done = prepare(NAME, tmp_path / "source", tmp_path / "data", lambda *step: steps.append(step))
    images = load(NAME, tmp_path / "data")
    np.testing.assert_array_equal(images.train, pixels[:18])
    np.testing.assert_array_equal(images.test, pixels[18:])
    assert images.train_labels is images.test_labels is None
    assert isinstance(images.train, np.memmap) and not images.train.flags.writeable
    assert steps == [("preparing", N, N)]
    assert (done.kept, done.images, done.manifest) == (False, N, images.manifest)
    assert is_ready(NAME, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [NAME]
    assert N * 3 * 128 * 128 < size_on_disk(NAME, tmp_path / "data") < N * 3 * 128 * 128 + 4096


def test_the_hash_follows_the_pixels_and_the_split_not_the_place(tmp_path, source, data):
    fill(tmp_path / "elsewhere")
    fill(tmp_path / "other", seed=1)
    here = load(NAME, data).sha256
    elsewhere = prepare(NAME, tmp_path / "elsewhere", tmp_path / "data 2").manifest
    assert elsewhere["sha256"] == here
    assert elsewhere["source"] != load(NAME, data).manifest["source"]
    assert prepare(NAME, tmp_path / "other", tmp_path / "data 3").manifest["sha256"] != here


def test_the_same_images_again_are_kept_and_others_refused(tmp_path, source, data):
    before = (data / NAME / "train.npy").stat()
    assert prepare(NAME, source, data).kept
    assert (data / NAME / "train.npy").stat().st_ino == before.st_ino
    fill(tmp_path / "other", seed=1)
    ours = load(NAME, data).sha256
    with refused(rf"holds other images \(sha256 {ours}, this source gives [0-9a-f]{{64}}\); remove it"):
        prepare(NAME, tmp_path / "other", data)
    assert load(NAME, data).sha256 == ours
    assert [path.name for path in data.iterdir()] == [NAME]


def cut(folder):
    os.truncate(folder / "train.npy", 1000)


def empty(folder):
    (folder / "test.npy").write_bytes(b"")


def missing(folder):
    (folder / "train.npy").unlink()


def other_count(folder):
    np.save(folder / "test.npy", np.zeros((3, 3, 128, 128), np.uint8))


def other_type(folder):
    np.save(folder / "test.npy", np.zeros((2, 3, 128, 128), np.int8))


def no_json(folder):
    (folder / "manifest.json").write_text('{"format": 1,')


def no_mapping(folder):
    (folder / "manifest.json").write_text("[]")


def tampered(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["train"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def later_format(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))


DAMAGE = [cut, empty, missing, other_count, other_type, no_json, no_mapping, tampered, later_format]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_refused_on_load_and_mended_by_preparing_again(source, data, damage):
    intact = load(NAME, data).sha256
    damage(data / NAME)
    with refused(f"is damaged .*prepare it again: study data prepare {NAME} --source DIR"):
        load(NAME, data)
    assert not is_ready(NAME, data)
    assert not prepare(NAME, source, data).kept
    assert load(NAME, data).sha256 == intact


def test_pixels_changed_in_place_are_found_by_verify_and_mended(source, data):
    with (data / NAME / "train.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with refused("train.npy was changed"):
        prepared.verify(get(NAME), data)
    assert not prepare(NAME, source, data).kept
    prepared.verify(get(NAME), data)


def test_a_declaration_that_no_longer_fits_is_refused(data):
    for change in ({"resolution": 64}, {"channels": 1}, {"labelled": True}):
        with refused("not as celeba-hq-128 declares them"):
            prepared.load(replace(get(NAME), **change), data)


def test_labels_are_kept_beside_the_images(tmp_path):
    labels = {"train": np.array([2, 0, 1]), "test": np.array([1])}
    pixels = {split: np.zeros((len(labels[split]), 8, 8, 1), np.uint8) for split in labels}

    def read(dataset, source):
        pairs = {split: zip(pixels[split], labels[split].tolist(), strict=True) for split in labels}
        records = {split: [ImageRecord(str(label), image, label) for image, label in pairs[split]] for split in pairs}
        return Source(splits={split: Split(n=len(found), records=found) for split, found in records.items()})

    dataset = replace(get("digits"), embedded=None, source=read)
    prepared.prepare(dataset, "", tmp_path / "data")
    images = prepared.verify(dataset, tmp_path / "data")
    np.testing.assert_array_equal(images.train_labels, labels["train"])
    np.testing.assert_array_equal(images.test_labels, labels["test"])
    first = images.sha256
    labels["test"][0] = 2
    assert prepared.prepare(dataset, "", tmp_path / "data 2").manifest["sha256"] != first


def test_a_bad_image_is_left_out_and_named(tmp_path):
    pixels = fill(tmp_path / "source").transpose(0, 3, 1, 2)
    bad = tmp_path / "source" / "003.png"
    bad.write_bytes(bad.read_bytes()[:5000])
    made = prepare(NAME, tmp_path / "source", tmp_path / "data")
    images = prepared.verify(get(NAME), tmp_path / "data")
    np.testing.assert_array_equal(images.train, np.delete(pixels[:18], 3, axis=0))
    np.testing.assert_array_equal(images.test, pixels[18:])
    done = made.manifest["images"]
    assert (done["read"], done["as_stored"], done["left_out"]) == (N, N - 1, {"does not decode": 1})
    assert done["left_out_names"][0]["name"] == "003.png"
    assert "17 train and 2 test images; celeba-hq-128 has 27,000 train and 3,000 test" in made.manifest["remarks"][0]
    lines = "\n".join(report_lines(made.manifest))
    assert "left out 1" in lines and "does not decode: 1 (the first: 003.png)" in lines and "remark: prepared" in lines


def test_a_class_without_a_usable_image_is_named_and_the_others_keep_their_numbers(tmp_path):
    pixels = fill(tmp_path / "source")
    for place, image in enumerate(sorted((tmp_path / "source").iterdir())[:12]):
        folder = tmp_path / "source" / ("cat", "dog", "eel")[place // 4]
        folder.mkdir(exist_ok=True)
        image.rename(folder / image.name)
        if folder.name == "dog":
            (folder / image.name).write_bytes(b"nothing")
    for image in (tmp_path / "source").glob("*.png"):
        image.unlink()
    made = prepare("pets", tmp_path / "source", tmp_path / "data", resolution=128)
    rest = "the classes keep their numbers, and 1 has no image there"
    said = [
        f"class dog: no image in {split} can be used ({n} left out); {rest}" for split, n in (("train", 3), ("test", 1))
    ]
    assert made.manifest["remarks"] == said
    assert [f"remark: {line}" for line in said] == report_lines(made.manifest)[-2:]
    images = load("pets", tmp_path / "data")
    assert (images.train_labels.tolist(), images.test_labels.tolist()) == ([0, 0, 0, 2, 2, 2], [0, 2])
    np.testing.assert_array_equal(images.test[1], pixels[11].transpose(2, 0, 1))


def test_more_bad_images_than_the_manifest_names_are_all_counted(tmp_path):
    fill(tmp_path / "source")
    for i in range(150):
        (tmp_path / "source" / f"000-{i:03}.png").write_bytes(b"nothing")
    done = prepare(NAME, tmp_path / "source", tmp_path / "data").manifest["images"]
    assert done["left_out"] == {"not an image that Pillow can read": 150}
    assert len(done["left_out_names"]) == 100


@pytest.mark.parametrize("bad", [range(N), range(18, N)], ids=["all", "all of the test split"])
def test_where_nothing_is_left_the_preparation_is_refused(tmp_path, bad):
    fill(tmp_path / "source")
    for i in bad:
        (tmp_path / "source" / f"{i:03}.png").write_bytes(b"")
    split = "train" if len(bad) == N else "test"
    with refused(
        rf"no image of the {split} split can be used \({2 if split == 'test' else 18} not an image that Pillow"
    ):
        prepare(NAME, tmp_path / "source", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_duplicates_are_kept_and_counted(tmp_path):
    fill(tmp_path / "source")
    for copy, original in ((1, 0), (2, 0), (19, 0), (18, 7)):
        content = (tmp_path / "source" / f"{original:03}.png").read_bytes()
        (tmp_path / "source" / f"{copy:03}.png").write_bytes(content)
    made = prepare(NAME, tmp_path / "source", tmp_path / "data")
    assert made.manifest["images"]["duplicates"] == {"train": 2, "test": 0, "test also in train": 2}
    assert "2 within train, 0 within test; 2 test images also in train" in "\n".join(report_lines(made.manifest))


def test_an_unusable_source_writes_nothing(tmp_path):
    with refused("no such folder"):
        prepare(NAME, tmp_path / "source", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_preparation_leaves_nothing(tmp_path, source, interrupt):
    def progress(what, done, total):
        if done == N:
            assert (tmp_path / f".{NAME}.partial").exists()
            raise interrupt

    with pytest.raises(interrupt):
        prepare(NAME, source, tmp_path, progress)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from study.data import prepare
prepare(*sys.argv[1:], lambda what, done, total: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_what_a_killed_preparation_left_is_never_served_and_removed_by_the_next(tmp_path, source):
    root = Path(study.__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", KILLED, NAME, str(source), str(tmp_path)], cwd=root, check=False)
    assert run.returncode == -signal.SIGKILL
    assert (tmp_path / f".{NAME}.partial").exists()
    assert not is_ready(NAME, tmp_path)
    prepare(NAME, source, tmp_path)
    assert is_ready(NAME, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_two_preparations_at_once_do_not_meet(tmp_path, source):
    def progress(what, done, total):
        if done == N:
            with refused("another process is preparing"):
                prepare(NAME, source, tmp_path)

    prepare(NAME, source, tmp_path, progress)
    assert is_ready(NAME, tmp_path)


def test_a_folder_of_the_user_in_the_way_is_left_alone(tmp_path):
    fill(tmp_path / NAME)
    with refused("is not a prepared dataset"):
        prepare(NAME, tmp_path / NAME, tmp_path)
    assert len(list((tmp_path / NAME).iterdir())) == N
