"""What the names of folders and files say: splits, classes and labels; what can be read in two ways is refused."""

import csv
import json
import re

import pytest

from study.core.errors import InputError
from study.data.datasets.celeba_hq_128 import DATASET
from study.data.sources.opening import open_source, open_study
from study.data.sources.pools import n_test, split_of, two_splits

from .test_trees import refused, tarred, zipped


def files(folder, *names, **contents):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents.get(name, b""))
    return folder


def several(pattern, n=4):
    return [pattern.format(i) for i in range(n)]


def names(opened, split="all"):
    pool = opened.pools[split]
    return [name for name, _ in pool.read(range(pool.n))]


def read_as(opened):
    """The number of images of each split, the classes and the labels."""
    return {split: pool.n for split, pool in opened.pools.items()}, list(opened.classes)


@pytest.mark.parametrize(
    ("n", "fraction", "expected"),
    [
        *[(2, 0.1, 1), (9, 0.1, 1), (19, 0.1, 1), (20, 0.1, 2), (29_999, 0.1, 2_999), (30_000, 0.1, 3_000)],
        *[(3_033_042, 0.01, 30_330), (100, 0.29, 29), (50, 0.01, 1)],
    ],
)
def test_the_test_split_is_the_fraction_rounded_down(n, fraction, expected):
    assert n_test(n, fraction) == expected


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            (name, "train")
            for name in ("train", "TRAIN", "Training", "train2017", "seg_train", "trainA", "TrainingSet")
        ],
        *[(name, "validation") for name in ("val", "Valid", "VALIDATION", "val2017", "validation-00000-of-00001")],
        *[(name, "test") for name in ("test", "Testing", "test1", "images_test", "testset")],
        *[(name, None) for name in ("cat", "strain", "latest", "invalid", "contest", "00000", "train_test", "")],
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


def test_thirty_thousand_files_split_as_in_the_study(monkeypatch, tmp_path):
    listed = [f"{i:05}.png" for i in range(30_000)]
    monkeypatch.setattr("study.data.sources.trees.folder._walk", lambda source, passed_over: iter(listed))
    splits = open_study(DATASET, str(tmp_path)).splits
    assert (splits["train"].n, splits["test"].n) == (27_000, 3_000)
    assert [record.name for record in splits["train"].records] == listed[:27_000]
    assert [record.name for record in splits["test"].records] == listed[27_000:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text("x"), "is a file of another kind; must be a folder, a zip"),
        (lambda path: path.mkdir(), r"no images in it or its sub-folders \(it is empty\)"),
        (lambda path: files(path, "a.svg", "b.txt", "c.txt"), r"passed over: 2 not an image by its name \(.txt\), 1 "),
        (lambda path: files(path, "b/data.npz"), r"no images in it, but b/data.npz; unpack that, or give it alone"),
        (lambda path: files(path, "a.png"), "holds 1 image;"),
    ],
    ids=["missing", "file", "empty", "other files", "other archive", "one image"],
)
def test_unusable_source(tmp_path, make, message):
    source = tmp_path / "source"
    make(source)
    with refused(rf"^--source {re.escape(str(source))}: .*{message}"):
        open_study(DATASET, str(source))


def test_the_last_images_are_the_test_split(tmp_path):
    opened = open_source(str(files(tmp_path, *several("{}.png", 10))))
    assert read_as(opened) == ({"all": 10}, [])
    split = two_splits(opened, 0.3)
    assert [record.name for record in split.splits["test"].records] == ["7.png", "8.png", "9.png"]
    assert split.rule == "the last 30 % are the test split"


def test_sub_folders_are_classes_and_each_is_split(tmp_path):
    files(tmp_path, *several("dog/{}.png"), *several("cat/x/{}.png", 20))
    opened = open_source(str(tmp_path))
    assert opened.classes == ("cat", "dog")
    splits = two_splits(opened, 0.25)
    test = [(record.name, record.label) for record in splits.splits["test"].records]
    assert test == [(f"cat/x/{i}.png", 0) for i in (5, 6, 7, 8, 9)] + [("dog/3.png", 1)]
    assert sorted(record.label for record in splits.splits["train"].records) == [0] * 15 + [1] * 3
    assert splits.class_sizes == {"cat": 20, "dog": 4}


