"""Folders of images: which files are taken, in which order, and how their layout makes splits and classes."""

import re

import pytest

from study.core.errors import InputError
from study.data.datasets.celeba_hq_128 import DATASET
from study.data.sources.folder import image_files, listing, n_test, open_folder


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


@pytest.mark.parametrize(
    ("n", "fraction", "expected"),
    [
        *[(2, 0.1, 1), (9, 0.1, 1), (19, 0.1, 1), (20, 0.1, 2), (29_999, 0.1, 2_999), (30_000, 0.1, 3_000)],
        *[(3_033_042, 0.01, 30_330), (100, 0.29, 29), (50, 0.01, 1)],
    ],
)
def test_the_test_split_is_the_fraction_rounded_down(n, fraction, expected):
    assert n_test(n, fraction) == expected


def test_thirty_thousand_files_split_as_in_the_study(monkeypatch, tmp_path):
    files = [f"{i:05}.png" for i in range(30_000)]
    monkeypatch.setattr("study.data.sources.folder.image_files", lambda source: files)
    splits = open_folder(DATASET, str(tmp_path)).splits
    assert (splits["train"].n, splits["test"].n) == (27_000, 3_000)
    assert [record.name for record in splits["train"].records] == files[:27_000]
    assert [record.name for record in splits["test"].records] == files[27_000:]


def test_files_at_any_depth_come_sorted_and_hidden_ones_do_not_come(tmp_path):
    touch(tmp_path / "b.PNG", tmp_path / "a10.jpg", tmp_path / "a2.jpeg", tmp_path / "notes.txt", tmp_path / "._a.png")
    touch(tmp_path / "below" / "deeper" / "c.webp", tmp_path / ".cache" / "d.png")
    assert image_files(str(tmp_path)) == ["a10.jpg", "a2.jpeg", "b.PNG", "below/deeper/c.webp"]


def test_a_link_that_leads_back_ends(tmp_path):
    touch(tmp_path / "a" / "b.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "z.png").symlink_to(tmp_path / "gone.png")
    assert image_files(str(tmp_path)) == ["a/b.png", "z.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: path.mkdir(), r"no images in it or its sub-folders; .*\.jpg \.png"),
        (lambda path: touch(path / "a.svg"), "no images in it"),
        (lambda path: touch(path / "a.png"), "holds 1 image;"),
    ],
    ids=["missing", "file", "empty", "other files", "one image"],
)
def test_unusable_source(tmp_path, make, message):
    source = tmp_path / "source"
    make(source)
    with refused(rf"^--source {re.escape(str(source))}: .*{message}"):
        open_folder(DATASET, str(source))


def test_unreadable_source(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("study.data.sources.folder.os.scandir", refuse)
    with refused(r"cannot be read \(Permission denied\)"):
        image_files(str(tmp_path))


def test_the_last_images_are_the_test_split(tmp_path):
    touch(*(tmp_path / f"{i}.png" for i in range(10)))
    found = listing(str(tmp_path), 0.3)
    assert [name for name, _ in found.splits["test"]] == ["7.png", "8.png", "9.png"]
    assert (len(found.splits["train"]), found.classes, found.given) == (7, (), False)
    assert len(listing(str(tmp_path), None).splits["test"]) == 1


def test_sub_folders_are_classes_and_each_is_split(tmp_path):
    touch(*(tmp_path / "dog" / f"{i}.png" for i in range(4)), *(tmp_path / "cat" / "x" / f"{i}.png" for i in range(20)))
    found = listing(str(tmp_path), 0.25)
    assert found.classes == ("cat", "dog")
    assert found.splits["test"] == [(f"cat/x/{i}.png", 0) for i in (5, 6, 7, 8, 9)] + [("dog/3.png", 1)]
    assert sorted(label for _, label in found.splits["train"]) == [0] * 15 + [1] * 3


def test_one_sub_folder_is_no_class(tmp_path):
    touch(*(tmp_path / "img_align" / f"{i}.png" for i in range(4)))
    assert listing(str(tmp_path), None).classes == ()


def test_train_and_test_folders_are_the_splits(tmp_path):
    for split in ("train", "test"):
        touch(*(tmp_path / split / name / "a.png" for name in ("cat", "dog")))
    found = listing(str(tmp_path), None)
    assert found.given and found.classes == ("cat", "dog")
    assert found.splits["test"] == [("test/cat/a.png", 0), ("test/dog/a.png", 1)]
    with refused(r"--test-fraction 0.2: .* has its own train and test folders"):
        listing(str(tmp_path), 0.2)


BAD_LAYOUTS = {
    "loose": (("a.png", "cat/b.png", "dog/c.png"), r"1 images are outside of the class folders \(cat, ...\)"),
    "single": (("cat/a.png", "cat/b.png", "dog/c.png"), "class dog has one image"),
    "empty split": (("train/a.png", "test/readme.txt"), "/test: no images in it"),
    "beside": (("train/a.png", "test/a.png", "val/a.png"), "val is outside of its train and test folders"),
    "unlike": (
        ("train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/eel/a.png"),
        r"different classes \(dog\)",
    ),
    "half labelled": (("train/cat/a.png", "train/dog/a.png", "test/a.png"), r"different classes \(cat\)"),
}


@pytest.mark.parametrize(("files", "message"), BAD_LAYOUTS.values(), ids=BAD_LAYOUTS)
def test_a_layout_that_leaves_labels_or_splits_open_is_refused(tmp_path, files, message):
    touch(*(tmp_path / name for name in files))
    with refused(message):
        listing(str(tmp_path), None)
