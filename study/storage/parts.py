"""Part files: the result of a trial that has ended, written atomically and later merged into the tables."""

import contextlib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from study.core.evaluation import Diagnostics, Evaluation, MetricProtocol, Scores
from study.core.trial import Trial
from study.storage.files import DamagedFile, create, list_files, read, replace
from study.storage.schema import EVALUATIONS, PYTHON, TRIALS, TrialRecord, is_open, trial_row

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def part_path(folder: Path, trial_id: str, protocol_id: str) -> Path:
    """The part file of a trial under a protocol."""
    return folder / "parts" / trial_id[:2] / f"{trial_id}-{protocol_id}.json"


def write_part(
    folder: Path, trial: Trial, protocol: MetricProtocol, record: TrialRecord, evaluations: Sequence[Evaluation]
) -> bool:
    """Write the part file of a trial; False if a part of the same trial exists already, which then stays.

    Only the part of a failed or stopped trial is replaced by another outcome.
    """
    content = {
        "trial": trial.to_dict(),
        "protocol": asdict(protocol),
        "record": asdict(record),
        "evaluations": [asdict(evaluation) for evaluation in evaluations],
    }
    path, written = part_path(folder, trial.id, protocol.id), json.dumps(content, allow_nan=False).encode()
    if create(path, written):
        return True
    try:
        existing = read_part(path)[0]["status"]
    except (FileNotFoundError, DamagedFile):  # merged into the tables meanwhile, or not usable
        existing = None
    if not is_open(existing) or (existing and is_open(record.status)):
        return False
    replace(path, lambda file: file.write(written))
    return True


def read_part(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of the trial and the rows of its evaluations.

    Raises DamagedFile if the part is truncated or inconsistent, FileNotFoundError if it does not exist any more.
    """
    try:
        raw = read(path)
    except IsADirectoryError as error:
        raise DamagedFile(path, "a folder, not a part") from error
    try:
        content = json.loads(raw)
        record = TrialRecord(**content["record"])
        trial = Trial.from_dict(content["trial"]).under(record.semantics)
        protocol = MetricProtocol(**content["protocol"])
        evaluations = [read_evaluation(**each) for each in content["evaluations"]]
        row = trial_row(trial, protocol, record, evaluations)
        scores = [each.to_row() for each in evaluations]
        _check_types(TRIALS, row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFile(path, f"not a readable part ({type(error).__name__}: {error})") from error
    if path != part_path(path.parents[2], row["trial_id"], protocol.id):
        raise DamagedFile(path, "contains another trial than its name says")
    if any(score[name] != row[name] for score in scores for name in ("trial_id", "protocol_id")):
        raise DamagedFile(path, "contains evaluations of another trial")
    return row, scores


def read_evaluation(
    *, scores: Mapping[str, Any] = _NOTHING, diagnostics: Mapping[str, Any] = _NOTHING, **fields: Any
) -> Evaluation:
    """The evaluation of plain values that `asdict` made; raises TypeError for unknown fields and wrong types."""
    evaluation = Evaluation(**fields, scores=Scores(**scores), diagnostics=Diagnostics(**diagnostics))
    _check_types(EVALUATIONS, evaluation.to_row())
    return evaluation


def _check_types(schema: pa.Schema, row: Mapping[str, Any]) -> None:
    for column in schema:
        value = row[column.name]
        if value is not None and not _fits(value, column.type):
            raise TypeError(f"{column.name} {str(value)[:100]!r} is not of type {column.type}")


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a column of a table can store a value and return it unchanged."""
    if not isinstance(value, PYTHON[kind]) or isinstance(value, bool) != pa.types.is_boolean(kind):
        return False
    if isinstance(value, float):
        return math.isfinite(value)  # parts are never written with other numbers
    if (isinstance(value, str) and value.isascii()) or (isinstance(value, int) and abs(value) < 2**53):
        return True
    try:
        if isinstance(value, datetime):
            value.astimezone(UTC)
        pa.scalar(value, kind)
    except (OverflowError, ValueError, TypeError):  # errors of pyarrow are subclasses of these
        return False
    return True


def part_paths(folder: Path) -> Iterator[Path]:
    """All parts of the folder, sorted by path."""
    return iter(list_files(folder / "parts", "??/[!.]*.json"))


def read_parts(
    folder: Path, trial_ids: Collection[str] | None = None
) -> Iterator[tuple[Path, dict[str, Any], list[dict[str, Any]]]]:
    """Path, row and evaluations of all parts, or of those of some trials; skips parts that were removed meanwhile."""
    for path in part_paths(folder):
        if trial_ids is None or path.name.partition("-")[0] in trial_ids:
            with contextlib.suppress(FileNotFoundError):  # merged into the tables meanwhile
                yield path, *read_part(path)
