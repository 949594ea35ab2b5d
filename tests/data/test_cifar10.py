"""CIFAR-10 from archives of the official form, small ones that the tests make; what is damaged or unsafe is refused."""

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from study.core.errors import InputError
from study.data import load, prepare, prepared
from study.data.datasets import cifar10
from study.data.datasets.cifar10 import NAMES

from .test_trees import zipped

N = 12
"""Images in a batch; 10,000 in the official ones."""


def batches(seed=0, protocol=2):
    """Six pickled batches by name, and their pixels [6 N, 3, 32, 32] and labels [6 N]."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (6 * N, 3072), dtype=np.uint8)
    labels = rng.integers(0, 10, 6 * N).tolist()
    content = {}
    for i, name in enumerate(NAMES):
        rows = slice(i * N, (i + 1) * N)
        batch = {
            b"batch_label": name.encode(),
            b"labels": labels[rows],
            b"data": pixels[rows],
            b"filenames": [b"x"] * N,
        }
        content[name] = pickle.dumps(batch, protocol=protocol)
    return content, pixels.reshape(-1, 3, 32, 32), np.array(labels)


def archived(path, content, folder="cifar-10-batches-py/"):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {"readme.html": b"<html>", **content}.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


@pytest.mark.parametrize("protocol", [2, 5])
def test_pixels_labels_and_order_are_the_archives(tmp_path, protocol):
    content, pixels, labels = batches(protocol=protocol)
    made = prepare("cifar10", archived(tmp_path / "c.tar.gz", content), tmp_path / "data")
    images = load("cifar10", tmp_path / "data")
    np.testing.assert_array_equal(images.train, pixels[: 5 * N])
    np.testing.assert_array_equal(images.test, pixels[5 * N :])
    np.testing.assert_array_equal(images.train_labels, labels[: 5 * N])
    np.testing.assert_array_equal(images.test_labels, labels[5 * N :])
    md5 = hashlib.md5((tmp_path / "c.tar.gz").read_bytes()).hexdigest()
    assert made.manifest["md5"] == md5
    remarks = "\n".join(made.manifest["remarks"])
    assert (
        f"not the published archive: its md5 is {md5}" in remarks and "cifar10 has 50,000 train and 10,000" in remarks
    )


def test_a_zip_of_the_batches_gives_the_same(tmp_path):
    content, pixels, _ = batches()
    zipped(tmp_path / "c.zip", {f"cifar-10-batches-py/{name}": data for name, data in content.items()})
    prepare("cifar10", tmp_path / "c.zip", tmp_path / "data")
    np.testing.assert_array_equal(load("cifar10", tmp_path / "data").train, pixels[: 5 * N])
    del content["data_batch_4"]
    zipped(tmp_path / "c.zip", content)
    with refused("--source .*c.zip: has no data_batch_4; give cifar-10-python.tar.gz"):
        prepare("cifar10", tmp_path / "c.zip", tmp_path / "data")


def test_the_unpacked_folder_gives_the_same(tmp_path):
    content, _, _ = batches()
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    hashes = {
        prepare("cifar10", source, tmp_path / f"data {i}").manifest["sha256"]
        for i, source in enumerate((folder, tmp_path, archived(tmp_path / "c.tar.gz", content)))
    }
    assert len(hashes) == 1
    (folder / "data_batch_4").unlink()
    with refused(r"--source .*: not CIFAR-10's python batches \(data_batch_4: No such file"):
        prepare("cifar10", folder, tmp_path / "data")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.95, 0.9999])
def test_a_truncated_archive(tmp_path, keep):
    path = archived(tmp_path / "c.tar.gz", batches()[0])
    os.truncate(path, int(path.stat().st_size * keep))
    with refused(r"--source .*c.tar.gz: the archive is damaged or truncated \(.*download it again \(md5 c58f30108"):
        prepare("cifar10", path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_single_wrong_byte_anywhere_is_found(tmp_path):
    path = archived(tmp_path / "c.tar.gz", batches()[0])
    good = path.read_bytes()
    for place in np.linspace(20, len(good) - 8, 25).astype(int):  # past the header's name and time, which say nothing
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        with refused("--source .*c.tar.gz: "):
            prepare("cifar10", path, tmp_path / "data")


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("made-by-the-pickle",)  # in the working folder, which the test sets


def with_batch(name, batch):
    return {**batches()[0], name: batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=2)}


ROWS = np.zeros((N, 3072), np.uint8)
BAD = {
    "code": (_Bomb(), "asks for posix.mkdir, refused as unsafe"),
    "code within": ({b"data": ROWS, b"labels": [0] * N, b"x": _Bomb()}, "refused as unsafe"),
    "numpy function": (b"cnumpy\nload\n(S'x'\ntR.", "asks for numpy.load, refused as unsafe"),
    "no pickle": (b"hello", r"not a batch of CIFAR-10 \("),
    "cut pickle": (pickle.dumps({b"data": ROWS}, protocol=2)[:500], "not a batch of CIFAR-10"),
    "no labels": ({b"data": ROWS}, "not a batch of CIFAR-10"),
    "too few labels": ({b"data": ROWS, b"labels": [0]}, f"label from 0 to 9 for each of its {N} images"),
    "strange label": ({b"data": ROWS, b"labels": [10] * N}, "label from 0 to 9"),
    "other shape": ({b"data": ROWS[:, :100], b"labels": [0] * N}, r"holds uint8 \[12, 100\]"),
    "other type": ({b"data": ROWS.astype(np.int64), b"labels": [0] * N}, "holds int64"),
    "objects": ({b"data": ROWS.astype(object), b"labels": [0] * N}, "CIFAR-10|holds object"),
}


@pytest.mark.parametrize(("batch", "message"), BAD.values(), ids=BAD)
def test_a_batch_that_is_unsafe_or_something_else_is_refused(tmp_path, batch, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = archived(tmp_path / "c.tar.gz", with_batch("data_batch_2", batch))
    with refused(rf"--source .*: data_batch_2 .*(?:{message})"):
        prepare("cifar10", path, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["c.tar.gz"]


def test_an_archive_of_something_else(tmp_path):
    with refused("has no data_batch_1; give cifar-10-python.tar.gz"):
        prepare("cifar10", archived(tmp_path / "c.tar.gz", {"x": b"y"}), tmp_path / "data")
    with refused("no such file; give the archive, or --download it"):
        prepare("cifar10", tmp_path / "none.tar.gz", tmp_path / "data")


@pytest.fixture
def served(tmp_path, web, monkeypatch):
    """The archive on a server, and the dataset that is downloaded from there."""
    path = archived(web.folder / "c.tar.gz", batches()[0])
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    download = replace(cifar10.DOWNLOAD, url=f"{web.url}/c.tar.gz", md5=md5)
    monkeypatch.setattr(cifar10, "DATASET", replace(cifar10.DATASET, download=download))
    return path


def test_download_prepares_and_is_kept_for_the_next_time(tmp_path, served, web):
    steps = []
    made = prepare("cifar10", None, tmp_path / "data", lambda *step: steps.append(step))
    images = prepared.verify(cifar10.DATASET, tmp_path / "data")
    np.testing.assert_array_equal(images.train, batches()[1][: 5 * N])
    assert made.manifest["source"] == f"{web.url}/c.tar.gz"
    size = served.stat().st_size
    assert ("downloading", size, size) in steps
    assert prepare("cifar10", None, tmp_path / "data").kept
    assert web.asked == ["/c.tar.gz"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cifar10", "downloads"]


def test_a_wrong_checksum_leaves_nothing(tmp_path, served):
    archived(served, batches(seed=1)[0])
    with refused(
        r"--download http://.*c.tar.gz: md5 [0-9a-f]{32}, must be [0-9a-f]{32}; try again, or .*--source FILE"
    ):
        prepare("cifar10", None, tmp_path / "data")
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("trouble", ["gone", "cut", "refused"])
def test_a_download_that_fails_is_one_line_and_leaves_nothing(tmp_path, served, web, trouble):
    if trouble == "gone":
        served.unlink()
    elif trouble == "cut":
        web.cut = 100
    else:
        web.close()
    with refused(
        r"--download http://.*: (cannot be downloaded \(.+\)|md5 .*); .*download it elsewhere and give it with --source"
    ):
        prepare("cifar10", None, tmp_path / "data")
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_an_existing_download_that_is_damaged_is_fetched_again(tmp_path, served, web):
    (tmp_path / "data" / "downloads").mkdir(parents=True)
    (tmp_path / "data" / "downloads" / "c.tar.gz").write_bytes(b"half")
    prepare("cifar10", None, tmp_path / "data")
    assert web.asked == ["/c.tar.gz"]
