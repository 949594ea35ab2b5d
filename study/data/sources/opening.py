"""Opens a source of images of any kind, which is detected."""

import os
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from study.data.dataset import Dataset, PassedOver, Source
from study.data.sources.exports import HUB, holds_images, open_hugging_face, open_lmdb, open_parquet
from study.data.sources.npz import open_archive
from study.data.sources.pools import AUTO, FLAT, NONE, Opened, refused, two_splits
from study.data.sources.trees.archives import TarTree, ZipTree
from study.data.sources.trees.folder import FolderTree
from study.data.sources.trees.layout import interpret
from study.data.sources.trees.tree import Tree, suffix

KINDS = "a folder, a zip or tar archive, an .npz file, an LMDB, parquet files, or hf://OWNER/NAME"
"""Every kind of source."""
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz")


def source_path(source: str | os.PathLike[str]) -> str:
    """The absolute path of a source, or its address on the Hugging Face Hub."""
    text = os.fspath(source)
    return text if text.startswith(HUB) else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111  unlike Path's, it leaves an unknown ~user


def open_source(source: str, layout: str = AUTO, labels: str = AUTO) -> Opened:
    """The images of a source, with the splits and labels that it has.

    Args:
        source: an absolute path, or an address hf://OWNER/NAME. A folder holds images, parquet files, one LMDB or
            several, or a dataset that `save_to_disk` of Hugging Face's library wrote.
        layout: what its folders mean, one of LAYOUTS.
        labels: where its labels come from, one of LABELS or the path of a JSON file.

    Raises InputError if the source is of another kind, is damaged, can be read in two ways, or needs a library that is
    not installed.
    """
    if source.startswith(HUB):
        return open_hugging_face(source, layout, labels)
    try:
        Path(source).stat()
    except FileNotFoundError as error:
        raise refused(source, f"no such {'file' if suffix(source) else 'folder'}; must be {KINDS}.") from error
    except OSError as error:
        raise refused(source, f"cannot be read ({error.strerror}); check its permissions.") from error
    return _folder(source, layout, labels) if Path(source).is_dir() else _file(source, layout, labels)


def _folder(source: str, layout: str, labels: str) -> Opened:
    tree = FolderTree(source)
    if tree.has("dataset_dict.json") or tree.has("state.json"):
        return open_hugging_face(source, layout, labels)
    if databases := [name for name in tree.others if name.rpartition("/")[2] == "data.mdb"]:
        locks = [name for name in tree.others if name.rpartition("/")[2] == "lock.mdb"]
        return open_lmdb(source, databases, layout, labels, _beside(tree, databases + locks))
    tables = sorted((name for name in tree.others if suffix(name) == ".parquet"), key=lambda name: name.split("/"))
    if tables and (not tree.images or any(holds_images(f"{source}/{name}") for name in tables)):
        return open_parquet(source, tables, layout, labels, _beside(tree, tables))
    return interpret(tree, layout, labels)


def _beside(tree: Tree, used: Sequence[str]) -> PassedOver:
    passed_over = tree.pass_over(used)
    if tree.images:
        passed_over.add("an image file beside other data", tree.images[0], len(tree.images))
    return passed_over


def _file(source: str, layout: str, labels: str) -> Opened:
    ending = suffix(source)
    if ending in (".mdb", ".lmdb"):
        return open_lmdb(source, [], layout, labels, PassedOver())
    try:
        with Path(source).open("rb") as file:
            magic = file.read(4)
        if ending == ".parquet" or magic == b"PAR1":
            return open_parquet(source, [], layout, labels, PassedOver())
        if ending == ".npz":
            return open_archive(source, layout, labels)
        tree = _archive(source, ending)
    except OSError as error:
        raise refused(source, f"cannot be read ({error.strerror or error}); check its permissions.") from error
    if not tree.images and tree.others and all(suffix(name) == ".npy" for name in tree.others):
        return open_archive(source, layout, labels)
    return interpret(tree, layout, labels)


def _archive(source: str, ending: str) -> Tree:
    if ending == ".zip" or zipfile.is_zipfile(source):
        return ZipTree(source)
    if ending in ARCHIVES or tarfile.is_tarfile(source):
        return TarTree(source)
    raise refused(source, f"is a file of another kind; must be {KINDS}.")


def open_study(dataset: Dataset, source: str) -> Source:
    """The images of a source for a dataset of the study without labels: in order, the last ones are the test split."""
    return two_splits(open_source(source, FLAT, NONE), dataset.test_fraction)