def test_classes_whose_names_begin_alike_keep_the_order_of_their_names(tmp_path):
    files(tmp_path, *several("a/{}.png", 2), *several("a-b/{}.png", 2))
    assert names(open_source(str(tmp_path))) == ["a/0.png", "a/1.png", "a-b/0.png", "a-b/1.png"]


PETS = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(2)]
UNDERSTOOD = {
    "one folder is no class": (several("img_align/{}.png"), {"all": 4}, []),
    "nested single folders": (several("a/a/b/{}.png"), {"all": 4}, []),
    "classes below single folders, as Kaggle packs them": (
        [f"pets/pets/{name}" for name in PETS],
        {"all": 4},
        ["cat", "dog"],
    ),
    "train and test": (["train/a.png", "test/a.png"], {"train": 1, "test": 1}, []),
    "any case": (["Train/a.png", "TEST/a.png"], {"train": 1, "test": 1}, []),
    "validation": (["training/a.png", "Validation/a.png"], {"train": 1, "validation": 1}, []),
    "three": (["train/a.png", "valid/a.png", "test/a.png"], {"train": 1, "validation": 1, "test": 1}, []),
    "with classes": (
        [f"{s}/{name}" for s in ("train", "val") for name in PETS],
        {"train": 4, "validation": 4},
        ["cat", "dog"],
    ),
    "wrapped": ([f"k/{s}/{name}" for s in ("train", "test") for name in PETS], {"train": 4, "test": 4}, ["cat", "dog"]),
    "wrapped twice": (
        [f"seg_{s}/seg_{s}/{n}" for s in ("train", "test") for n in PETS],
        {"train": 4, "test": 4},
        ["cat", "dog"],
    ),
    "COCO": (["train2017/a.png", "val2017/a.png"], {"train": 1, "validation": 1}, []),
    "YOLO": (["images/train/a.png", "images/val/a.png", "labels/train/a.txt"], {"train": 1, "validation": 1}, []),
    "only a train folder": (several("train/{}.png"), {"all": 4}, []),
    "numbers as classes": ([f"{c}/{i}.png" for c in range(3) for i in range(2)], {"all": 6}, ["0", "1", "2"]),
    "a class like a word of splits": (
        [f"{c}/{i}.png" for c in ("bullet_train", "bus") for i in range(2)],
        {"all": 4},
        ["bullet_train", "bus"],
    ),
}


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize(("paths", "splits", "classes"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_the_usual_layouts_are_understood(tmp_path, form, paths, splits, classes):
    if form == "folder":
        source = files(tmp_path / "folder", *paths)
    elif form == "zip":
        source = zipped(tmp_path / "a.zip", dict.fromkeys(paths, b""))
    else:
        source = tarred(tmp_path / "a.tar.gz", dict.fromkeys(paths, b""), "w:gz")
    opened = open_source(str(source))
    assert read_as(opened) == (splits, classes)
    assert {pool.labels is not None for pool in opened.pools.values()} == {bool(classes)}


def test_a_test_split_without_labels_beside_a_validation_split_is_passed_over_and_counted(tmp_path):
    source = files(
        tmp_path, *(f"{split}/{name}" for split in ("train", "val") for name in PETS), "test/a.png", "test/b.png"
    )
    opened = open_source(str(source))
    assert read_as(opened) == ({"train": 4, "validation": 4}, ["cat", "dog"])
    assert opened.passed_over.counts == {"in the test split, which has no labels": 2}
    assert read_as(open_source(str(source), labels="none"))[0] == {"train": 4, "validation": 4, "test": 2}


def test_of_three_splits_the_validation_split_is_left_out_and_said_so(tmp_path):
    source = files(tmp_path, *several("train/{}.png", 6), *several("val/{}.png", 3), *several("test/{}.png", 2))
    found = two_splits(open_source(str(source)), 0.0)
    assert [record.name for record in found.splits["test"].records] == ["test/0.png", "test/1.png"]
    assert found.remarks == ("the validation split of the source, 3 images, is left out",)
    for path in (source / "test").iterdir():
        path.unlink()
    (source / "test").rmdir()
    found = two_splits(open_source(str(source)), 0.0)
    assert [record.name for record in found.splits["test"].records] == several("val/{}.png", 3)
    assert found.rule == "as the source is split; its validation split is the test split" and not found.remarks


REFUSED = {
    "loose": (
        ["a.png", *PETS],
        r"1 image outside of the class folders \(cat, ...\) .*--layout classes .*--layout flat",
    ),
    "empty split": (["train/a.png", "test/readme.txt"], "/test: no images in it; fill it, or remove it"),
    "other classes": (
        ["train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/eel/a.png"],
        r"different classes \(dog\)",
    ),
    "half labelled": (
        ["train/cat/a.png", "train/dog/a.png", "test/a.png"],
        r"train and test have different classes \(cat\)",
    ),
    "a folder beside the splits": (
        ["train/a.png", "test/a.png", "extra/a.png"],
        r"\(test, train, extra\) some are named like splits, others are not; give --layout splits",
    ),
    "Intel's archive": (
        ["seg_train/a.png", "seg_test/a.png", "seg_pred/a.png"],
        r"\(seg_test, seg_train, seg_pred\) some are named like",
    ),
    "one class named like a split": (["train/a.png", "bus/a.png"], r"\(train, bus\) some are named like splits"),
    "no train": (["test/a.png", "val/a.png"], r"has no folders train and test \(folders: test, val\)"),
    "two of a kind": (["trainA/a.png", "trainB/a.png", "testA/a.png"], "trainA and trainB name the same split"),
    "shards": (
        ["00000/img0.png", "00001/img1.png"],
        r"\(00000, 00001\) are named like parts of one set; give --layout classes .*--layout flat",
    ),
    "parts": (["images_001/a.png", "images_002/b.png"], "named like parts of one set"),
    "kinds of files": (["images/a.png", "masks/a.png"], r"\(images, masks\) are named like kinds of files"),
    "by first characters": (["0/0a1.png", "f/ff2.png"], "are the first characters of the names in them"),
    "splits in classes": (
        [f"{c}/{s}/a.png" for c in ("cat", "dog") for s in ("train", "test")],
        "hold folders that are named like splits",
    ),
    "shards in splits": (
        [f"{s}/0000{i}/a.png" for s in ("train", "test") for i in range(2)],
        "parts of one set; give --labels folders .*--labels none",
    ),
}


@pytest.mark.parametrize(("paths", "message"), REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_with_the_options_that_help(tmp_path, paths, message):
    with refused(message):
        open_source(str(files(tmp_path, *paths)))


OPTIONS = {
    "splits": (["train/a.png", "test/a.png", "extra/a.png", "b.png"], ("splits", "auto"), {"train": 1, "test": 1}, []),
    "splits as classes": (["train/a.png", "test/a.png"], ("classes", "auto"), {"all": 2}, ["test", "train"]),
    "splits as nothing": (["train/a.png", "test/a.png"], ("flat", "auto"), {"all": 2}, []),
    "shards as nothing": (["00000/a.png", "00001/b.png"], ("flat", "auto"), {"all": 2}, []),
    "shards as classes": (["00000/a.png", "00001/b.png"], ("classes", "auto"), {"all": 2}, ["00000", "00001"]),
    "classes without labels": (PETS, ("auto", "none"), {"all": 4}, []),
    "loose": (["a.png", *PETS], ("classes", "auto"), {"all": 4}, ["cat", "dog"]),
    "shards in splits": (
        [f"{s}/0000{i}/a.png" for s in ("train", "test") for i in range(2)],
        ("auto", "none"),
        {"train": 2, "test": 2},
        [],
    ),
    "numbers in splits": (
        [f"{s}/0000{i}/a.png" for s in ("train", "test") for i in range(2)],
        ("splits", "folders"),
        {"train": 2, "test": 2},
        ["00000", "00001"],
    ),
    "unlabelled test": (
        ["train/cat/a.png", "train/dog/a.png", "test/a.png"],
        ("auto", "none"),
        {"train": 2, "test": 1},
        [],
    ),
}


@pytest.mark.parametrize(("paths", "options", "splits", "classes"), OPTIONS.values(), ids=OPTIONS)
def test_the_options_say_what_is_meant(tmp_path, paths, options, splits, classes):
    opened = open_source(str(files(tmp_path, *paths)), *options)
    assert read_as(opened) == (splits, classes)
    passed_over = opened.passed_over.counts
    assert sum(passed_over.values()) + opened.n == len(paths), passed_over


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        (PETS, ("tree", "auto"), r"--layout tree: unknown.*Known: auto, classes, flat, splits"),
        (
            PETS,
            ("auto", "no"),
            "--labels no: cannot be read .*must be one of auto, none, folders, or the path of a JSON",
        ),
        (PETS, ("flat", "folders"), "--labels folders: contradicts --layout flat"),
        (PETS, ("splits", "auto"), r"has no folders train and test \(folders: cat, dog\)"),
        (["a.png", "b.png"], ("classes", "auto"), r"needs two folders of classes \(folders: none\)"),
        (several("train/{}.png"), ("splits", "auto"), "has no folders train and test"),
    ],
)
def test_options_that_do_not_fit(tmp_path, paths, options, message):
    with refused(message):
        open_source(str(files(tmp_path, *paths)), *options)


STYLEGAN = [f"0000{i}/img0000000{j}.png" for i in range(2) for j in range(3)]


def stylegan(path, labels, prefix=""):
    contents = {prefix + name: b"" for name in STYLEGAN}
    contents[f"{prefix}dataset.json"] = labels if isinstance(labels, bytes) else json.dumps({"labels": labels}).encode()
    if path.suffix == ".zip":
        return zipped(path, contents)
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("prefix", ["", "ffhq/256/"])
@pytest.mark.parametrize("form", ["a.zip", "folder"])
def test_the_labels_of_stylegan(tmp_path, form, prefix):
    labels = [[name, 6 - place] for place, name in enumerate(STYLEGAN)]
    opened = open_source(str(stylegan(tmp_path / form, labels, prefix)))
    assert (list(opened.pools["all"].labels), opened.classes) == ([6, 5, 4, 3, 2, 1], ())
    assert names(opened) == [prefix + name for name in STYLEGAN]
    assert not opened.passed_over.counts and not opened.remarks


@pytest.mark.parametrize("labels", [None, []])
def test_stylegans_file_without_labels_says_that_folders_are_no_classes(tmp_path, labels):
    opened = open_source(str(stylegan(tmp_path / "a.zip", labels)))
    assert opened.pools["all"].labels is None and opened.n == 6
    assert opened.remarks == ("dataset.json holds no labels",)


def test_images_without_a_label_and_labels_without_an_image_are_counted(tmp_path):
    opened = open_source(str(stylegan(tmp_path / "a", [[STYLEGAN[0], 0], [STYLEGAN[4], 1], ["gone.png", 1]])))
    assert names(opened) == [STYLEGAN[0], STYLEGAN[4]]
    assert opened.passed_over.counts == {"an image without a label in dataset.json": 4}
    assert opened.remarks == ("dataset.json has labels of 1 image that is not there",)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"{", "dataset.json is not JSON"),
        ([["x.png", 1]], "has no label of any image .*like x.png, the images' like 00000/img00000000.png"),
        ([["x.png", [0.1, 0.2]]], r'has the label \["x.png", \[0.1, 0.2\]\]; must be \[name, whole number'),
        ([["x.png", -1]], "whole number from 0"),
        ([["x.png", True]], "whole number from 0"),
        ({"x.png": "cat"}, "whole number from 0"),
        (3, "whole number from 0"),
    ],
)
def test_a_label_file_that_cannot_be_used_is_refused_and_can_be_left_out(tmp_path, labels, message):
    source = str(stylegan(tmp_path / "a", labels))
    with refused(message):
        open_source(source)
    assert open_source(source, "flat", "none").n == 6


