"""The same images from every kind of source, as a dataset of one's own and as one of the study."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study import data

from .pictures import noise, png_bytes
from .test_exports import lmdb_export
from .test_trees import refused, tarred, zipped

N = 20
PIXELS = np.stack([noise((32, 32), i) for i in range(N)])
LABELS = [0] * 12 + [1] * 8
NAMES = [f"{('cat', 'dog')[label]}/{i:02}.png" for i, label in enumerate(LABELS)]
ENCODED = [png_bytes(image) for image in PIXELS]
IS_TEST = [i in (10, 11, 18, 19) for i in range(N)]
"""Which images are in the test split of the sources that have splits."""


def chosen(values, test):
    return [value for value, own in zip(values, IS_TEST, strict=True) if own == test]


def in_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def tree(make):
    """A maker of a tree with and without splits."""

    def of(path, splits):
        folders = [f"{'Test' if test else 'TRAIN'}/" if splits else "" for test in IS_TEST]
        files = {folder + name: image for folder, name, image in zip(folders, NAMES, ENCODED, strict=True)}
        backwards = dict(reversed(files.items()))
        return make(path, {**backwards, "readme.txt": b"x"})

    return of


def rows(path, encoded, labels):
    metadata = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [{"bytes": one, "path": None} for one in encoded], "label": labels})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(metadata)}), path, row_group_size=3)


def parquet(path, splits):
    if splits:
        for test, split in enumerate(("train", "test")):
            rows(path / f"{split}-00000-of-00001.parquet", chosen(ENCODED, test), chosen(LABELS, test))
    else:
        for part in range(2):
            rows(path / f"{part:04}.parquet", ENCODED[part * 10 :][:10], LABELS[part * 10 :][:10])
    (path / "readme.txt").write_text("x")
    return path


def hugging_face(path, splits):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def part(encoded, labels):
        values = {"picture": [{"bytes": one, "path": None} for one in encoded], "label": labels}
        return datasets.Dataset.from_dict(values, features=features)

    if splits:
        parts = {
            split: part(chosen(ENCODED, test), chosen(LABELS, test)) for test, split in enumerate(("train", "test"))
        }
        datasets.DatasetDict(parts).save_to_disk(path)
    else:
        part(ENCODED, LABELS).save_to_disk(path)
    return path


def npz(path, splits):
    path = path.with_suffix(".npz")
    images, labels = list(PIXELS), LABELS
    if splits:
        arrays = {
            f"{name}_{split}": chosen(values, test)
            for test, split in enumerate(("train", "test"))
            for name, values in (("x", images), ("y", labels))
        }
    else:
        arrays = {"images": images, "labels": labels}
    np.savez(path, **arrays)
    return path


SOURCES = {
    "folder": tree(in_folder),
    "zip": tree(lambda path, files: zipped(path.with_suffix(".zip"), files)),
    "tar": tree(lambda path, files: tarred(path.with_suffix(".tar"), files)),
    "tar.gz": tree(lambda path, files: tarred(path.with_suffix(".tgz"), files, "w:gz")),
    "parquet": parquet,
    "hugging face": hugging_face,
    "npz": npz,
}


@pytest.mark.parametrize("splits", [False, True])
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_a_dataset_of_ones_own_from_every_source_is_the_same(tmp_path, make, splits):
    source = make(tmp_path / "source", splits)
    plan = []
    options = {} if splits else {"test_fraction": 0.25}
    made = data.prepare("mine", source, tmp_path / "data", resolution=32, announce=plan.extend, **options)
    images = data.verify("mine", tmp_path / "data")
    test = IS_TEST if splits else [i in (9, 10, 11, 18, 19) for i in range(N)]
    np.testing.assert_array_equal(images.train.transpose(0, 2, 3, 1), PIXELS[np.logical_not(test)])
    np.testing.assert_array_equal(images.test.transpose(0, 2, 3, 1), PIXELS[test])
    assert images.train_labels.tolist() == [label for label, own in zip(LABELS, test, strict=True) if not own]
    assert plan[1].startswith(f"  {20 - sum(test)} train, {sum(test)} test (")
    cat, dog = ("0", "1") if source.suffix == ".npz" else ("cat", "dog")
    assert plan[2].startswith(f"  2 classes: {cat} (12), {dog} (8); labels from ")
    assert made.manifest.get("classes", ["0", "1"]) == [cat, dog]
    if source.suffix != ".npz" and make is not hugging_face:
        assert plan[3] == "  passed over 1 file:"
        assert plan[4].strip() == "not an image by its name (.txt): 1 (the first: readme.txt)"
        assert "passed over: 1 not an image by its name (.txt)" in data.report_lines(made.manifest)
    again = data.prepare("mine", source, tmp_path / "data")
    assert again.kept and data.get("mine", tmp_path / "data").resolution == 32


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_a_dataset_of_the_study_takes_every_source_and_keeps_its_own_split(tmp_path, make):
    source = make(tmp_path / "source", False)
    with refused("image .*: 32x32 pixels; must be 128x128"):
        data.prepare("celeba-hq-128", source, tmp_path / "data")
    made = data.prepare("lsun-bedroom-128", source, tmp_path / "data")
    images = data.verify("lsun-bedroom-128", tmp_path / "data")
    assert images.train_labels is None and len(images.test) == 1
    np.testing.assert_array_equal(images.test[0, :, 48:80, 48:80].transpose(1, 2, 0), PIXELS[-1])
    assert made.manifest["remarks"] == [
        "prepared 19 train and 1 test images; lsun-bedroom-128 has 3,002,712 train and 30,330 test images, so scores"
        " are not comparable with published ones"
    ]


def test_cifar10_from_its_classes_in_other_sources(tmp_path):
    names = [f"{split}/class{c}/{i}.png" for split in ("train", "test") for c in range(10) for i in range(2)]
    files = {name: png_bytes(noise((32, 32), seed)) for seed, name in enumerate(names)}
    in_folder(tmp_path / "folder", files)
    zipped(tmp_path / "a.zip", files)
    tarred(tmp_path / "a.tar.gz", files, "w:gz")
    pixels = np.stack([noise((32, 32), seed) for seed in range(40)])
    labels = np.arange(40) // 2 % 10
    np.savez(tmp_path / "a.npz", x_train=pixels[:20], y_train=labels[:20], x_test=pixels[20:], y_test=labels[20:])
    for number, source in enumerate(("folder", "a.zip", "a.tar.gz", "a.npz")):
        made = data.prepare("cifar10", tmp_path / source, tmp_path / f"data {number}")
        images = data.verify("cifar10", tmp_path / f"data {number}")
        np.testing.assert_array_equal(images.test.transpose(0, 2, 3, 1), pixels[20:])
        assert images.train_labels.tolist() == labels[:20].tolist()
        assert made.manifest["remarks"][0].startswith("prepared 20 train and 20 test images; cifar10 has 50,000")


@pytest.mark.parametrize("name", ["folder", "zip", "parquet", "npz"])
def test_cifar10_without_its_splits_or_its_ten_classes_is_refused(tmp_path, name):
    for splits in (False, True) if name != "npz" else (False,):
        source = SOURCES[name](tmp_path / f"{name} {splits}", splits)
        with refused("cifar10 needs train and test images with labels of its 10 classes, this .* has none"):
            data.prepare("cifar10", source, tmp_path / "data")


def test_lmdb_of_ones_own_alone_and_as_splits(tmp_path):
    values = {f"{i:03}": image for i, image in enumerate(ENCODED)}
    lmdb_export(tmp_path / "one", values)
    data.prepare("one", tmp_path / "one", tmp_path / "data", resolution=32, test_fraction=0.25)
    np.testing.assert_array_equal(data.load("one", tmp_path / "data").test.transpose(0, 2, 3, 1), PIXELS[-5:])
    (tmp_path / "two").mkdir()
    lmdb_export(tmp_path / "two" / "bedroom_train_lmdb", dict(list(values.items())[:17]))
    lmdb_export(tmp_path / "two" / "bedroom_val_lmdb", dict(list(values.items())[17:]))
    made = data.prepare("two", tmp_path / "two", tmp_path / "data", resolution=32)
    np.testing.assert_array_equal(data.load("two", tmp_path / "data").test.transpose(0, 2, 3, 1), PIXELS[-3:])
    assert "validation split is the test split" in made.manifest["read_as"]["rule"]


def test_medmnist_and_generated_images(tmp_path):
    grey = PIXELS[..., 0]
    parts = {"train": slice(0, 12), "val": slice(12, 16), "test": slice(16, 20)}
    arrays = {f"{split}_images": grey[rows] for split, rows in parts.items()}
    arrays |= {f"{split}_labels": np.array(LABELS)[rows][:, None] for split, rows in parts.items()}
    np.savez(tmp_path / "m.npz", **arrays, extra=np.zeros(3))
    made = data.prepare("med", tmp_path / "m.npz", tmp_path / "data")
    images = data.load("med", tmp_path / "data")
    assert (images.train.shape, images.test.shape) == ((12, 1, 32, 32), (4, 1, 32, 32))
    assert images.test_labels.tolist() == [1] * 4
    assert made.manifest["remarks"] == ["the validation split of the source, 4 images, is left out"]
    assert list(made.manifest["read_as"]["passed_over"]) == ["an array that is neither images nor labels by its name"]
    np.savez(tmp_path / "g.npz", PIXELS, LABELS)
    data.prepare("generated", tmp_path / "g.npz", tmp_path / "data")
    assert data.load("generated", tmp_path / "data").train_labels.sum() == 7


BAD_LABELS = {
    "null": ([None, *LABELS[1:]], "1 image has no label; give --labels none"),
    "-1": ([-1] * 20, "20 images have the label -1, not one from 0 to 1; give --labels none"),
    "beyond the names": ([2, *LABELS[1:]], "1 image has the label 2, not one from 0 to 1"),
}


@pytest.mark.parametrize(("labels", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_labels_that_are_none_are_refused_and_can_be_left_out(tmp_path, labels, message):
    rows(tmp_path / "p" / "a.parquet", ENCODED, labels)
    with refused(message):
        data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32)
    data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32, labels="none")
    assert data.load("mine", tmp_path / "data").train_labels is None


def test_names_as_labels_and_labels_of_another_kind(tmp_path):
    table = {"img": ENCODED, "class": [("dog", "cat")[label] for label in LABELS]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    made = data.prepare("named", tmp_path / "a.parquet", tmp_path / "data", resolution=32)
    assert made.manifest["classes"] == ["cat", "dog"]
    assert made.manifest["read_as"]["labels"] == "column class"
    assert data.load("named", tmp_path / "data").train_labels[0] == 1
    pq.write_table(pa.table({"img": ENCODED, "label": [[label] for label in LABELS]}), tmp_path / "b.parquet")
    made = data.prepare("lists", tmp_path / "b.parquet", tmp_path / "data", resolution=32)
    assert made.manifest["remarks"] == ["the column of labels is not used: it holds list, not whole numbers or names"]


def test_parquet_files_of_which_some_are_named_like_splits(tmp_path):
    for name in ("train-0", "validation-0", "more-0"):
        rows(tmp_path / "p" / f"{name}.parquet", ENCODED, LABELS)
    with refused("train-0.parquet is named like a split, more-0.parquet is not; give --layout splits .*--layout flat"):
        data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32)
    made = data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32, layout="splits")
    assert made.images == 40
    assert made.manifest["read_as"]["passed_over"]["images outside of the splits"]["count"] == 20
    assert data.prepare("all", tmp_path / "p", tmp_path / "data", resolution=32, layout="flat").images == 60
    with refused("--layout classes: there are no folders in parquet files; must be auto, flat or splits"):
        data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32, layout="classes")


def test_one_damaged_file_among_parquet_files_is_named(tmp_path):
    for i in range(5):
        rows(tmp_path / "p" / f"{i}.parquet", ENCODED, LABELS)
    damaged = tmp_path / "p" / "3.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with refused(f"--source {damaged}: not a readable parquet file"):
        data.prepare("mine", tmp_path / "p", tmp_path / "data", resolution=32)


def test_images_beside_parquet_files_are_counted(tmp_path):
    source = parquet(tmp_path / "p", False)
    (source / "logo.png").write_bytes(ENCODED[0])
    made = data.prepare("mine", source, tmp_path / "data", resolution=32)
    assert made.images == 20
    assert made.manifest["read_as"]["passed_over"]["an image file beside other data"] == {
        "count": 1,
        "first": "logo.png",
    }
    table = tmp_path / "pets"
    in_folder(table, dict(zip(NAMES, ENCODED, strict=True)))
    pq.write_table(pa.table({"file": NAMES}), table / "metadata.parquet")
    assert data.prepare("pets", table, tmp_path / "data", resolution=32).manifest["classes"] == ["cat", "dog"]


@pytest.mark.parametrize("form", ["zip", "tar.gz", "npz", "parquet", "lmdb"])
def test_sources_whose_own_name_is_not_text(tmp_path, form):
    if form == "lmdb":
        source = lmdb_export(tmp_path / "source", {f"{i}": image for i, image in enumerate(ENCODED)})
    else:
        source = SOURCES[form](tmp_path / "source", False)
    odd = tmp_path / os.fsdecode(b"caf\xe9\n")
    odd.mkdir()
    source = source.rename(odd / os.fsdecode(b"\xff" + os.fsencode(source.name)))
    plan = []
    data.prepare("mine", source, tmp_path / "data", resolution=32, announce=plan.extend)
    assert "\\udce9\\n/\\udcff" in plan[0] and all(line.isprintable() for line in plan)
    assert data.get("mine", tmp_path / "data").description.isprintable()
