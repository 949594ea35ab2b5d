"""Datasets of the user's own: registered by a name, found by every function, refused with one line."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from study import data
from study.core.errors import InputError

from .pictures import noise, png_bytes


def folder(path, names, size=(40, 40), channels=3):
    for i, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(png_bytes(noise(size, i, channels)))
    return path


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


@pytest.fixture
def plain(tmp_path):
    return folder(tmp_path / "plain", [f"{i:02}.png" for i in range(20)])


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, 4, 50)
    return {"x_train": x[:40], "x_test": x[40:], "y_train": y[:40], "y_test": y[40:]}


def archive(path, arrays, save=np.savez):
    save(path, **arrays)
    return path


def test_a_registered_folder_is_a_dataset_everywhere(tmp_path, plain):
    made = data.prepare("mine", plain, tmp_path / "data", resolution=32, fit="crop", test_fraction=0.25)
    assert list(data.all_datasets(tmp_path / "data"))[-1] == "mine"
    dataset = data.get("mine", tmp_path / "data")
    assert (dataset.shape, dataset.labelled, dataset.fit, dataset.test_fraction) == ((3, 32, 32), False, "crop", 0.25)
    assert (dataset.architecture, dataset.width, dataset.extractor) == ("sndcgan", 64, "inception-v3-compat")
    assert (dataset.discriminator_steps, dataset.checkpoint_every, dataset.n_score) == (200_000, 20_000, 10_000)
    images = data.verify("mine", tmp_path / "data")
    assert (len(images.train), len(images.test), images.sha256) == (15, 5, made.manifest["sha256"])
    np.testing.assert_array_equal(images.train[3].transpose(1, 2, 0), noise((40, 40), 3)[4:36, 4:36])
    assert isinstance(images.train, np.memmap) and data.is_ready("mine", tmp_path / "data")
    assert data.size_on_disk("mine", tmp_path / "data") > 20 * 3 * 32 * 32
    with refused("--dataset mine: unknown"):
        data.get("mine", tmp_path / "elsewhere")
    with refused("--dataset mien: unknown; did you mean mine?"):
        data.get("mien", tmp_path / "data")


def test_a_registered_dataset_can_be_carried_elsewhere(tmp_path, plain):
    data.prepare("mine", plain, tmp_path / "data", resolution=32)
    shutil.copytree(tmp_path / "data" / "mine", tmp_path / "other" / "mine")
    assert data.load("mine", tmp_path / "other").sha256 == data.load("mine", tmp_path / "data").sha256
    shutil.copytree(tmp_path / "data" / "mine", tmp_path / "other" / "yours")
    with refused(r"dataset yours: .* is damaged \(declares mine\)"):
        data.get("yours", tmp_path / "other")


def test_prepared_again_it_keeps_its_declaration(tmp_path, plain):
    data.prepare("mine", plain, tmp_path / "data", resolution=32, fit="pad", test_fraction=0.2)
    again = data.prepare("mine", plain, tmp_path / "data")
    assert again.kept and data.get("mine", tmp_path / "data").fit == "pad"
    with refused("holds other images .* remove it to replace it"):
        data.prepare("mine", plain, tmp_path / "data", resolution=16)


def test_prepared_again_from_a_source_with_splits_it_takes_no_fraction_of_before(tmp_path, plain):
    data.prepare("mine", plain, tmp_path / "data", resolution=32, test_fraction=0.2)
    source = folder(tmp_path / "own", ["train/a.png", "train/b.png", "test/a.png"])
    with refused("holds other images .* remove it to replace it"):
        data.prepare("mine", source, tmp_path / "data")
    (tmp_path / "data" / "mine" / "train.npy").unlink()
    data.prepare("mine", source, tmp_path / "data")
    assert len(data.load("mine", tmp_path / "data").train) == 2


def test_classes_become_labels_and_choose_the_extractor(tmp_path):
    source = folder(
        tmp_path / "pets", [f"{name}/{i}.png" for name in ("cat", "dog", "eel") for i in range(10)], (32, 32)
    )
    made = data.prepare("pets", source, tmp_path / "data", resolution=32)
    images = data.verify("pets", tmp_path / "data")
    assert made.manifest["classes"] == ["cat", "dog", "eel"]
    assert images.test_labels.tolist() == [0, 1, 2] and np.bincount(images.train_labels).tolist() == [9, 9, 9]
    np.testing.assert_array_equal(images.test[1].transpose(1, 2, 0), noise((32, 32), 19))
    assert data.get("pets", tmp_path / "data").extractor == "classifier"


def test_train_and_test_folders(tmp_path):
    source = folder(tmp_path / "own", ["train/a.png", "train/b.png", "train/c.png", "test/a.png"], (32, 32))
    data.prepare("own", source, tmp_path / "data", resolution=32)
    images = data.load("own", tmp_path / "data")
    np.testing.assert_array_equal(images.test[0].transpose(1, 2, 0), noise((32, 32), 3))
    assert len(images.train) == 3
    assert data.prepare("own", source, tmp_path / "data").kept


def test_grey_folders_keep_one_channel_and_mixed_ones_become_colour(tmp_path):
    source = folder(tmp_path / "grey", [f"{i}.png" for i in range(9)], (16, 16), channels=1)
    Image.fromarray(noise((16, 16), 9, 1).astype(np.uint16) * 256).save(source / "9.png")
    (source / "0-broken.png").write_bytes(b"no image")
    data.prepare("grey", source, tmp_path / "data", resolution=16)
    assert data.load("grey", tmp_path / "data").train.shape[1:] == (1, 16, 16)
    folder(source, ["zz.png"], (16, 16))
    made = data.prepare("mixed", source, tmp_path / "data", resolution=16)
    images = data.load("mixed", tmp_path / "data")
    assert images.train.shape[1:] == (3, 16, 16) and made.manifest["images"]["treated"]["grey"] == 10
    assert (images.train[1][0] == images.train[1][2]).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_arrays_is_taken_as_it_is(tmp_path, arrays, save):
    made = data.prepare("cifar10-20k", archive(tmp_path / "a.npz", arrays, save), tmp_path / "data")
    images = data.verify("cifar10-20k", tmp_path / "data")
    np.testing.assert_array_equal(images.train, arrays["x_train"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images.test_labels, arrays["y_test"])
    dataset = data.get("cifar10-20k", tmp_path / "data")
    assert (dataset.resolution, dataset.extractor, dataset.labelled) == (32, "classifier", True)
    assert made.manifest["images"]["as_stored"] == 50


def test_the_splits_of_an_archive_as_one_set(tmp_path, arrays):
    path = archive(tmp_path / "a.npz", arrays)
    with refused("--test-fraction 0.2: .* has its own train and test splits; leave it out, or give --layout flat"):
        data.prepare("mine", path, tmp_path / "data", test_fraction=0.2)
    data.prepare("mine", path, tmp_path / "data", test_fraction=0.2, layout="flat")
    images = data.load("mine", tmp_path / "data")
    labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
    assert sorted([*images.train_labels, *images.test_labels]) == sorted(labels)
    first = np.concatenate([arrays["x_train"], arrays["x_test"]])[labels == labels[0]][0]
    np.testing.assert_array_equal(images.train[images.train_labels == labels[0]][0].transpose(1, 2, 0), first)


def test_a_grey_archive_without_labels_can_be_brought_to_another_size(tmp_path, arrays):
    grey = {name: arrays[name][..., 0] for name in ("x_train", "x_test")}
    data.prepare("small", archive(tmp_path / "a.npz", grey), tmp_path / "data", resolution=16, fit="crop")
    images = data.load("small", tmp_path / "data")
    np.testing.assert_array_equal(images.train[:, 0], grey["x_train"][:, 8:24, 8:24])
    assert images.train_labels is None and data.get("small", tmp_path / "data").discriminator_steps == 2_000


def changed(**changes):
    return lambda arrays: {name: value for name, value in {**arrays, **changes}.items() if value is not None}


Y = np.zeros(40, int)
BAD_ARRAYS = {
    "no test": (changed(x_test=None), "has no array x_test; must have x_train and x_test"),
    "half labelled": (changed(y_test=None), "has no array y_test; give labels for both splits or for neither"),
    "float": (changed(x_train=np.zeros((40, 32, 32, 3))), r"x_train is float64 \[40, 32, 32, 3\]; must be uint8"),
    "channels": (changed(x_train=np.zeros((4, 32, 32, 4), np.uint8)), "must be uint8 .* with C 1 or 3"),
    "none": (changed(x_test=np.zeros((0, 32, 32, 3), np.uint8)), "must be uint8"),
    "sizes": (changed(x_test=np.zeros((4, 16, 16, 3), np.uint8)), "differ in shape"),
    "too few labels": (changed(y_train=Y[:5]), "y_train must be 40 whole numbers from 0"),
    "negative": (changed(y_train=Y - 1), "y_train must be 40 whole numbers from 0"),
    "text": (changed(y_train=np.array(["cat"] * 40)), "y_train must be 40 whole numbers"),
    "objects": (changed(y_train=np.array([None] * 40)), "not a readable .npz archive"),
    "not square": (changed(x_train=np.zeros((4, 8, 16, 3), np.uint8), x_test=np.zeros((4, 8, 16, 3), np.uint8))
                   , "--resolution: missing"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_an_archive_of_another_form_is_refused(tmp_path, arrays, change, message):
    arrays = change(arrays)
    if "x_train" in arrays and len(arrays["x_train"]) != 40:
        arrays = {name: value for name, value in arrays.items() if not name.startswith("y_")}
    with refused(message):
        data.prepare("mine", archive(tmp_path / "a.npz", arrays), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path, arrays, save):
    path = archive(tmp_path / "a.npz", arrays, save)
    good = path.read_bytes()
    with zipfile.ZipFile(path) as opened:
        place = opened.getinfo("x_train.npy").header_offset + 60_000  # among the pixels: only the checksum can tell
    flipped = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    for content in (good[: len(good) // 2], good[:-10], b"", b"text", flipped):
        path.write_bytes(content)
        with refused(r"--source .*a.npz: not a readable .npz archive \("):
            data.prepare("mine", path, tmp_path / "data")
        assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []
    path.unlink()
    with refused("no such file"):
        data.prepare("mine", path, tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("celebahq", {}, r"dataset celebahq: unknown; did you mean celeba-hq-128\?.*; to register .*--resolution R\."),
        ("a/b", {"resolution": 32}, "not a valid name"),
        ("../b", {"resolution": 32}, "not a valid name"),
        ("a,b", {"resolution": 32}, "not a valid name"),
        (".hidden", {"resolution": 32}, "not a valid name"),
        ("", {"resolution": 32}, "not a valid name"),
        ("classifiers", {"resolution": 32}, "not a valid name"),
        ("mine", {"resolution": 50}, "--resolution 50: must be a multiple of 8 from 8 to 1024"),
        ("mine", {"resolution": 0}, "--resolution 0: must be a multiple of 8"),
        (
            "mine",
            {"resolution": 32, "fit": "stretch"},
            "--fit stretch: unknown; must be one of exact, crop, pad, resize",
        ),
        ("mine", {"resolution": 32, "test_fraction": 1.0}, "--test-fraction 1: must be above 0 and below 1"),
        ("mine", {"resolution": 32, "test_fraction": float("nan")}, "--test-fraction nan: must be above 0"),
        ("mine", {"resolution": 32, "fit": "exact"}, "image 00.png: 40x40 pixels; must be 32x32"),
        ("mine", {"resolution": 64, "fit": "crop"}, r"no image of the train split can be used \(18 smaller than 64 px"),
        (
            "celeba-hq-128",
            {"resolution": 64},
            "--resolution 64: fixed for celeba-hq-128, a dataset of the study",
        ),
        ("lsun-bedroom-128", {"fit": "resize"}, "--fit resize: fixed for lsun-bedroom-128, a dataset of the study"),
        ("cifar10", {"test_fraction": 0.5}, "--test-fraction 0.5: fixed for cifar10, a dataset of the study"),
        ("cifar10", {"layout": "flat"}, "--layout flat: fixed for cifar10, a dataset of the study"),
        ("cifar10", {"labels": "none"}, "--labels none: fixed for cifar10, a dataset of the study"),
    ],
)
def test_what_cannot_be_registered_is_refused_and_leaves_nothing(tmp_path, plain, name, options, message):
    with refused(message):
        data.prepare(name, plain, tmp_path / "data", **options)
    assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []


def test_without_a_source(tmp_path):
    with refused("dataset mine: no source given; .*--source PATH --resolution R"):
        data.prepare("mine", None, tmp_path / "data", resolution=32)
    with refused("dataset celeba-hq-128: no source given; run: study data prepare celeba-hq-128 --source DIR"):
        data.prepare("celeba-hq-128", None, tmp_path / "data")


STATED = ("description", "resolution", "channels", "labelled", "architecture", "width", "extractor")
STATED += ("discriminator_steps", "checkpoint_every")
DEEP = '{"declaration": ' + "[" * 100_000
WRONG = json.dumps({"declaration": {**dict.fromkeys(STATED, "x"), "name": "mine"}})


@pytest.mark.parametrize("content", ["{", "[]", '{"declaration": {"name": "mine"}}', '{"declaration": 3}', DEEP, WRONG])
def test_a_damaged_manifest_is_said_and_mended(tmp_path, plain, content):
    data.prepare("mine", plain, tmp_path / "data", resolution=32)
    good = data.load("mine", tmp_path / "data").sha256
    (tmp_path / "data" / "mine" / "manifest.json").write_text(content)
    with refused(
        r"dataset mine: .* is damaged .*; prepare it again: study data prepare mine --source PATH --resolution R"
    ):
        data.load("mine", tmp_path / "data")
    assert "mine" not in data.all_datasets(tmp_path / "data")
    with refused("dataset mine: "):
        data.prepare("mine", plain, tmp_path / "data")
    assert not data.prepare("mine", plain, tmp_path / "data", resolution=32).kept
    assert data.load("mine", tmp_path / "data").sha256 == good


def test_a_dataset_of_the_study_is_none_of_the_users(tmp_path):
    source = folder(tmp_path / "faces", [f"{i}.png" for i in range(4)], (128, 128))
    data.prepare("celeba-hq-128", source, tmp_path / "data")
    assert "declaration" not in json.loads((tmp_path / "data" / "celeba-hq-128" / "manifest.json").read_text())
    assert list(data.all_datasets(tmp_path / "data")) == list(data.built_in())
