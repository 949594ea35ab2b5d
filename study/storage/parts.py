"""Part files: what a trial that has ended leaves, whole or not there, until it is merged into the tables."""

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
from study.core.trial import Trial, content_id
from study.storage.files import DamagedFile, create, list_files, read, replace
from study.storage.schema import EVALUATIONS, PYTHON, TRIALS, TrialRecord, is_open, trial_row

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def part_path(folder: Path, trial_id: str, protocol_id: str) -> Path:
    """Where the part of a trial under a protocol is."""
    return folder / "parts" / trial_id[:2] / f"{trial_id}-{protocol_id}.json"


def write_part(
    folder: Path, trial: Trial, protocol: MetricProtocol, record: TrialRecord, evaluations: Sequence[Evaluation]
) -> bool:
    """Put a trial's part in place; False where another process ended the same trial first, whose part stays.

    Only a failed or stopped one gives way to another outcome.
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
        standing = read_part(path)[0]["status"]
    except (FileNotFoundError, DamagedFile):  # merged meanwhile, or of no use
        standing = None
    if not is_open(standing) or (standing and is_open(record.status)):
        return False
    replace(path, lambda file: file.write(written))
    return True


def read_part(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The trial's row and its evaluations' rows.

    Raises DamagedFile where the part is cut short or not what it says, FileNotFoundError where it has gone.
    """
    try:
        raw = read(path)
    except IsADirectoryError as error:
        raise DamagedFile(path, "a folder, not a part") from error
    try:
        content = json.loads(raw)
        trial, record = Trial.from_dict(content["trial"]), TrialRecord(**content["record"])
        protocol = MetricProtocol(**content["protocol"])
        evaluations = [read_evaluation(**each) for each in content["evaluations"]]
        row = trial_row(trial, protocol, record, evaluations)
        row["trial_id"] = content_id({"semantics": record.semantics, **trial.to_dict()})
        scores = [each.to_row() for each in evaluations]
        _check_types(TRIALS, row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFile(path, f"not a readable part ({type(error).__name__}: {error})") from error
    if path != part_path(path.parents[2], row["trial_id"], protocol.id):
        raise DamagedFile(path, "holds another trial than its name says")
    if any(score[name] != row[name] for score in scores for name in ("trial_id", "protocol_id")):
        raise DamagedFile(path, "holds evaluations of another trial")
    return row, scores


def read_evaluation(
    *, scores: Mapping[str, Any] = _NOTHING, diagnostics: Mapping[str, Any] = _NOTHING, **fields: Any
) -> Evaluation:
    """The evaluation that `asdict` made plain; raises TypeError for other fields, and for values of other types."""
    evaluation = Evaluation(**fields, scores=Scores(**scores), diagnostics=Diagnostics(**diagnostics))
    _check_types(EVALUATIONS, evaluation.to_row())
    return evaluation


def _check_types(schema: pa.Schema, row: Mapping[str, Any]) -> None:
    for column in schema:
        value = row[column.name]
        if value is not None and not _fits(value, column.type):
            raise TypeError(f"{column.name} {str(value)[:100]!r} is no {column.type}")


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a table holds a value as it is, and gives it back."""
    if not isinstance(value, PYTHON[kind]) or isinstance(value, bool) != pa.types.is_boolean(kind):
        return False
    if isinstance(value, float):
        return math.isfinite(value)  # no part is written with another
    if (isinstance(value, str) and value.isascii()) or (isinstance(value, int) and abs(value) < 2**53):
        return True
    try:
        if isinstance(value, datetime):
            value.astimezone(UTC)
        pa.scalar(value, kind)
    except (OverflowError, ValueError, TypeError):  # and what pyarrow raises, which is of these
        return False
    return True


def part_paths(folder: Path) -> Iterator[Path]:
    """All parts of the folder, in a fixed order."""
    return iter(list_files(folder / "parts", "??/[!.]*.json"))


def read_parts(
    folder: Path, trial_ids: Collection[str] | None = None
) -> Iterator[tuple[Path, dict[str, Any], list[dict[str, Any]]]]:
    """All parts, or those of some trials: each path with what `read_part` makes of it, without those that have gone."""
    for path in part_paths(folder):
        if trial_ids is None or path.name.partition("-")[0] in trial_ids:
            with contextlib.suppress(FileNotFoundError):  # merged into the tables meanwhile
                yield path, *read_part(path)
