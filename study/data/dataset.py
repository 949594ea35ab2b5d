"""Types of the data package: the declaration of a dataset, its source images and its prepared images."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from study.core.text import printable
from study.core.trial import content_id

SPLITS = ("train", "test")
FORMAT = 1
"""Version of the manifest and the files beside it; incremented when the format on disk changes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """The images of a dataset.

    Attributes:
        train, test: uint8 [N, C, H, W], 0 to 255; read-only memory maps if they are prepared on disk.
        train_labels, test_labels: int64 [N], or None if the dataset has no labels.
        manifest: see `make_manifest`.
    """

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    manifest: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the counts, shapes, pixels and labels of both splits; equal on all machines with the same images."""
        return str(self.manifest["sha256"])


class Unreadable(NamedTuple):
    """In place of an image that its source cannot hand out, such as a damaged member of an archive."""

    detail: str


Encoded = str | bytes | np.ndarray | Unreadable
"""A source image: the path of an image file, the bytes of an image file, or pixels uint8 [H, W, C]."""


class ImageRecord(NamedTuple):
    """One source image, before it is decoded.

    Attributes:
        name: for reports: a path relative to the source, a key, or a row; printable.
        data: see `Encoded`.
        label: its class, from 0; None if the dataset has no labels.
    """

    name: str
    data: Encoded
    label: int | None = None


class PassedOver:
    """The files of a source that are not read, by reason: how many, and the first of them."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.first: dict[str, str] = {}

    def add(self, reason: str, name: str, n: int = 1) -> None:
        """Count `n` files, of which `name` is the first."""
        self.counts[reason] += n
        self.first.setdefault(reason, printable(name))

    def summary(self) -> dict[str, dict[str, Any]]:
        """Plain values, with the most frequent reason first."""
        return {reason: {"count": n, "first": self.first[reason]} for reason, n in self.counts.most_common()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """The source images of one split.

    Attributes:
        n: number of images, before any is skipped.
        records: exactly `n` images, in order. Iterate once, over `train` before `test`.
    """

    n: int
    records: Iterable[ImageRecord]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """The user's images, opened for reading.

    Attributes:
        splits: `train` and `test`.
        provenance: additional entries of the manifest about the origin of the images; plain JSON values.
        remarks: notes for the user, one line each.
        kind: what the source is, such as "folder".
        rule: where the test split comes from.
        class_sizes: number of images of each class, by name; empty without labels.
        labels_from: what the labels are read from, such as "folders".
        passed_over: files that are not read.
    """

    splits: Mapping[str, Split]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    kind: str = "source"
    rule: str = ""
    class_sizes: Mapping[str, int] = field(default_factory=dict)
    labels_from: str = ""
    passed_over: PassedOver = field(default_factory=PassedOver)


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file on the web and its expected MD5 hash, in hexadecimal."""

    url: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The declaration of a dataset: its images, how to obtain them, and the default settings of a study on it.

    Raises ValueError, when it is made, unless exactly one of `embedded` and `source` is given.

    Attributes:
        name: name on the command line; its module has the same name with underscores.
        description: one line, with a reference.
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        labelled: whether its images have classes.
        embedded: returns the images of a dataset that a dependency contains; None if it must be prepared.
        source: called with the declaration and the user's source (a path, or hf://OWNER/NAME); returns the source
            images, or raises InputError if the source cannot be used. None if the dataset is embedded.
        download: file to download if the user gives no source; None if it is not freely available.
        how: options of `study data prepare NAME` that obtain the images.
        fit: how images of another size are fitted to `resolution`, one of `decoding.image.FITS`.
        test_fraction: share of images, the last ones, that form the test split if the source has no splits.
        layout, labels: of a dataset of the user, what the folders of its source mean and where its labels come from;
            see `sources.pools`.
        counts: (train, test) image counts of the published dataset, or None; other counts produce a remark.
        architecture, width, latent_dim: the networks, and the dimension of the latent vectors.
        batch_size: images per batch.
        discriminator_steps: length of a trial in discriminator updates.
        checkpoint_every: discriminator updates between scored checkpoints.
        extractor: the feature network of the scores.
        n_score: maximum number of real and of generated images that are scored, limited by the test split.
    """

    name: str
    description: str
    resolution: int
    channels: int
    labelled: bool
    embedded: Callable[[], Images] | None = None
    source: Callable[["Dataset", str], Source] | None = None
    download: Download | None = None
    how: str = "--source DIR"
    fit: str = "exact"
    test_fraction: float = 0.1
    layout: str = "auto"
    labels: str = "auto"
    counts: tuple[int, int] | None = None
    architecture: str
    width: int
    discriminator_steps: int
    checkpoint_every: int
    extractor: str
    batch_size: int = 64
    latent_dim: int = 128
    n_score: int = 10_000

    def __post_init__(self) -> None:
        if (self.embedded is None) == (self.source is None):
            raise ValueError(f"dataset {self.name}: must have exactly one of `embedded` and `source`.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.channels, self.resolution, self.resolution


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of the bytes of `array` in C order; contiguous arrays and memory maps are not copied."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).data).hexdigest()


def describe(shape: tuple[int, ...], sha256: str, labels: np.ndarray | None) -> dict[str, Any]:
    """The entry of a split in the manifest: shape (N, C, H, W), hash of the pixels, hash of int64 labels or None."""
    labels_sha256 = None if labels is None else array_sha256(labels.astype("<i8", copy=False))
    return {"shape": list(shape), "sha256": sha256, "labels_sha256": labels_sha256}


def make_manifest(name: str, splits: Mapping[str, Mapping[str, Any]], **provenance: Any) -> dict[str, Any]:
    """The manifest of a dataset. `sha256` is a hash of `splits` alone (entries made by `describe`).

    Names, paths, dates and versions are provenance, which does not enter the hash: it is equal on all machines that
    prepared the same images.
    """
    return {"format": FORMAT, "dataset": name, "sha256": _sha256(splits), "splits": dict(splits), **provenance}


def check_manifest(manifest: Mapping[str, Any], dataset: Dataset) -> None:
    """Raises ValueError, KeyError or TypeError if a manifest is inconsistent, malformed or contradicts the dataset."""
    if manifest["format"] != FORMAT:
        raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT}")
    if set(manifest["splits"]) != set(SPLITS) or manifest["sha256"] != _sha256(manifest["splits"]):
        raise ValueError("its manifest was changed: hash and content disagree")
    for split, entry in manifest["splits"].items():
        if tuple(entry["shape"][1:]) != dataset.shape or (entry["labels_sha256"] is not None) != dataset.labelled:
            raise ValueError(f"its {split} images or labels are not as {dataset.name} declares them")


def _sha256(splits: Mapping[str, Mapping[str, Any]]) -> str:
    return content_id(splits, length=64)