def test_another_file_named_dataset_json_is_no_label_file(tmp_path):
    source = files(tmp_path, *PETS)
    (source / "dataset.json").write_text('{"name": "pets"}')
    opened = open_source(str(source))
    assert opened.classes == ("cat", "dog")
    assert opened.passed_over.counts == {"not an image by its name (.json)": 1}


def metadata(path, form, rows, **more):
    """A metadata.csv or metadata.jsonl with the columns file_name, text and label."""
    path.mkdir(parents=True, exist_ok=True)
    rows = [{"file_name": name, "text": "a, b", "label": label, **more} for name, label in rows]
    with (path / f"metadata.{form}").open("w", newline="", encoding="utf-8") as file:
        if form == "csv":
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        else:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)


ANIMALS = ["dog", "cat", "dog", "cat"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_labels_of_hugging_faces_image_folder(tmp_path, form):
    source = files(tmp_path, *PETS)
    metadata(source, form, list(zip(PETS, ANIMALS, strict=True)))
    opened = open_source(str(source))
    assert (list(opened.pools["all"].labels), tuple(opened.classes)) == ([1, 0, 1, 0], ("cat", "dog"))
    assert (opened.labels_from, opened.passed_over.counts) == (f"metadata.{form}", {})
    metadata(source, form, [(f"./{name}", 3 - place) for place, name in enumerate(PETS)])
    opened = open_source(str(source))
    assert (list(opened.pools["all"].labels), opened.classes) == ([3, 2, 1, 0], ())
    assert tuple(open_source(str(source), labels="folders").classes) == ("cat", "dog")
    assert open_source(str(source), "flat", "none").pools["all"].labels is None


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_each_split_may_have_its_own_metadata(tmp_path, form):
    for split in ("train", "test"):
        metadata(files(tmp_path, f"{split}/a.png", f"{split}/b.png") / split, form, [("a.png", "x"), ("b.png", "y")])
    opened = open_source(str(tmp_path))
    assert [list(opened.pools[split].labels) for split in ("train", "test")] == [[0, 1], [0, 1]]
    assert tuple(opened.classes) == ("x", "y")
    metadata(tmp_path / "test", form, [("a.png", "x"), ("b.png", "z")])
    with refused("train and test have different classes"):
        open_source(str(tmp_path))


def test_metadata_of_some_images_and_without_labels(tmp_path):
    source = files(tmp_path, *PETS)
    metadata(source, "csv", [*zip(PETS[:3], ANIMALS, strict=False), (PETS[3], "")])
    opened = open_source(str(source))
    assert opened.passed_over.counts == {"an image without a label in metadata.csv": 1}
    (source / "metadata.csv").write_text("file_name,text\ncat/0.png,a cat\n")
    opened = open_source(str(source))
    assert (opened.labels_from, opened.classes) == ("folders", ("cat", "dog"))
    assert opened.passed_over.counts == {"not an image by its name (.csv)": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "metadata.jsonl is not JSON"),
        (
            '{"file_name": "a.png", "label": [1]}',
            r"metadata.jsonl has the label \[1\]; must be a whole number from 0 or",
        ),
        ('{"file_name": "a.png", "label": -1}', "has the label -1; must be a whole number from 0 or a name"),
        ('{"file_name": "gone.png", "label": 1}', "metadata.jsonl has no label of any image .*like gone.png"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused_and_can_be_left_out(tmp_path, content, message):
    source = files(tmp_path, *PETS)
    (source / "metadata.jsonl").write_text(content)
    with refused(message):
        open_source(str(source))
    assert open_source(str(source), "flat", "none").n == 4


def test_a_label_file_from_elsewhere(tmp_path):
    source = files(tmp_path / "pets", *PETS)
    (tmp_path / "mine.json").write_text(json.dumps({"labels": [[name, i] for i, name in enumerate(PETS)]}))
    opened = open_source(str(source), labels=str(tmp_path / "mine.json"))
    assert list(opened.pools["all"].labels) == [0, 1, 2, 3]
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(InputError, match=r"mine.json: has no labels"):
        open_source(str(source), labels=str(tmp_path / "mine.json"))
    metadata(tmp_path, "csv", list(zip(PETS, ANIMALS, strict=True)))
    opened = open_source(str(source), labels=str(tmp_path / "metadata.csv"))
    assert list(opened.pools["all"].labels) == [1, 0, 1, 0]
