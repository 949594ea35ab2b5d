"""Exports of datasets: LMDB, parquet, and whatever the Hugging Face library `datasets` reads.

Only a few images are in memory at a time. The libraries for LMDB and Hugging Face datasets are optional: `pip install
gan-study[lmdb]`, `pip install gan-study[datasets]`.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from study.core.errors import InputError
from study.core.text import printable
from study.data.dataset import Encoded, PassedOver
from study.data.sources.chunks import Chunk, assembled
from study.data.sources.pools import LABEL_COLUMNS, Named, Opened, refused, unreadable

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

HUB = "hf://"
REMEDY = "download or export it again"
IMAGE_COLUMNS = ("image", "img", "webp", "jpg", "jpeg", "png")


def open_lmdb(source: str, files: Sequence[str], layout: str, labels: str, passed_over: PassedOver) -> Opened:
    """Encoded images by key as in the export of LSUN (github.com/fyu/lsun), sorted by key.

    `files` are the database files in the folder `source`; none if `source` is a database file.
    """
    lmdb = _optional("lmdb", source)

    def opened(path: Path) -> Any:
        return lmdb.open(
            os.fsencode(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, max_readers=1
        )

    def read(path: Path, places: Sequence[int]) -> Named:
        wanted = iter(places)
        place = next(wanted, None)
        try:
            with opened(path) as environment, environment.begin() as transaction:
                cursor = transaction.cursor()
                for row, key in enumerate(cursor.iternext(values=False)):
                    if row == place:
                        yield bytes(key).decode("ascii", "backslashreplace"), bytes(cursor.value())
                        place = next(wanted, None)
                        if place is None:
                            return
        except lmdb.Error as error:
            raise unreadable(str(path), "LMDB database", error, REMEDY) from error

    def chunk(name: str) -> Chunk:
        path = Path(source) / name.removesuffix("data.mdb")
        try:
            with opened(path) as environment:
                n = int(environment.stat()["entries"])
        except lmdb.Error as error:
            raise unreadable(str(path), "LMDB database", error, REMEDY) from error
        return Chunk(name, n, lambda places: read(path, places))

    chunks = [chunk(name) for name in files or [""]]
    return assembled(source, "LMDB", chunks, layout, labels, passed_over, _reader("lmdb"))


def open_parquet(source: str, files: Sequence[str], layout: str, labels: str, passed_over: PassedOver) -> Opened:
    """Rows with a column of encoded images, or of {bytes, path} as Hugging Face writes them, and perhaps of labels.

    `files` are the parquet files in the folder `source`, in order; none if `source` is a parquet file.
    """
    chunks = [_parquet(name, str(Path(source) / name)) for name in files or [""]]
    return assembled(source, "parquet files", chunks, layout, labels, passed_over, _reader("pyarrow"))


def holds_images(path: str) -> bool:
    """Whether a parquet file has a column of images; raises InputError if it is damaged."""
    with _parquet_file(path) as file:
        return _image_column(file) is not None


@contextmanager
def _parquet_file(path: str) -> "Iterator[ParquetFile]":
    """An opened parquet file; damage that is found while it is used is an InputError with its path."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Opened here, because pyarrow takes only paths that are UTF-8.
        with Path(path).open("rb") as file, parquet.ParquetFile(file) as opened:
            yield opened
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, "parquet file", error, REMEDY) from error


