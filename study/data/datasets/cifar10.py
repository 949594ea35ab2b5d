"""CIFAR-10 from the official archive for Python, packed or unpacked, or from any source with its splits and labels."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from study.core.errors import InputError
from study.core.text import printable
from study.data.dataset import Dataset, Download, ImageRecord, Source, Split
from study.data.sources.exports import HUB
from study.data.sources.opening import open_source
from study.data.sources.pools import two_splits
from study.data.sources.trees.archives import TAR_DAMAGE, ZipTree

BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
N_CLASSES = 10
INNER = "cifar-10-batches-py"
NAMES = [name for names in BATCHES.values() for name in names]
DOWNLOAD = Download(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a"
)


def open_cifar(dataset: Dataset, source: str) -> Source:
    """The six batches of the archive in order, five of training images and one of test images; or another source.

    Raises InputError if the source is missing, damaged or incomplete, if a batch does not consist of uint8 rows of
    3,072 values with a label from 0 to 9 each, or if another source has no train and test split with labels.
    """
    path = Path(source)
    batches: dict[str, bytes] = {}
    md5 = None
    if path.is_dir() and _has_batches(path):
        batches = _unpacked(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        batches = _zipped(path)
    elif not source.startswith(HUB) and not path.is_dir() and _is_tar(path):
        batches, md5 = _archived(path)
    if not batches:
        try:
            return _other(dataset, source)
        except InputError as error:
            if md5 is None:
                raise
            raise _incomplete(source, NAMES[0]) from error
    arrays = {name: _batch(source, name, content) for name, content in batches.items()}
    splits = {
        split: Split(n=sum(len(arrays[name][1]) for name in names), records=_records(arrays, names))
        for split, names in BATCHES.items()
    }
    official = md5 in (None, DOWNLOAD.md5)
    remarks = (
        ()
        if official
        else (f"not the published archive: its md5 is {md5}, that of the published one is {DOWNLOAD.md5}",)
    )
    kind, rule = "folder" if path.is_dir() else "archive", "the official batches"
    labels = Counter(label for _, labels in arrays.values() for label in labels)
    return Source(
        splits=splits,
        provenance={"md5": md5} if md5 else {},
        remarks=remarks,
        kind=kind,
        rule=rule,
        labels_from="the official batches",
        class_sizes={str(label): labels[label] for label in sorted(labels)},
    )


def _other(dataset: Dataset, source: str) -> Source:
    """Images with the splits and the labels of the dataset, whose classes are in the order of their names."""
    opened = open_source(source)
    largest = max((max(pool.labels) for pool in opened.pools.values() if pool.labels is not None), default=-1)
    if not opened.divided or not 0 <= largest < N_CLASSES or len(opened.classes) not in (0, N_CLASSES):
        raise InputError(
            f"--source {opened.source}: {dataset.name} needs train and test images with labels of its 10 classes, this"
            f" {opened.kind} has none; give cifar-10-python.tar.gz (md5 {DOWNLOAD.md5})."
        )
    return two_splits(opened, dataset.test_fraction)


def _zipped(path: Path) -> dict[str, bytes]:
    """The batches in a zip archive, as Kaggle passes them on; empty if there are none."""
    tree = ZipTree(str(path))
    found = {name.rpartition("/")[2]: name for name in tree.others}
    batches = {name: tree.content(found[name]) for name in NAMES if name in found}
    if batches and (missing := [name for name in NAMES if name not in batches]):
        raise _incomplete(str(path), missing[0])
    return batches


def _incomplete(source: str, name: str) -> InputError:
    remedy = f"give cifar-10-python.tar.gz (md5 {DOWNLOAD.md5})"
    return InputError(f"--source {printable(source)}: has no {name}; {remedy}.")


def _is_tar(path: Path) -> bool:
    """Whether a file is a tar archive by its name or content; a missing file is, so that the archive is asked for."""
    return not path.exists() or ".tar" in path.suffixes or path.suffix == ".tgz" or tarfile.is_tarfile(path)


def _has_batches(folder: Path) -> bool:
    return any((inner / name).exists() for inner in (folder, folder / INNER) for name in NAMES)


def _records(arrays: Mapping[str, tuple[np.ndarray, list[int]]], names: list[str]) -> Iterator[ImageRecord]:
    for name in names:
        pixels, labels = arrays[name]
        for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            yield ImageRecord(f"{name}[{row}]", image.reshape(3, 32, 32).transpose(1, 2, 0), label)


def _unpacked(folder: Path) -> dict[str, bytes]:
    inner = folder / INNER
    folder = inner if inner.is_dir() else folder
    try:
        return {name: (folder / name).read_bytes() for name in NAMES}
    except OSError as error:
        what = f"{Path(error.filename).name}: {error.strerror}"
        raise InputError(f"--source {folder}: not CIFAR-10's python batches ({what}); give the archive.") from error


def _archived(path: Path) -> tuple[dict[str, bytes], str]:
    """The batches and the MD5 hash of an archive, which is read to its end to check it, but not unpacked to disk."""
    batches: dict[str, bytes] = {}
    try:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in NAMES and member.size < 1e8:
                    batches[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
            while archive.fileobj.read(1 << 20):
                pass
    except FileNotFoundError as error:
        raise InputError(f"--source {path}: no such file; give the archive, or --download it.") from error
    except TAR_DAMAGE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--source {path}: the archive is damaged or truncated ({reason}); download it again (md5 {DOWNLOAD.md5})."
        ) from error
    if batches and (missing := [name for name in NAMES if name not in batches]):
        raise _incomplete(str(path), missing[0])
    return batches, md5


def _batch(source: str, name: str, content: bytes) -> tuple[np.ndarray, list[int]]:
    """The pixels, uint8 [N, 3072] channel by channel, and the labels of one pickled batch."""
    try:
        batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except pickle.UnpicklingError as error:
        raise InputError(f"--source {source}: {name} is not a batch of CIFAR-10 ({error}).") from error
    except Exception as error:  # a damaged pickle raises anything
        raise InputError(f"--source {source}: {name} is not a batch of CIFAR-10 ({type(error).__name__}).") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise InputError(
            f"--source {source}: {name} holds {pixels.dtype} {list(pixels.shape)}; must be uint8 [N, 3072]."
        )
    if labels.shape != pixels.shape[:1] or labels.dtype.kind != "i" or not set(np.unique(labels)) <= set(range(10)):
        raise InputError(
            f"--source {source}: {name} must have a label from 0 to 9 for each of its {len(pixels)} images."
        )
    return pixels, labels.tolist()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encodes as {encoding}")
    return text.encode("latin1")


class _Arrays(pickle.Unpickler):
    """Unpickles only plain values and NumPy arrays; refuses other names, because a pickle can run arbitrary code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return np._core.numeric._frombuffer  # type: ignore[attr-defined]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # bytes in old pickle protocols
            return _latin1
        raise pickle.UnpicklingError(f"asks for {module}.{name}, refused as unsafe")


DATASET = Dataset(
    name="cifar10",
    description="60,000 images of 10 classes, 32x32 RGB, 50,000 train and 10,000 test (Krizhevsky 2009; section 2.5)",
    resolution=32,
    channels=3,
    labelled=True,
    source=open_cifar,
    download=DOWNLOAD,
    how="--download",
    counts=(50_000, 10_000),
    architecture="sndcgan",
    width=64,
    discriminator_steps=200_000,
    checkpoint_every=20_000,
    extractor="inception-v3-compat",
)
