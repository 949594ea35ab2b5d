"""Load the rows of a results folder or of parquet files, and select those that are comparable."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from analysis.rows.checks import DISTANCES, NEEDED, checked, is_folder, load_table, read_file
from study.core.errors import InputError, unknown
from study.core.text import plural, printable
from study.core.trial import BFLOAT16
from study.storage.files import exists, parse_location
from study.storage.parts import read_parts
from study.storage.schema import EVALUATIONS, KEYS, OPEN, TRIALS

Names = str | Iterable[str] | None
SINGLE = {
    "semantics": ("--semantics N", "semantics of training"),
    "dataset_sha256": ("--images HASH", "versions of its images"),
    "precision": ("--precision NAME", "precisions of training"),
}
"""Columns that must be equal in all rows of a dataset: the option that selects a value, and the name in errors."""
OUTCOME = ["status", "best_frechet_distance", "final_frechet_distance", "dataset_sha256"]


def load(path: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """All trials of one or many results folders or parquet files, unfinished studies included.

    Args:
        path: a results folder (its trials.parquet and the parts that are not yet merged into it), a parquet file of the
            same schema, or several of either; each a path or a URL such as s3://bucket/study.

    Returns:
        One row per (trial_id, protocol_id) with the columns of trials.parquet. If there are two rows for one key, the
        first is kept, unless it failed or was stopped; then the later one is kept. A warning counts the keys with two
        different final outcomes.

    Raises:
        InputError: the path does not exist or has no trials; rows have a newer schema, an unknown status, an empty cell
            in a required column, or a negative distance.
        DamagedFile: a file is truncated or has another schema. The file is not changed.
    """
    paths = [path] if isinstance(path, str | Path | UPath) else list(path)
    if not paths:
        raise InputError("load: no path given; name a results folder or parquet files.")
    tables = [_read(parse_location(each)) for each in paths]
    rows: pd.DataFrame = (tables[0] if len(tables) == 1 else pa.concat_tables(tables)).to_pandas()
    return _one_outcome(rows)


def _one_outcome(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and protocol; see `load`."""
    keys = list(KEYS["trials"])
    if not rows.duplicated(keys).any():
        return rows
    is_open = rows["status"].isin(OPEN)
    preferred = pd.concat([rows[~is_open], rows[is_open].iloc[::-1]])
    ended = rows.loc[~is_open, [*keys, *OUTCOME]].drop_duplicates()
    contradicted = ended.loc[ended.duplicated(keys), keys].drop_duplicates()
    if len(contradicted):
        first = contradicted["trial_id"].iloc[0]
        warnings.warn(
            f"{len(contradicted)} {plural(len(contradicted), 'trial occurs', 'trials occur')} twice with different "
            f"outcomes (for example {first}); the row that was read first is kept.",
            stacklevel=3,
        )
    return preferred.drop_duplicates(keys).sort_index().reset_index(drop=True)


