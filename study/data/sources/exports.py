"""Exports of large datasets: LMDB, parquet, and whatever the Hugging Face library `datasets` reads.

Each reader returns the number of images and an iterator, which keeps only a few images in memory. The libraries for
LMDB and Hugging Face datasets are optional: `pip install gan-study[lmdb]`, `pip install gan-study[datasets]`.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from study.core.errors import InputError
from study.data.dataset import Dataset, ImageRecord, Source
from study.data.sources.folder import open_folder, train_test_source

HUB = "hf://"
IMAGE_COLUMNS = ("image", "img", "webp", "jpg", "jpeg", "png")


def open_any(dataset: Dataset, source: str) -> Source:
    """The images of a source of any supported format, which is detected; the last images are the test split.

    Supported are a folder of images, sorted by path; an LMDB export (a folder with data.mdb, or a .mdb or .lmdb file),
    sorted by key; parquet files (one file, or a folder of files sorted by name) and Hugging Face datasets
    (hf://OWNER/NAME, or a folder that `save_to_disk` wrote), split by split in the order of their rows.

    Raises InputError if the source has another format, is damaged, or needs a library that is not installed.
    """
    path = Path(source)
    if source.startswith(HUB) or any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        n, records, library = *_hugging_face(source), "datasets"
    elif (path / "data.mdb").is_file() or (path.is_file() and path.suffix in (".mdb", ".lmdb")):
        n, records, library = *_lmdb(source), "lmdb"
    elif path.suffix == ".parquet" or (path.is_dir() and any(path.rglob("*.parquet"))):
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        n, records, library = *_parquet(source, files), "pyarrow"
    else:
        return open_folder(dataset, source)
    opened = train_test_source(records, n, dataset.test_fraction, source)
    version = str(getattr(import_module(library), "__version__", "unknown"))
    return Source(splits=opened.splits, provenance={"reader": {library: version}})


def _lmdb(source: str) -> tuple[int, Iterator[ImageRecord]]:
    """Encoded images by key as in the export of LSUN (github.com/fyu/lsun), sorted by key."""
    lmdb = _optional("lmdb", source)
    single = Path(source).is_file()

    def opened() -> Any:
        return lmdb.open(source, subdir=not single, readonly=True, lock=False, readahead=False, max_readers=1)

    try:
        with opened() as environment:
            n = int(environment.stat()["entries"])
    except lmdb.Error as error:
        raise _unreadable(source, "LMDB database", error) from error

    def records() -> Iterator[ImageRecord]:
        try:
            with opened() as environment, environment.begin() as transaction:
                for key, value in transaction.cursor():
                    yield ImageRecord(bytes(key).decode("ascii", "backslashreplace"), bytes(value))
        except lmdb.Error as error:
            raise _unreadable(source, "LMDB database", error) from error

    return n, records()


def _parquet(source: str, files: list[Path]) -> tuple[int, Iterator[ImageRecord]]:
    """Rows with a column of encoded images, or of {bytes, path} as Hugging Face writes them."""
    import pyarrow as pa
    from pyarrow import parquet

    damage = (pa.ArrowException, OSError)
    try:
        n = sum(parquet.read_metadata(file).num_rows for file in files)
        columns = [_image_column(str(file), parquet.read_schema(file).names) for file in files]
    except damage as error:
        raise _unreadable(source, "parquet", error) from error

    def records() -> Iterator[ImageRecord]:
        row = 0
        try:
            for file, column in zip(files, columns, strict=True):
                with parquet.ParquetFile(file) as opened:
                    for batch in opened.iter_batches(batch_size=32, columns=[column]):
                        for value in batch.column(0).to_pylist():
                            yield ImageRecord(f"{file.name} row {row}", _encoded(source, value))
                            row += 1
        except damage as error:
            raise _unreadable(source, "parquet", error) from error

    return n, records()


def _hugging_face(source: str) -> tuple[int, Iterator[ImageRecord]]:
    """Encoded images of all splits of a dataset from the Hugging Face Hub or written by `save_to_disk`."""
    library = _optional("datasets", source)
    try:
        hub = source.startswith(HUB)
        loaded = library.load_dataset(source.removeprefix(HUB)) if hub else library.load_from_disk(source)
        parts = list(loaded.values()) if isinstance(loaded, dict) else [loaded]
        column = _image_column(source, parts[0].column_names)
        parts = [part.select_columns([column]).cast_column(column, library.Image(decode=False)) for part in parts]
    except InputError:
        raise
    except Exception as error:  # errors of the library, the network and file systems have no common base class
        raise _unreadable(source, "Hugging Face dataset", error) from error

    def records() -> Iterator[ImageRecord]:
        values = (row[column] for part in parts for row in part)
        try:
            for row, value in enumerate(values):
                yield ImageRecord(f"row {row}", _encoded(source, value))
        except OSError as error:
            raise _unreadable(source, "Hugging Face dataset", error) from error

    return sum(len(part) for part in parts), records()


def _image_column(source: str, names: list[str]) -> str:
    for name in IMAGE_COLUMNS:
        if name in names:
            return name
    raise InputError(
        f"--source {source}: no column of images; it has {', '.join(names)}, must have {' or '.join(IMAGE_COLUMNS)}."
    )


def _encoded(source: str, value: Any) -> bytes | str:
    """The bytes of an image file, or its path; an empty value becomes an image that cannot be decoded."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, bytes | str):
        return value or b""
    raise InputError(
        f"--source {source}: its column of images contains {type(value).__name__}; must contain encoded images."
    )


def _optional(library: str, source: str) -> ModuleType:
    try:
        return import_module(library)
    except ImportError as error:
        raise InputError(
            f"--source {source}: needs the library {library}, which is not installed; run: pip install"
            f" 'gan-study[{library}]'."
        ) from error


def _unreadable(source: str, what: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"--source {source}: not a readable {what} ({reason}); download or export it again.")
