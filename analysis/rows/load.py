"""From a results folder or parquet files to rows that may be compared with each other."""

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
from study.core.trial import BFLOAT16
from study.storage.files import exists, place
from study.storage.parts import read_parts
from study.storage.schema import EVALUATIONS, KEYS, OPEN, TRIALS

Names = str | Iterable[str] | None
SINGLE = {
    "semantics": ("--semantics N", "semantics of training"),
    "dataset_sha256": ("--images HASH", "versions of its images"),
    "precision": ("--precision NAME", "precisions of training"),
}
"""What rows of one dataset have in common to be compared, with the option that chooses and in words."""
OUTCOME = ["status", "best_frechet_distance", "final_frechet_distance", "dataset_sha256"]


def load(path: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """All trials of one or many results folders or parquet files, unfinished studies included.

    Args:
        path: a results folder (its trials.parquet and the parts not yet merged into it), a parquet file of the same
            schema, or several of either; each a path or an address such as s3://bucket/study.

    Returns:
        One row per (trial_id, protocol_id) with the columns of trials.parquet; of two rows for one key the first
        stays, but a failed or stopped one gives way to what came later. Where both had ended, with other outcomes, a
        warning counts them.

    Raises:
        InputError: nothing there, or no trials in it; rows of a newer schema, an unknown status, an empty cell where
            there must be none, a negative distance.
        DamagedFile: a file that is cut short or of another schema; nothing is touched.
    """
    paths = [path] if isinstance(path, str | Path | UPath) else list(path)
    if not paths:
        raise InputError("load: no path given; name a results folder or parquet files.")
    tables = [_read(place(each)) for each in paths]
    rows: pd.DataFrame = (tables[0] if len(tables) == 1 else pa.concat_tables(tables)).to_pandas()
    return _one_outcome(rows)


def _one_outcome(rows: pd.DataFrame) -> pd.DataFrame:
    """The row that counts of each trial under each protocol."""
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
            f"{len(contradicted)} trials stand twice, with different outcomes ({first} is one); of each the row that "
            "was read first is kept.",
            stacklevel=3,
        )
    return preferred.drop_duplicates(keys).sort_index().reset_index(drop=True)


