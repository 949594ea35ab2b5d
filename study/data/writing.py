"""Writes the files of a prepared dataset: pixels, labels and manifest."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from study.core.errors import InputError
from study.core.text import printable
from study.data.dataset import Dataset, Source, describe, make_manifest
from study.data.decoding.image import Target
from study.data.decoding.parallel import decoded
from study.data.report import ImageCounts, ProgressCallback, other_counts

MANIFEST = "manifest.json"


def write(
    folder: Path,
    dataset: Dataset,
    opened: Source,
    source: str,
    progress: ProgressCallback | None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write the files into the new folder `folder` and sync them to the disk; returns the manifest.

    Only a few images are in memory at a time. The files depend only on the source, not on the number of `workers`.

    Raises InputError if no image of a split can be used, and as `decode` does; OSError if the disk is full.
    """
    folder.mkdir()
    counts, entries = ImageCounts(), {}
    total = sum(split.n for split in opened.splits.values())
    target = Target(dataset.resolution, dataset.channels, dataset.fit)
    for name, split in opened.splits.items():
        digest, labels = hashlib.sha256(), array("q")
        # Plain writes, not a memory map: on a full disk they raise, while a map kills the process with SIGBUS.
        with (
            _durable(folder / f"{name}.npy") as file,
            closing(decoded(split.records, split.n, target, workers)) as pairs,
        ):
            _write_header(file, (split.n, *dataset.shape))
            for record, image in pairs:
                counts.add(name, record, image)
                if image.pixels:
                    digest.update(image.pixels)
                    file.write(image.pixels)
                    if record.label is not None:
                        labels.append(record.label)
                if progress and (counts.read % 32 == 0 or counts.read == total):
                    progress("preparing", counts.read, total)
            shape = (counts.kept[name], *dataset.shape)
            _write_header(file, shape)
        if not counts.kept[name]:
            raise InputError(
                f"--source {printable(source)}: no image of the {name} split can be used ({counts.refusal()})."
            )
        classes = np.frombuffer(labels, np.int64) if dataset.labelled else None
        if classes is not None:
            with _durable(folder / f"{name}_labels.npy") as file:
                np.save(file, classes)
        entries[name] = describe(shape, digest.hexdigest(), classes)
    manifest = make_manifest(dataset.name, entries, **_provenance(dataset, opened, source, counts))
    with _durable(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    return manifest


def _provenance(dataset: Dataset, opened: Source, source: str, counts: ImageCounts) -> dict[str, Any]:
    lost = counts.lost_classes(opened.provenance.get("classes", ()))
    remarks = [*opened.remarks, *lost, *other_counts(dataset, counts.kept, "prepared")]
    return {
        "source": source,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fit": dataset.fit,
        "orientation": "as EXIF says",
        "images": counts.summary(),
        "remarks": remarks,
        "versions": _versions(),
        **opened.provenance,
    }


def _versions() -> dict[str, str]:
    """Versions of the libraries that decode images: two versions of a JPEG library may differ in the last bit."""
    from PIL import __version__, features

    codecs = {name: features.version(name) for name in ("jpg", "zlib", "libtiff", "webp")}
    turbo = {"libjpeg_turbo": features.version_feature("libjpeg_turbo")}
    found = {"numpy": np.__version__, "pillow": __version__, **codecs, **turbo}
    return {name: str(version) for name, version in found.items() if version}


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a uint8 array at the start of `file`; headers for different N have the same length."""
    end = file.tell()
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file.seek(max(end, file.tell()))


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    """A new file, which is synced to the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
