"""LMDB, parquet and Hugging Face datasets, made by the tests in the forms that they are passed on in."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.core.errors import InputError
from study.data import load, prepare

from .pictures import noise, png_bytes
from .test_decode import tensorflow_crop_or_pad

CELEBA, LSUN = "celeba-hq-128", "lsun-bedroom-128"
N = 30


@pytest.fixture(scope="module")
def pixels():
    return np.stack([noise(seed=i) for i in range(N)])


@pytest.fixture(scope="module")
def encoded(pixels):
    return [png_bytes(image) for image in pixels]


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


def both(name, data):
    images = load(name, data)
    return np.concatenate([images.train, images.test]).transpose(0, 2, 3, 1)


def hugging_face_rows(encoded):
    return pa.table({"image": [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(encoded)]})


def test_parquet_files_in_order_of_name_and_row(tmp_path, pixels, encoded):
    folder = tmp_path / "shards"
    folder.mkdir()
    pq.write_table(hugging_face_rows(encoded[:20]), folder / "train-00000-of-00002.parquet", row_group_size=7)
    pq.write_table(hugging_face_rows(encoded[20:]), folder / "train-00001-of-00002.parquet")
    made = prepare(CELEBA, folder, tmp_path / "data")
    np.testing.assert_array_equal(both(CELEBA, tmp_path / "data"), pixels)
    assert made.manifest["splits"]["test"]["shape"][0] == 3
    assert made.manifest["reader"] == {"pyarrow": pa.__version__}
    pq.write_table(pa.table({"id": list(range(N)), "png": encoded}), tmp_path / "one.parquet")
    assert prepare(CELEBA, tmp_path / "one.parquet", tmp_path / "data").kept


def test_parquet_that_is_damaged_or_holds_no_images(tmp_path, encoded):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x"] * 3, "url": ["y"] * 3}), path)
    with refused("no column of images; it has text, url, must have image or img"):
        prepare(CELEBA, path, tmp_path / "data")
    pq.write_table(pa.table({"image": [1, 2, 3]}), path)
    with refused("its column of images contains int; must contain encoded images"):
        prepare(CELEBA, path, tmp_path / "data")
    pq.write_table(hugging_face_rows(encoded), path)
    content = path.read_bytes()
    for damaged in (content[:-100], b"PAR1", content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :]):
        path.write_bytes(damaged)
        with refused("not a readable parquet|no image of the train split can be used"):
            prepare(CELEBA, path, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def lmdb_export(path, values):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(path), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return path


@pytest.mark.full
def test_lsun_from_lmdb_crops_pads_and_holds_out_the_last_hundredth_by_key(tmp_path):
    images = [noise((256 + i, 120 + i), i) for i in range(210)]
    keys = [f"{(i * 7919) % 10007:040x}" for i in range(210)]
    source = lmdb_export(tmp_path / "bedroom_train_lmdb", dict(zip(keys, map(png_bytes, images), strict=True)))
    made = prepare(LSUN, source, tmp_path / "data")
    order = sorted(range(210), key=lambda i: keys[i])
    expected = [tensorflow_crop_or_pad(images[i], 128) for i in order]
    np.testing.assert_array_equal(both(LSUN, tmp_path / "data"), expected)
    assert made.manifest["splits"]["test"]["shape"][0] == 2
    assert made.manifest["images"]["treated"] == {"cropped": 202, "padded": 8}
    assert set(made.manifest["reader"]) == {"lmdb"}


def test_a_folder_of_the_same_keys_gives_the_same_hash(tmp_path, encoded):
    keys = [f"{(i * 7919) % 10007:040x}" for i in range(N)]
    source = lmdb_export(tmp_path / "lmdb", dict(zip(keys, encoded, strict=True)))
    for key, data in zip(keys, encoded, strict=True):
        file = tmp_path / "folder" / key[-1] / f"{key}.webp"  # LSUN's export fans out by the key's first characters
        file = tmp_path / "folder" / key[0] / key[1] / file.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    hashes = {prepare(LSUN, tmp_path / name, tmp_path / f"d {name}").manifest["sha256"] for name in ("lmdb", "folder")}
    assert len(hashes) == 1
    assert source.is_dir()


def test_a_damaged_lmdb(tmp_path):
    pytest.importorskip("lmdb")
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"x" * 10_000)
    with refused("not a readable LMDB database"):
        prepare(LSUN, tmp_path / "lmdb", tmp_path / "data")


def test_hugging_face_datasets_from_disk(tmp_path, pixels, encoded):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})

    def part(chosen):
        rows = {"image": [{"bytes": data, "path": None} for data in chosen], "label": [0] * len(chosen)}
        return datasets.Dataset.from_dict(rows, features=features)

    datasets.DatasetDict({"train": part(encoded[:20]), "validation": part(encoded[20:])}).save_to_disk(tmp_path / "two")
    part(encoded).save_to_disk(tmp_path / "one")
    made = prepare(CELEBA, tmp_path / "two", tmp_path / "data")
    np.testing.assert_array_equal(both(CELEBA, tmp_path / "data"), pixels)
    assert made.manifest["reader"] == {"datasets": datasets.__version__}
    assert prepare(CELEBA, tmp_path / "one", tmp_path / "data").kept


@pytest.mark.parametrize("library", ["lmdb", "datasets"])
def test_without_the_library_one_line_says_so(tmp_path, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "data.mdb").touch()
    name, source = (LSUN, tmp_path) if library == "lmdb" else (CELEBA, "hf://someone/celeba-hq")
    with refused(
        rf"--source .*: needs the library {library}, which is not installed; run: pip install 'gan-study\[{library}\]'"
    ):
        prepare(name, source, tmp_path / "out")
