"""Datasets on disk: prepared once, then memory-mapped.

A prepared dataset is the folder DATA_DIR/NAME with one uint8 array [N, C, H, W] per split (train.npy, test.npy), int64
labels [N] if the dataset has labels (train_labels.npy, test_labels.npy), and manifest.json. It is written into the
hidden folder DATA_DIR/.NAME.partial and renamed when it is complete and synced to the disk, so that an incomplete
dataset is never visible. The next preparation removes the remains of a killed one.
"""

import fcntl
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from study.core.errors import InputError
from study.data.dataset import SPLITS, Dataset, Images, Source, array_sha256, check_manifest, describe
from study.data.location import default_data_dir, expanded
from study.data.report import ProgressCallback
from study.data.sources.download import fetch
from study.data.sources.exports import HUB
from study.data.writing import MANIFEST, write

DOWNLOADS = "downloads"
RESERVED = (DOWNLOADS, "classifiers", "statistics")
"""Other folders in the data folder, whose names a dataset cannot have."""
FILES = {MANIFEST, *(f"{split}{kind}.npy" for split in SPLITS for kind in ("", "_labels"))}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The result of `prepare`.

    Attributes:
        folder: folder of the prepared dataset.
        manifest: content of manifest.json.
        kept: whether the same images were prepared already and were kept.
        images: number of images read.
        seconds: wall time.
    """

    folder: Path
    manifest: Mapping[str, Any]
    kept: bool
    images: int
    seconds: float


def prepare(
    dataset: Dataset,
    source: str | None,
    data_dir: Path,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
) -> Preparation:
    """Prepare the images of `source`, or of the download if `source` is None, in DATA_DIR/NAME, atomically.

    If the same images are prepared already, they are kept; a damaged preparation is replaced. Images are decoded by
    `workers` processes (one per core by default); the result does not depend on their number.

    Raises InputError if the source or all of its images cannot be used, if other images are prepared under this name,
    if another process is preparing them, or if `data_dir` cannot be written or is too small.
    """
    if dataset.source is None:
        raise InputError(f"dataset {dataset.name}: comes with the package; there is nothing to prepare.")
    start = time.perf_counter()
    if source is not None:
        source = source if source.startswith(HUB) else os.path.abspath(expanded(source))  # noqa: PTH100
        opened = dataset.source(dataset, source)
    target, partial = data_dir / dataset.name, data_dir / f".{dataset.name}.partial"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _exclusive(data_dir / f".{dataset.name}.lock"):
            _refuse_foreign(target)
            shutil.rmtree(partial, ignore_errors=True)  # left by a killed process: the lock excludes a running one
            if source is None:
                source, opened = _downloaded(dataset, data_dir, progress)
            _check_room(dataset, opened, data_dir)
            try:
                manifest = write(partial, dataset, opened, source, progress, workers)
                kept = _install(dataset, partial, target, manifest["sha256"])
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        remedy = "make room there, or choose another folder with --data-dir or $STUDY_DATA"
        raise InputError(f"--data-dir {data_dir}: cannot be written ({reason}); {remedy}.") from error
    seconds = time.perf_counter() - start
    return Preparation(folder=target, manifest=manifest, kept=kept, images=manifest["images"]["read"], seconds=seconds)


def _downloaded(dataset: Dataset, data_dir: Path, progress: ProgressCallback | None) -> tuple[str, Source]:
    if dataset.download is None or dataset.source is None:
        raise InputError(f"dataset {dataset.name}: no source given; run: {prepare_command(dataset, data_dir)}")
    path = str(fetch(dataset.download, data_dir / DOWNLOADS, progress))
    opened = dataset.source(dataset, path)
    return dataset.download.url, opened


def _check_room(dataset: Dataset, opened: Source, data_dir: Path) -> None:
    """Raises InputError if the disk is too small for the images."""
    needed = sum(split.n for split in opened.splits.values()) * int(np.prod(dataset.shape))
    free = shutil.disk_usage(data_dir).free
    if needed > free:
        raise InputError(
            f"--data-dir {data_dir}: {dataset.name} needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free; make"
            " room there, or choose another folder with --data-dir or $STUDY_DATA."
        )


def prepare_command(dataset: Dataset, data_dir: Path) -> str:
    """The command that prepares a dataset."""
    elsewhere = "" if data_dir == default_data_dir() else f" --data-dir {shlex.quote(str(data_dir))}"
    return f"study data prepare {dataset.name} {dataset.how}{elsewhere}"


def load(dataset: Dataset, data_dir: Path) -> Images:
    """The prepared images as read-only memory maps; reads only headers, labels and the manifest.

    Raises InputError, with the command that prepares them, if they are not prepared, or if files, manifest and
    declaration disagree on a count, a shape or a type.
    """
    folder = data_dir / dataset.name
    remedy = prepare_command(dataset, data_dir)
    if not os.path.exists(folder):  # noqa: PTH110  False, not an error, without permission for a parent folder
        raise InputError(f"dataset {dataset.name}: not prepared in {data_dir}; run: {remedy}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        check_manifest(manifest, dataset)
        arrays = {}
        for split, entry in manifest["splits"].items():
            arrays[split] = _map(folder / f"{split}.npy", np.uint8, entry["shape"])
            if entry["labels_sha256"]:
                arrays[f"{split}_labels"] = _map(folder / f"{split}_labels.npy", np.int64, entry["shape"][:1])
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"dataset {dataset.name}: {folder} is damaged ({reason}); prepare it again: {remedy}"
        ) from error
    return Images(**arrays, manifest=manifest)


def verify(dataset: Dataset, data_dir: Path) -> Images:
    """Like `load`, but reads all pixels; raises InputError also if the hash of a split is not that of the manifest."""
    images = load(dataset, data_dir)
    for split in SPLITS:
        pixels, labels = getattr(images, split), getattr(images, f"{split}_labels")
        if describe(pixels.shape, array_sha256(pixels), labels) != images.manifest["splits"][split]:
            file = data_dir / dataset.name / f"{split}.npy"
            raise InputError(f"dataset {dataset.name}: {file} was changed since it was prepared; prepare it again.")
    return images


def size_on_disk(dataset: Dataset, data_dir: Path) -> int:
    """Size of the prepared files in bytes; 0 if there are none."""
    return sum(file.stat().st_size for file in (data_dir / dataset.name).glob("*") if file.name in FILES)


def _install(dataset: Dataset, partial: Path, target: Path, sha256: str) -> bool:
    """Rename `partial` to `target` unless `target` has the same images already; returns whether it has."""
    if target.exists():
        try:
            existing = verify(_as_prepared(dataset, target), target.parent).sha256
        except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
            shutil.rmtree(target)  # damaged
        else:
            if existing == sha256:
                return True
            hashes = f"sha256 {existing}, this source gives {sha256}"
            raise InputError(
                f"dataset {dataset.name}: {target} holds other images ({hashes}); remove it to replace it."
            )
    _flush(partial)
    partial.rename(target)
    _flush(target.parent)
    return False


def _as_prepared(dataset: Dataset, target: Path) -> Dataset:
    """The declaration for the images in `target`, which may have been prepared with another resolution or labels."""
    entry = json.loads((target / MANIFEST).read_text())["splits"]["train"]
    _, channels, resolution, _ = entry["shape"]
    labelled = entry["labels_sha256"] is not None
    return replace(dataset, channels=channels, resolution=resolution, labelled=labelled)


def _refuse_foreign(target: Path) -> None:
    """Raises InputError if `target` contains other files than a prepared dataset: they may be the user's only copy."""
    if target.exists() and not (target.is_dir() and {file.name for file in target.iterdir()} <= FILES):
        raise InputError(
            f"--data-dir {target.parent}: {target} is not a prepared dataset; move it, or choose another folder."
        )


def _map(path: Path, dtype: type, shape: list[int]) -> np.ndarray:
    """A read-only memory map; raises ValueError if the file is truncated or has another shape or type."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path.name} is truncated or not an array") from error
    if array.dtype != dtype or list(array.shape) != shape:
        raise ValueError(f"{path.name} is {array.dtype} {list(array.shape)}, its manifest says {shape}")
    return np.asanyarray(array)


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Holds a lock that ends with the process; raises InputError if another process holds it."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(file.fileno()).st_nlink > 0  # otherwise its last holder has just removed it
        except BlockingIOError:
            held = False
        if not held:
            raise InputError(f"--data-dir {lock.parent}: another process is preparing this dataset there; wait for it.")
        try:
            yield
        finally:
            lock.unlink()


def _flush(folder: Path) -> None:
    """Sync the entries of a folder to the disk, so that a rename survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
