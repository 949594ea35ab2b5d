"""Packs: which trials one program trains together. They depend on the whole plan only, not on what is left to run."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from study.core.errors import InputError
from study.driver.planning.planned import Planned
from study.storage.files import replace as replace_file

AUTO = "auto"
TABLE = "packs.csv"
"""File of measured pack sizes (`study bench --pack auto`), with the columns DECIDES and `pack`. One is part of the
package; a file in the data folder takes precedence over it."""
DECIDES = ("architecture", "width", "resolution", "batch_size", "device")

Pack = tuple[Planned, ...]
"""The trials of one pack that are still to run, or a single trial."""


def no_packs(_: Planned) -> int:
    """A pack limit of 1: every trial is trained alone."""
    return 1


def pack_limit(pack: str, device: str | None, data_dir: Path) -> Callable[[Planned], int]:
    """A function from a trial to the maximum number of trials in its pack; 1 means that it is trained alone.

    Args:
        pack: a number from 1; or AUTO for the measured sizes, and 1 for trials without a measurement.
        device: "cpu", the name of the GPU, or None if it is not known.
        data_dir: folder that may hold a file of measurements.

    Raises:
        InputError: `pack` has another value, or a file of measurements is damaged.
    """
    if pack == AUTO:
        return _measured(device, data_dir)
    if not re.fullmatch(r"[0-9]{1,6}", pack) or int(pack) < 1:
        raise InputError(f"--pack {pack}: must be {AUTO}, or a whole number from 1; 1 trains each trial alone.")
    return lambda _: int(pack)


def _measured(device: str | None, data_dir: Path) -> Callable[[Planned], int]:
    measured = _read(Path(__file__).with_name(TABLE)) | _read(data_dir / TABLE)

    def size(planned: Planned) -> int:
        training, (_, resolution) = planned.trial.training, planned.shape
        key = planned.trial.method.architecture, training.width, resolution, training.batch_size, device
        return measured.get(tuple(map(str, key)), 1)

    return size


def _read(path: Path) -> dict[tuple[str, ...], int]:
    """Measured sizes by DECIDES; empty if there is no file. Raises InputError if the file is damaged."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != [*DECIDES, "pack"]:
                raise ValueError("it has other columns")
            return {tuple(row[name] for name in DECIDES): int(row["pack"]) for row in rows}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path}: is damaged ({error}); remove it, and measure again: study bench --pack auto."
        ) from None


def add_measured(data_dir: Path, sizes: Mapping[tuple[str, ...], int]) -> Path:
    """Add measured sizes, by DECIDES, to the file of a data folder, replacing earlier ones; returns its path."""
    path = data_dir / TABLE
    rows = [[*decides, pack] for decides, pack in sorted({**_read(path), **sizes}.items())]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[*DECIDES, "pack"], *rows])
    replace_file(path, lambda file: file.write(text.getvalue().encode()))
    return path


def assign_packs(planned: Sequence[Planned], limit: Callable[[Planned], int]) -> list[Planned]:
    """The whole plan, in its order, with `pack` set in each trial.

    A pack has trials of one cell under one protocol. They also share the seed, so that more seeds leave existing packs
    unchanged. Each such group is split into packs of nearly equal size.

    Args:
        planned: the whole plan.
        limit: the maximum number of trials in a trial's pack, see `pack_limit`.
    """
    groups: dict[Any, list[Planned]] = {}
    for one in planned:
        groups.setdefault((one.context, one.trial.cell, one.trial.seed), []).append(one)
    packs: dict[tuple[str, str], tuple[str, ...]] = {}
    for group in groups.values():
        for part in _split(group, limit(group[0])):
            packs |= dict.fromkeys((one.key for one in part), tuple(one.trial.id for one in part))
    return [replace(one, pack=packs[one.key] if len(packs[one.key]) > 1 else ()) for one in planned]


def _split(group: Sequence[Planned], limit: int) -> Iterable[Sequence[Planned]]:
    """The smallest number of parts with at most `limit` trials, in order; their sizes differ by at most 1."""
    count = -(-len(group) // limit)
    ends = [len(group) * part // count for part in range(count + 1)]
    return (group[start:end] for start, end in pairwise(ends))


def group_by_pack(todo: Iterable[Planned]) -> list[Pack]:
    """The trials by their packs, in the order of each pack's first trial; a trial outside packs is its own pack."""
    packs: dict[Any, list[Planned]] = {}
    for place, one in enumerate(todo):
        packs.setdefault(one.pack or place, []).append(one)
    return [tuple(pack) for pack in packs.values()]
