"""The tables of a results folder, into which part files are merged.

A results folder contains
    trials.parquet       one row per (trial_id, protocol_id)
    evaluations.parquet  one row per (trial_id, discriminator_step, protocol_id): every scored checkpoint
    memberships.parquet  which trial belongs to which space, in which order; written before anything is trained
    parts/               JSON, one file per trial that has ended since the last compaction
    states/              kept generators, training states and sample grids, by trial
    unfinished/          the latest training state of each trial that has not ended
A trial is done if trials.parquet or a part has a row of it. Every file is written atomically (`study.storage.files`).
Parts may be merged into the tables while other processes read: read the parts first and the tables afterwards, so that
no trial is missed.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.core.errors import InputError
from study.storage.files import DamagedFile, read, remove, replace
from study.storage.layout import forget_unfinished
from study.storage.lock import locked_tables
from study.storage.parts import part_paths, read_part, read_parts
from study.storage.schema import ADDED_COLUMNS, EVALUATIONS, KEYS, SCORES, TABLES, is_open


def read_table(folder: Path, name: str) -> pa.Table:
    """The table `trials`, `evaluations` or `memberships` of a results folder; empty if there is no such file yet.

    Raises DamagedFile if the file is truncated or has another schema, OSError if it cannot be read now.
    """
    path, schema = folder / f"{name}.parquet", TABLES[name]
    try:
        content = read(path)
    except FileNotFoundError:
        return schema.empty_table()
    except IsADirectoryError as error:
        raise DamagedFile(path, "a folder, not a parquet file") from error
    try:
        # Not pq.read_table: its threads may still hold `content` when the interpreter ends, which then aborts.
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile(path, f"not a readable parquet file ({str(error).splitlines()[0]})") from error
    table = with_later_columns(table, name)
    missing = [column for column in schema.names if column not in table.column_names]
    if missing:
        raise DamagedFile(path, f"has no column {', '.join(missing)}")
    try:
        return table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise DamagedFile(path, f"has columns of wrong types ({str(error).splitlines()[0]})") from error


def rows_of(folder: Path, name: str, key: tuple[str, str]) -> list[dict[str, Any]]:
    """The rows of a table for the key (trial_id, protocol_id)."""
    trial_id, protocol_id = key
    same_key = (pc.field("trial_id") == trial_id) & (pc.field("protocol_id") == protocol_id)
    rows: list[dict[str, Any]] = read_table(folder, name).filter(same_key).to_pylist()
    return rows


def with_later_columns(table: pa.Table, name: str) -> pa.Table:
    """The table called `name`, with empty cells in the columns that did not exist yet when it was written."""
    for column in ADDED_COLUMNS[name]:
        if column not in table.column_names:
            table = table.append_column(column, pa.nulls(len(table), TABLES[name].field(column).type))
    return table


def write_table(folder: Path, name: str, table: pa.Table, check: Callable[[], None] = lambda: None) -> None:
    """Replace a table of the folder atomically; `check` is called just before the replacement and may raise.

    Byte stream split halves the time to write numbers, and reduces the file to three quarters of its size.
    """
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    options: dict[str, Any] = {"compression": "zstd", "use_byte_stream_split": numbers, "use_dictionary": texts}
    replace(folder / f"{name}.parquet", lambda file: pq.write_table(table, file, **options), check)


def _identities(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["trial_id"], table["protocol_id"], " ")


def _identity(row: Mapping[str, Any]) -> str:
    return f"{row['trial_id']} {row['protocol_id']}"


def compact(folder: Path) -> int:
    """Merge all parts into the parquet files and remove the parts; returns their number.

    The first outcome of a trial under a protocol is kept, with its evaluations; only a failed or stopped trial is
    replaced by a later outcome. Evaluations are written before trials, and parts are removed last: if the process is
    killed in between, the next compaction produces the same tables.
    """
    if not any(part_paths(folder)):
        return 0
    with locked_tables(folder) as tables_lock:
        found = list(read_parts(folder))
        trials, evaluations = read_table(folder, "trials"), read_table(folder, "evaluations")
        known = dict(zip(_identities(trials).to_pylist(), trials["status"].to_pylist(), strict=True))
        parts = [(row, scores) for _, row, scores in found if is_open(known.get(_identity(row)))]
        if parts:
            scores = [score for _, scores in parts for score in scores]
            rows = [row for row, _ in parts]
            merged = pa.array([_identity(row) for row in rows])
            for name, old, new in (("evaluations", evaluations, scores), ("trials", trials, rows)):
                stays = old.filter(pc.invert(pc.is_in(_identities(old), merged)))
                table = pa.concat_tables([stays, pa.Table.from_pylist(new, schema=TABLES[name])])
                write_table(folder, name, table, tables_lock.check)
        for path, _, _ in found:
            remove(path)
    return len(found)


def set_aside_damaged(folder: Path) -> list[Path]:
    """Rename every damaged table and part of the folder; returns the new paths."""
    moved = []
    with locked_tables(folder):
        readers: list[tuple[Path, Callable[[], object]]] = [
            *((folder / f"{name}.parquet", partial(read_table, folder, name)) for name in TABLES),
            *((path, partial(read_part, path)) for path in part_paths(folder)),
        ]
        for path, reads in readers:
            try:
                with contextlib.suppress(FileNotFoundError):  # merged into the tables meanwhile
                    reads()
            except DamagedFile:
                stamp = datetime.now().strftime("%Y%m%dT%H%M%S.%f")
                moved.append(path.rename(path.with_name(f"{path.name}.damaged-{stamp}")))
    return moved


def fill_scores(folder: Path, row: Mapping[str, Any]) -> bool:
    """Write metrics into the empty cells of an existing evaluation; returns False if no cell was empty.

    Raises InputError if the Frechet distance of `row` differs from the recorded one: then the metrics belong to another
    generator.
    """
    with locked_tables(folder) as tables_lock:
        rows = read_table(folder, "evaluations").to_pylist()
        (old,) = [each for each in rows if all(each[name] == row[name] for name in KEYS["evaluations"])]
        before, now = old["frechet_distance"], row["frechet_distance"]
        if abs(before - now) > 1e-3 * max(abs(before), 1e-6):
            raise InputError(
                f"trial {row['trial_id']}: its kept generator scores {now:g}, its row says {before:g}; score it on the"
                " machine that trained it, or train it again."
            )
        empty = {name: row[name] for name in SCORES if old[name] is None and row[name] is not None}
        if empty:
            old.update(empty)
            write_table(folder, "evaluations", pa.Table.from_pylist(rows, schema=EVALUATIONS), tables_lock.check)
    return bool(empty)


def outcomes(folder: Path, protocol_id: str, trial_ids: Collection[str]) -> dict[str, tuple[str, float | None]]:
    """trial_id -> (status, lowest Frechet distance of its checkpoints), for the given trials that have a row.

    Includes parts. The distance is None if no checkpoint has a score.
    """
    parts = list(read_parts(folder, trial_ids))
    selected = pc.field("trial_id").isin(pa.array(list(trial_ids), pa.string()))
    selected &= pc.field("protocol_id") == protocol_id
    rows = read_table(folder, "trials").filter(selected).select(["trial_id", "status"]).to_pylist()
    columns = ["trial_id", "frechet_distance"]
    scores = read_table(folder, "evaluations").filter(selected).select(columns).to_pylist()
    found: dict[str, tuple[str, float | None]] = {
        row["trial_id"]: (row["status"], _lowest(score for score in scores if score["trial_id"] == row["trial_id"]))
        for row in rows
    }
    for _, row, checkpoints in parts:
        if row["protocol_id"] == protocol_id and is_open(found.get(row["trial_id"], (None,))[0]):
            found[row["trial_id"]] = (row["status"], _lowest(checkpoints))
    return found


def _lowest(evaluations: Iterable[Mapping[str, Any]]) -> float | None:
    scores = (evaluation["frechet_distance"] for evaluation in evaluations)
    return min((score for score in scores if score is not None), default=None)


def statuses(folder: Path, trial_ids: Collection[str] | None = None) -> dict[tuple[str, str], str]:
    """(trial_id, protocol_id) -> status, including parts, for all trials of the folder or for the given ones."""
    parts = [row for _, row, _ in read_parts(folder, trial_ids)]
    table = read_table(folder, "trials").select(["trial_id", "protocol_id", "status"])
    if trial_ids is not None:
        table = table.filter(pc.field("trial_id").isin(pa.array(list(trial_ids), pa.string())))
    found: dict[tuple[str, str], str] = {
        (row["trial_id"], row["protocol_id"]): row["status"] for row in table.to_pylist()
    }
    for row in parts:
        if is_open(found.get((row["trial_id"], row["protocol_id"]))):
            found[row["trial_id"], row["protocol_id"]] = row["status"]
    return found


def forget_ended(folder: Path) -> None:
    """Remove the latest states of trials that have ended, which a process leaves if it is killed after writing a part.

    The states of failed and stopped trials are kept, because a retry continues from there.
    """
    names = {path.name.strip(".").partition(".")[0] for path in (folder / "unfinished").glob("*")}
    for (trial_id, protocol_id), status in statuses(folder).items() if names else ():
        if f"{trial_id}-{protocol_id}" in names and not is_open(status):
            forget_unfinished(folder, trial_id, protocol_id)
