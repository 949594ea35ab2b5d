"""What a dataset is: its declaration, its images before they are prepared, and its images once they are."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.trial import content_id

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Images on their way into a prepared dataset.

    Attributes:
        shape: (N, C, H, W).
        images: N arrays uint8 [C, H, W], which may be decoded as they are asked for.
        labels: int64 [N], or None.
    """

    shape: tuple[int, int, int, int]
    images: Iterable[np.ndarray]
    labels: np.ndarray | None = None


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
        source: called with the declaration and the path of what the user has; returns the splits `train` and `test`,
            or raises InputError where the path cannot be used. None where the dataset is embedded.
        architecture, width: the networks.
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
    source: Callable[["Dataset", Path], Mapping[str, Split]] | None = None
    architecture: str
    width: int
    discriminator_steps: int
    checkpoint_every: int
    extractor: str
    n_score: int = 10_000

    def __post_init__(self) -> None:
        if (self.embedded is None) == (self.source is None):
            raise ValueError(f"dataset {self.name}: is either embedded or prepared from a source.")


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
        declared = [dataset.channels, dataset.resolution, dataset.resolution]
        if entry["shape"][1:] != declared or (entry["labels_sha256"] is not None) != dataset.labelled:
            raise ValueError(f"its {split} images or labels are not as {dataset.name} declares them")


def _sha256(splits: Mapping[str, Mapping[str, Any]]) -> str:
    return content_id(splits, length=64)