def load_checkpoints(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All scored checkpoints of a results folder, parts included, or of the folder of a parquet file of trials.

    Args:
        path: a results folder, or a parquet file in a folder with an evaluations.parquet.
        columns: columns to read in addition to the key and frechet_distance; None: all. Fewer columns load faster.

    Returns:
        One row per (trial_id, discriminator_step, protocol_id) with the columns of evaluations.parquet; all rows of a
        trial belong to the outcome that `load` keeps. Empty if there are none.

    Raises:
        InputError, DamagedFile: as `load`.
    """
    path = parse_location(path)
    folder = path if is_folder(path) else path.parent
    parts = list(read_parts(folder)) if is_folder(path) else []
    wanted = (
        None if columns is None else list(dict.fromkeys((*NEEDED["evaluations"], *DISTANCES["evaluations"], *columns)))
    )
    table = _checkpoint_frame(load_table(folder, "evaluations", wanted))
    if not parts:
        return table
    trials = load_table(folder, "trials").select([*KEYS["trials"], "status"]).to_pandas()
    closed = set(map(tuple, trials.loc[~trials["status"].isin(OPEN), list(KEYS["trials"])].to_numpy()))
    newer = {key: scores for _, row, scores in parts if (key := (row["trial_id"], row["protocol_id"])) not in closed}
    added = pa.Table.from_pylist([score for scores in newer.values() for score in scores], schema=EVALUATIONS)
    added = added if wanted is None else added.select(wanted)
    stays = table[~pd.MultiIndex.from_frame(table[["trial_id", "protocol_id"]]).isin(list(newer))]
    merged: pd.DataFrame = pd.concat([stays, _checkpoint_frame(added)], ignore_index=True)
    return merged


def _checkpoint_frame(table: pa.Table) -> pd.DataFrame:
    """The rows as a frame; lists stay Arrow arrays, since one numpy array per list would need most of the memory."""
    lists = {field.type: pd.ArrowDtype(field.type) for field in table.schema if pa.types.is_list(field.type)}
    frame: pd.DataFrame = table.to_pandas(types_mapper=lists.get)
    return frame


def positions(checkpoints: pd.DataFrame, trials: pd.DataFrame) -> npt.NDArray[np.int64]:
    """[checkpoints]: the row of `trials` (from 0) that each checkpoint belongs to; -1 if there is none.

    Args:
        checkpoints: with trial_id and protocol_id; pairs may repeat.
        trials: with the same columns; each pair occurs once.
    """
    of_each, among = (
        pc.binary_join_element_wise(*(pa.array(frame[key], pa.string()) for key in KEYS["trials"]), " ")
        for frame in (checkpoints, trials)
    )
    result: npt.NDArray[np.int64] = pc.index_in(of_each, among).fill_null(-1).to_numpy().astype(np.int64)
    return result


def select(
    frame: pd.DataFrame,
    *,
    dataset: Names = None,
    protocol: Names = None,
    semantics: int | None = None,
    images: str | None = None,
    precision: str | None = None,
) -> pd.DataFrame:
    """The rows of the given datasets and metric protocols, checked to be comparable within each dataset.

    Args:
        frame: rows of `load`.
        dataset: one name or several; None: all. Each dataset is a facet of figures.
        protocol: one protocol id or several; required if a dataset has scores under more than one.
        semantics: only rows of this version of the training semantics; required if a dataset has several.
        images: only rows whose dataset_sha256 starts with this prefix; required if a dataset has several.
        precision: only rows of trials trained with this precision; required if a dataset has several.

    Raises:
        InputError: no row matches, or a dataset has several protocols, semantics or precisions of training, or versions
            of the images (dataset_sha256). The message lists the groups.
    """
    for option, column, wanted in (("--dataset", "dataset", dataset), ("--protocol", "protocol_id", protocol)):
        if wanted is None:
            continue
        names = [printable(name) for name in ([wanted] if isinstance(wanted, str) else wanted)]  # as the rows have them
        for name in names:
            if not (frame[column] == name).any():
                raise unknown(option, name, frame[column].unique())
        frame = frame[frame[column].isin(names)]
    for column, given in (("semantics", semantics), ("dataset_sha256", images), ("precision", precision)):
        if given is not None:
            texts = frame[column].astype(str)
            value = printable(str(given))
            matching = texts.str.startswith(value) if column == "dataset_sha256" else texts == value
            if not matching.any():
                raise unknown(SINGLE[column][0].split()[0], value, texts.unique())
            frame = frame[matching]
    if frame.empty:
        raise InputError("select: the frame holds no trials.")
    kinds = frame.groupby("dataset")[["protocol_id", *SINGLE]].nunique()
    for each in kinds.index[(kinds > 1).any(axis=1)]:
        _refuse_mixture(str(each), frame[frame["dataset"] == each])
    return frame.reset_index(drop=True)


def describe_protocol(row: "pd.Series[Any]") -> str:
    """The metric protocol of a row in words: extractor, numbers of images, and deviations from the default."""
    split = "" if row["split"] == "test" else f" ({row['split']} split)"
    rounded = ", rounded to uint8" if row["quantize"] else ""
    rough = ", bf16 features" if row["feature_precision"] == BFLOAT16 else ""
    return f"{row['extractor']}, {row['n_real']:,} real{split} and {row['n_fake']:,} generated images{rounded}{rough}"


def _refuse_mixture(dataset: str, rows: pd.DataFrame) -> None:
    """Raise InputError if the rows of one dataset differ in protocol, semantics, images or precision."""
    if rows["protocol_id"].nunique() > 1:
        groups = [
            f"{protocol} ({describe_protocol(group.iloc[0])}): {len(group)} {plural(len(group), 'row')}"
            for protocol, group in rows.groupby("protocol_id")
        ]
        raise InputError(
            f"{dataset} is scored under {len(groups)} metric protocols, which cannot be mixed: {'; '.join(groups)}. "
            'Choose one with `--protocol ID`, in Python with protocol="ID".'
        )
    for column, (option, words) in SINGLE.items():
        sizes = rows.groupby(column).size()
        if len(sizes) > 1:
            groups = [f"{column} {value}: {size} {plural(size, 'row')}" for value, size in sizes.items()]
            raise InputError(
                f"{dataset} has rows of {len(groups)} {words}, which cannot be mixed: {'; '.join(groups)}. "
                f"Choose one with `{option}`."
            )


def _read(path: Path) -> pa.Table:
    if is_folder(path):
        table = _read_folder(path)
    elif exists(path):
        table = read_file(path, "trials")
    else:
        raise InputError(f"{path}: no such file; `study run grid --results DIR` writes DIR/trials.parquet.")
    if not table.num_rows:
        raise InputError(f"{path}: no trials; run some with `study run grid --results DIR`.")
    return table


def _read_folder(folder: Path) -> pa.Table:
    """Read parts before the table: a running study merges parts into the table, and duplicates are removed later."""
    parts = pa.Table.from_pylist([row for _, row, _ in read_parts(folder)], schema=TRIALS)
    return pa.concat_tables([load_table(folder, "trials"), checked(folder / "parts", "trials", parts)])
