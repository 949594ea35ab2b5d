"""From a results folder or parquet files to rows that may be compared with each other."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from study.files import place, read
from study.names import InputError, unknown
from study.results import DamagedFile, read_parts, read_table, with_later_columns
from study.rows import EVALUATIONS, KEYS, OPEN, TRIALS

Names = str | Iterable[str] | None


def load(path: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """All trials of one or many results folders or parquet files, unfinished studies included.

    Args:
        path: a results folder (its trials.parquet and the parts not yet merged into it), a parquet file of the same
            schema, or several of either; each a path or an address such as s3://bucket/study.

    Returns:
        One row per (trial_id, protocol_id) with the columns of trials.parquet; of two rows for one key the first
        stays, but a failed or stopped one gives way to what came later.

    Raises:
        InputError: nothing there, or no trials in it.
        DamagedFile: a file that is cut short or of another schema; nothing is touched.
    """
    paths = [path] if isinstance(path, str | Path | UPath) else list(path)
    if not paths:
        raise InputError("load: no path given; name a results folder or parquet files.")
    rows: pd.DataFrame = pa.concat_tables([_read(place(each)) for each in paths]).to_pandas()
    is_open = rows["status"].isin(OPEN)
    preferred = pd.concat([rows[~is_open], rows[is_open].iloc[::-1]])
    return preferred.drop_duplicates(list(KEYS["trials"])).sort_index().reset_index(drop=True)


def load_checkpoints(folder: Path) -> pd.DataFrame:
    """All scored checkpoints of a results folder, parts included.

    Returns:
        One row per (trial_id, discriminator_step, protocol_id) with the columns of evaluations.parquet; those of a
        trial are all of the one outcome that `load` shows.

    Raises:
        DamagedFile: as `load`.
    """
    parts = list(read_parts(folder))
    trials: pd.DataFrame = read_table(folder, "trials").to_pandas()
    table: pd.DataFrame = read_table(folder, "evaluations").to_pandas()
    closed = set(map(tuple, trials.loc[~trials["status"].isin(OPEN), ["trial_id", "protocol_id"]].to_numpy()))
    newer = {key: scores for _, row, scores in parts if (key := (row["trial_id"], row["protocol_id"])) not in closed}
    added = pa.Table.from_pylist([score for scores in newer.values() for score in scores], schema=EVALUATIONS)
    stays = table[~pd.MultiIndex.from_frame(table[["trial_id", "protocol_id"]]).isin(list(newer))]
    merged: pd.DataFrame = pd.concat([stays, added.to_pandas()], ignore_index=True)
    return merged


def select(frame: pd.DataFrame, *, dataset: Names = None, protocol: Names = None) -> pd.DataFrame:
    """The rows of the named datasets and metric protocols, proven comparable within each dataset.

    Args:
        frame: rows of `load`.
        dataset: one name or several; all of them where None. Each dataset is a facet of figures.
        protocol: one protocol id or several; needed where a dataset has scores under more than one.

    Raises:
        InputError: an unknown dataset or protocol; two protocols, two semantics of training or two versions of the
            images (dataset_sha256) within one dataset. The message lists the groups.
    """
    for option, column, wanted in (("--dataset", "dataset", dataset), ("--protocol", "protocol_id", protocol)):
        if wanted is None:
            continue
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if not (frame[column] == name).any():
                raise unknown(option, name, frame[column].unique())
        frame = frame[frame[column].isin(names)]
    if frame.empty:
        raise InputError("select: the frame holds no trials.")
    for each, rows in frame.groupby("dataset"):
        _refuse_mixture(str(each), rows)
    return frame.reset_index(drop=True)


def describe_protocol(row: "pd.Series[Any]") -> str:
    """What a reader must know of the metric protocol of a row: extractor, numbers of images, and what is unusual."""
    split = "" if row["split"] == "test" else f" ({row['split']} split)"
    rounded = ", rounded to uint8" if row["quantize"] else ""
    return f"{row['extractor']}, {row['n_real']:,} real{split} and {row['n_fake']:,} generated images{rounded}"


def _refuse_mixture(dataset: str, rows: pd.DataFrame) -> None:
    """Raise InputError where rows of one dataset were not trained on, trained as, or scored by the same."""
    if rows["protocol_id"].nunique() > 1:
        groups = [
            f"{protocol} ({describe_protocol(group.iloc[0])}): {len(group)} rows"
            for protocol, group in rows.groupby("protocol_id")
        ]
        raise InputError(
            f"{dataset} is scored under {len(groups)} metric protocols, which are never mixed: {'; '.join(groups)}. "
            "Choose one with `--protocol ID`."
        )
    for column, words in (("semantics", "semantics of training"), ("dataset_sha256", "versions of its images")):
        sizes = rows.groupby(column).size()
        if len(sizes) > 1:
            groups = [f"{column} {value}: {size} rows" for value, size in sizes.items()]
            raise InputError(
                f"{dataset} has rows of {len(groups)} {words}, which are never mixed: {'; '.join(groups)}. "
                "Keep each in a results folder of its own."
            )


def _read(path: Path) -> pa.Table:
    table = _read_folder(path) if path.is_dir() or not path.suffix else _read_file(path)
    if not table.num_rows:
        raise InputError(f"{path}: nothing has been run there; `study run grid --results DIR` does it.")
    return table


def _read_folder(folder: Path) -> pa.Table:
    """Parts first: a study that runs meanwhile moves them into the table, and a row seen twice is kept once."""
    rows = [row for _, row, _ in read_parts(folder)]
    return pa.concat_tables([read_table(folder, "trials"), pa.Table.from_pylist(rows, schema=TRIALS)])


def _read_file(path: Path) -> pa.Table:
    """A parquet file of any name, held against the schema of trials.parquet."""
    if not path.exists():
        raise InputError(f"{path}: no such file; `study run grid --results DIR` makes DIR/trials.parquet.")
    try:
        table = pq.read_table(pa.BufferReader(read(path)), use_threads=False)  # as `study.results.read_table` does
        return with_later_columns(table, "trials").select(TRIALS.names).cast(TRIALS)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DamagedFile(path, f"not a table of trials ({str(error).splitlines()[0]})") from error
