"""Read the parquet files of a study and check them against their schema."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.core.errors import InputError, unknown
from study.core.text import printable
from study.storage.files import DamagedFile, exists, read
from study.storage.schema import KEYS, STATUSES, TABLES
from study.storage.tables import with_later_columns

NEEDED = {
    "trials": (
        *("trial_id", "protocol_id", "dataset", "method", "architecture", "learning_rate", "beta1", "beta2", "n_dis"),
        *("discriminator_steps", "seed", "status", "extractor", "weights_sha256", "dataset_sha256", "semantics"),
        "precision",
    ),
    "evaluations": KEYS["evaluations"],
    "memberships": KEYS["memberships"],
}
"""Columns that must not have an empty cell."""
DISTANCES = {
    "trials": ("final_frechet_distance", "best_frechet_distance"),
    "evaluations": ("frechet_distance",),
    "memberships": (),
}
LEAST_DISTANCE = -1e-3
"""Lower bound of a distance: rounding can make the distance of nearly equal images slightly negative."""


def is_folder(path: Path) -> bool:
    """Whether a path denotes a results folder (which need not exist), not a parquet file."""
    return path.is_dir() or not path.suffix


def load_table(folder: Path, name: str, columns: list[str] | None = None) -> pa.Table:
    """The checked table `trials`, `evaluations` or `memberships` of a folder; empty if there is no such file.

    Only `columns` are read, if given; they must include those of `NEEDED` and `DISTANCES`.

    Raises:
        InputError, DamagedFile: as `load`.
    """
    path = folder / f"{name}.parquet"
    if exists(path):
        return read_file(path, name, columns)
    empty = TABLES[name].empty_table()
    return empty if columns is None else empty.select(columns)


def read_file(path: Path, name: str, columns: list[str] | None = None) -> pa.Table:
    """Read a parquet file, or some of its columns, and check it against the schema of the table `name`."""
    schema = TABLES[name] if columns is None else pa.schema([TABLES[name].field(each) for each in columns])
    if path.is_dir():
        raise DamagedFile(path, "a folder, not a parquet file")
    content = pa.BufferReader(read(path))
    try:
        table = pq.read_table(content, columns=columns, use_threads=False)  # as `study.storage.tables.read_table` does
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile(path, f"not a readable parquet file ({str(error).splitlines()[0]})") from error
    version, known = _version(table.schema), _version(TABLES[name])
    if version.isdigit() and int(version) > int(known):
        raise InputError(
            f"{path}: rows of study-schema {version}; this version reads up to {known}. Install a newer gan-study."
        )
    if not set(schema.names) <= set(table.column_names):
        table = with_later_columns(table, name)
    missing = [column for column in schema.names if column not in table.column_names]
    versions = f"study-schema {version}; {known} is known"
    if missing:
        raise DamagedFile(path, f"not a table of {name}: has no column {', '.join(missing)} ({versions})")
    try:
        return checked(path, name, table.select(schema.names).cast(schema))
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise DamagedFile(path, f"not a table of {name}: has columns of other types ({reason}; {versions})") from error


def _version(schema: pa.Schema) -> str:
    """The schema version that a file states."""
    return str((schema.metadata or {}).get(b"study-schema", b"not stated").decode(errors="replace"))


def checked(path: Path, name: str, table: pa.Table) -> pa.Table:
    """The table with printable names; raises InputError if a cell has a value that no study writes."""
    for column in NEEDED[name]:
        empty = table[column].null_count
        if pa.types.is_floating(table[column].type):
            empty += pc.sum(pc.is_nan(table[column])).as_py() or 0
        if empty:
            raise InputError(f"{path}: {column} is empty in {empty} of {len(table)} rows; remove these rows.")
    for status in pc.unique(table["status"]).to_pylist() if name == "trials" else ():
        if status not in STATUSES:
            raise unknown(f"{path}: status", status, STATUSES)
    for column in DISTANCES[name]:
        wrong = table.filter(pc.field(column) < LEAST_DISTANCE)
        if len(wrong):
            row = wrong.slice(0, 1).to_pylist()[0]
            raise InputError(
                f"{path}: {column} {row[column]:g} of trial {row['trial_id']} ({len(wrong)} such rows): a distance "
                "cannot be negative; remove these rows."
            )
    return _printable(table)


def _printable(table: pa.Table) -> pa.Table:
    """The table with escapes for control characters and the like in its texts, so that none reaches what shows them."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and not pc.all(pc.utf8_is_printable(table[at]), min_count=0).as_py():
            texts = [text and printable(text) for text in table[at].to_pylist()]
            table = table.set_column(at, field, pa.array(texts, field.type))
    return table
