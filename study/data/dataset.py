"""What a dataset is: its declaration, its images before they are prepared, and its images once they are."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from study.core.trial import content_id

SPLITS = ("train", "test")
FORMAT = 1
"""Of the manifest and the files beside it; raised when what is on disk changes meaning."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Images:
    """A dataset in hand.

    Attributes:
        train, test: uint8 [N, C, H, W], 0 to 255; read-only memory maps where they were prepared on disk.
        train_labels, test_labels: int64 [N], or None where the dataset has no labels.
        manifest: what `make_manifest` returns.
    """

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    manifest: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the counts, shapes and pixels of both splits; equal on all machines that hold the same images."""
        return str(self.manifest["sha256"])


class ImageRecord(NamedTuple):
    """One image on its way into a prepared dataset.

    Attributes:
        name: what reports call it: a path below the source, a key, a row.
        data: where its pixels are: the path of an image file, the bytes of one, or an array uint8 [H, W, C].
        label: its class, from 0; None where the dataset has no labels.
    """

    name: str
    data: str | bytes | np.ndarray
    label: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """The images that a source offers for one split.

    Attributes:
        n: how many, before any is left out.
        records: exactly so many, in order; read once, and `train` before `test`.
    """

    n: int
    records: Iterable[ImageRecord]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What the user has, opened.

    Attributes:
        splits: `train` and `test`.
        provenance: what the manifest is to say of where they come from: plain JSON values.
        remarks: what the user should know of them, a line each.
    """

    splits: Mapping[str, Split]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file on the web, of known content (`md5`, in hexadecimal)."""

    url: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The declaration of a dataset: what it holds, how it is obtained, and what a study does with it by default.

    Attributes:
        name: on the command line; its module has the same name with underscores.
        description: one line, with the source.
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        labelled: whether its images have classes.
        embedded: returns the images of a dataset that comes with a dependency; None where it must be prepared.
        source: called with the declaration and what the user has (a path, or hf://OWNER/NAME); returns the images on
            offer, or raises InputError where it cannot be used. None where the dataset is embedded.
        download: what `source` can be given if the user has nothing; None where it is not to be had without asking.
        how: the options of `study data prepare NAME` that obtain it.
        fit: how images of another size are brought to `resolution`, one of `decode.FITS`.
        test_fraction: the last images that are the test split, where the source names no splits.
        counts: (train, test) of the published dataset, where it is known; others are remarked upon.
        architecture, width, latent_dim: the networks, and the dimension of the latent vectors.
        batch_size: images per batch.
        discriminator_steps: D updates of a trial.
        checkpoint_every: D updates between scored checkpoints.
        extractor: of the features that scores compare.
        n_score: images on either side of a score; the whole test split where that is smaller.
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
            raise ValueError(f"dataset {self.name}: is either embedded or prepared from a source.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.channels, self.resolution, self.resolution


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of the bytes of `array` in C order; a contiguous array or memory map is read without a copy."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).data).hexdigest()


def describe(shape: tuple[int, ...], sha256: str, labels: np.ndarray | None) -> dict[str, Any]:
    """A split's entry in the manifest: shape (N, C, H, W), hash of its pixels, and hash of its int64 labels or None."""
    labels_sha256 = None if labels is None else array_sha256(labels.astype("<i8", copy=False))
    return {"shape": list(shape), "sha256": sha256, "labels_sha256": labels_sha256}


def make_manifest(name: str, splits: Mapping[str, Mapping[str, Any]], **provenance: Any) -> dict[str, Any]:
    """What is known of a dataset's images. `sha256` covers `splits` (entries by `describe`) and nothing else.

    Names, paths, dates and versions are provenance: two machines that prepared the same images agree on the hash.
    """
    return {"format": FORMAT, "dataset": name, "sha256": _sha256(splits), "splits": dict(splits), **provenance}


def check_manifest(manifest: Mapping[str, Any], dataset: Dataset) -> None:
    """Raises ValueError (KeyError, TypeError) where a manifest contradicts itself or the declaration, or is none."""
    if manifest["format"] != FORMAT:
        raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT}")
    if set(manifest["splits"]) != set(SPLITS) or manifest["sha256"] != _sha256(manifest["splits"]):
        raise ValueError("its manifest was changed: hash and content disagree")
    for split, entry in manifest["splits"].items():
        if tuple(entry["shape"][1:]) != dataset.shape or (entry["labels_sha256"] is not None) != dataset.labelled:
            raise ValueError(f"its {split} images or labels are not as {dataset.name} declares them")


def _sha256(splits: Mapping[str, Mapping[str, Any]]) -> str:
    return content_id(splits, length=64)