def load_checkpoints(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All scored checkpoints of a results folder, parts included, or those beside a parquet file of trials.

    Args:
        path: a results folder, or a parquet file in a folder with an evaluations.parquet.
        columns: beside the three that name a checkpoint and its frechet_distance; all where None. The fewer the sooner.

    Returns:
        One row per (trial_id, discriminator_step, protocol_id) with the columns of evaluations.parquet; those of a
        trial are all of the one outcome that `load` shows. Empty where there are none.

    Raises:
        InputError, DamagedFile: as `load`.
    """
    path = place(path)
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
    """The rows; lists stay Arrow's, since an array object for each would take more memory than all else."""
    lists = {field.type: pd.ArrowDtype(field.type) for field in table.schema if pa.types.is_list(field.type)}
    frame: pd.DataFrame = table.to_pandas(types_mapper=lists.get)
    return frame


def positions(checkpoints: pd.DataFrame, trials: pd.DataFrame) -> npt.NDArray[np.int64]:
    """[checkpoints]: in which row of `trials`, from 0, the trial of each checkpoint stands; -1 where it is in none.

    Args:
        checkpoints: trial_id and protocol_id, of which each pair may come often.
        trials: the same columns, of which each pair comes once.
    """
    of_each, among = (
        pc.binary_join_element_wise(*(pa.array(frame[key], pa.string()) for key in KEYS["trials"]), " ")
        for frame in (checkpoints, trials)
    )
    found: npt.NDArray[np.int64] = pc.index_in(of_each, among).fill_null(-1).to_numpy().astype(np.int64)
    return found


def select(
    frame: pd.DataFrame,
    *,
    dataset: Names = None,
    protocol: Names = None,
    semantics: int | None = None,
    images: str | None = None,
    precision: str | None = None,
) -> pd.DataFrame:
    """The rows of the named datasets and metric protocols, proven comparable within each dataset.

    Args:
        frame: rows of `load`.
        dataset: one name or several; all of them where None. Each dataset is a facet of figures.
        protocol: one protocol id or several; needed where a dataset has scores under more than one.
        semantics: only rows of this version of what training means; needed where a dataset has several.
        images: only rows of the dataset whose hash (dataset_sha256) begins so; needed where it has several.
        precision: only rows of trials that were trained in it; needed where a dataset has several.

    Raises:
        InputError: no row of what was asked for; two protocols, two semantics or precisions of training or two versions
            of the images (dataset_sha256) within one dataset. The message lists the groups.
    """
    for option, column, wanted in (("--dataset", "dataset", dataset), ("--protocol", "protocol_id", protocol)):
        if wanted is None:
            continue
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if not (frame[column] == name).any():
                raise unknown(option, name, frame[column].unique())
        frame = frame[frame[column].isin(names)]
    for column, given in (("semantics", semantics), ("dataset_sha256", images), ("precision", precision)):
        if given is not None:
            texts = frame[column].astype(str)
            alike = texts.str.startswith(str(given)) if column == "dataset_sha256" else texts == str(given)
            if not alike.any():
                raise unknown(SINGLE[column][0].split()[0], str(given), texts.unique())
            frame = frame[alike]
    if frame.empty:
        raise InputError("select: the frame holds no trials.")
    kinds = frame.groupby("dataset")[["protocol_id", *SINGLE]].nunique()
    for each in kinds.index[(kinds > 1).any(axis=1)]:
        _refuse_mixture(str(each), frame[frame["dataset"] == each])
    return frame.reset_index(drop=True)


def describe_protocol(row: "pd.Series[Any]") -> str:
    """What a reader must know of the metric protocol of a row: extractor, numbers of images, and what is unusual."""
    split = "" if row["split"] == "test" else f" ({row['split']} split)"
    rounded = ", rounded to uint8" if row["quantize"] else ""
    rough = ", bf16 features" if row["feature_precision"] == BFLOAT16 else ""
    return f"{row['extractor']}, {row['n_real']:,} real{split} and {row['n_fake']:,} generated images{rounded}{rough}"


def _refuse_mixture(dataset: str, rows: pd.DataFrame) -> None:
    """Raise InputError where rows of one dataset were not trained on, trained as, or scored by the same."""
    if rows["protocol_id"].nunique() > 1:
        groups = [
            f"{protocol} ({describe_protocol(group.iloc[0])}): {len(group)} rows"
            for protocol, group in rows.groupby("protocol_id")
        ]
        raise InputError(
            f"{dataset} is scored under {len(groups)} metric protocols, which are never mixed: {'; '.join(groups)}. "
            'Choose one with `--protocol ID`, in Python with protocol="ID".'
        )
    for column, (option, words) in SINGLE.items():
        sizes = rows.groupby(column).size()
        if len(sizes) > 1:
            groups = [f"{column} {value}: {size} rows" for value, size in sizes.items()]
            raise InputError(
                f"{dataset} has rows of {len(groups)} {words}, which are never mixed: {'; '.join(groups)}. "
                f"Choose one with `{option}`."
            )


def _read(path: Path) -> pa.Table:
    if is_folder(path):
        table = _read_folder(path)
    elif exists(path):
        table = read_file(path, "trials")
    else:
        raise InputError(f"{path}: no such file; `study run grid --results DIR` makes DIR/trials.parquet.")
    if not table.num_rows:
        raise InputError(f"{path}: nothing has been run there; `study run grid --results DIR` does it.")
    return table


def _read_folder(folder: Path) -> pa.Table:
    """Parts first: a study that runs meanwhile moves them into the table, and a row seen twice is kept once."""
    parts = pa.Table.from_pylist([row for _, row, _ in read_parts(folder)], schema=TRIALS)
    return pa.concat_tables([load_table(folder, "trials"), checked(folder / "parts", "trials", parts)])