def _image_column(file: "ParquetFile") -> str | None:
    import pyarrow as pa

    fields = [(field.name, field.type) for field in file.schema_arrow]
    structs = [name for name, kind in fields if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0]
    return next((name for name in (*IMAGE_COLUMNS, *structs) if name in file.schema_arrow.names), None)


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of classes by column, which Hugging Face writes into the metadata of a parquet file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: [str(one) for one in column["names"]] for name, column in features.items() if "names" in column}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _parquet(name: str, path: str) -> Chunk:
    with _parquet_file(path) as file:
        names, n = file.schema_arrow.names, int(file.metadata.num_rows)
        image, class_names = _image_column(file), _class_names(file.schema_arrow.metadata or {})
    if image is None:
        raise _no_column(path, names)
    label = next((column for column in LABEL_COLUMNS if column in names), None)

    def read(places: Sequence[int]) -> Named:
        """Only the groups of rows that hold one of the places are read."""
        wanted, start = iter(places), 0
        place = next(wanted, None)
        with _parquet_file(path) as file:
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if place is not None and place < end:
                    for row, value in enumerate(_values(file, group, image), start):
                        if row == place:
                            yield f"{name or Path(path).name} row {row}", _encoded(path, value)
                            place = next(wanted, None)
                start = end

    def labels() -> list[Any]:
        with _parquet_file(path) as file:
            return list(file.read(columns=[label], use_threads=False).column(0).to_pylist())

    return Chunk(name or Path(path).name, n, read, labels if label else None, label, class_names.get(label or ""))


def _values(file: "ParquetFile", group: int, column: str) -> Iterator[Any]:
    for batch in file.iter_batches(batch_size=32, row_groups=[group], columns=[column], use_threads=False):
        yield from batch.column(0).to_pylist()


def open_hugging_face(source: str, layout: str, labels: str) -> Opened:
    """Encoded images of all splits of a dataset from the Hugging Face Hub or written by `save_to_disk`."""
    library = _optional("datasets", source)
    try:
        address = source.removeprefix(HUB).removeprefix("datasets/")
        hub = source.startswith(HUB)
        loaded = library.load_dataset(address) if hub else library.load_from_disk(source)
        parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
        chunks = [_split(library, source, str(name), part) for name, part in parts.items()]
    except InputError:
        raise
    except Exception as error:  # errors of the library, the network and file systems have no common base class
        raise unreadable(source, "Hugging Face dataset", error, REMEDY) from error
    return assembled(source, "Hugging Face dataset", chunks, layout, labels, PassedOver(), _reader("datasets"))


def _split(library: ModuleType, source: str, name: str, part: Any) -> Chunk:
    pictures = [column for column, feature in part.features.items() if isinstance(feature, library.Image)]
    image = next((column for column in (*IMAGE_COLUMNS, *pictures) if column in part.column_names), None)
    label = next((column for column in LABEL_COLUMNS if column in part.column_names), None)
    if image is None:
        raise _no_column(source, part.column_names)
    images = part.select_columns([image]).cast_column(image, library.Image(decode=False))

    def read(places: Sequence[int]) -> Named:
        try:
            for place, row in zip(places, images.select(places), strict=True):
                yield f"{name} row {place}".lstrip(), _encoded(source, row[image])
        except OSError as error:
            raise unreadable(source, "Hugging Face dataset", error, REMEDY) from error

    names = getattr(part.features[label], "names", None) if label else None
    return Chunk(name, len(part), read, (lambda: list(part[label])) if label else None, label, names)


def _no_column(source: str, names: Sequence[str]) -> InputError:
    seen = printable(", ".join(names))
    return refused(source, f"no column of images; it has {seen}, must have {' or '.join(IMAGE_COLUMNS)}.")


def _encoded(source: str, value: Any) -> Encoded:
    """The bytes of an image file, or its path; an empty value becomes an image that cannot be decoded."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, bytes | str):
        return value or b""
    raise refused(source, f"its column of images contains {type(value).__name__}; must contain encoded images.")


def _reader(library: str) -> dict[str, Any]:
    return {"reader": {library: str(getattr(import_module(library), "__version__", "unknown"))}}


def _optional(library: str, source: str) -> ModuleType:
    try:
        return import_module(library)
    except ImportError as error:
        raise refused(
            source,
            f"needs the library {library}, which is not installed; run: pip install 'gan-study[{library}]'.",
        ) from error
