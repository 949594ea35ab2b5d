"""Which trials one program trains together: a pure function of the whole plan, whatever of it is left to be run."""

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
"""The name of a file of what was measured (`study bench --pack auto`): trials of a pack by DECIDES. One comes with the
package, and those in a data folder of one's own go before."""
DECIDES = ("architecture", "width", "resolution", "batch_size", "device")

Pack = tuple[Planned, ...]
"""What is left to be run of the trials of one pack, or a single trial."""


def alone(_: Planned) -> int:
    """One trial in a pack, whichever it is."""
    return 1


def sizes(asked: str, device: str | None, data_dir: Path) -> Callable[[Planned], int]:
    """What tells the most trials of a pack that a trial may be in; 1 where it is trained alone.

    Args:
        asked: AUTO, which takes it from what was measured and trains alone what was not, or a number.
        device: "cpu", the name of the GPU, or None where it is not known.
        data_dir: where one's own measurements are.

    Raises InputError for anything else that is asked.
    """
    if asked == AUTO:
        return _measured(device, data_dir)
    if not re.fullmatch(r"[0-9]{1,6}", asked) or int(asked) < 1:
        raise InputError(f"--pack {asked}: must be {AUTO}, or a whole number from 1; 1 trains each trial alone.")
    return lambda _: int(asked)


def _measured(device: str | None, data_dir: Path) -> Callable[[Planned], int]:
    most = _read(Path(__file__).with_name(TABLE)) | _read(data_dir / TABLE)

    def size(planned: Planned) -> int:
        training, (_, resolution) = planned.trial.training, planned.shape
        measured_of = planned.trial.method.architecture, training.width, resolution, training.batch_size, device
        return most.get(tuple(map(str, measured_of)), 1)

    return size


def _read(path: Path) -> dict[tuple[str, ...], int]:
    """What was measured; nothing where there is no file. Raises InputError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != [*DECIDES, "pack"]:
                raise ValueError("it has other columns")
            return {tuple(row[name] for name in DECIDES): int(row["pack"]) for row in rows}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path}: is damaged ({error}); remove it, and measure again: study bench --pack auto."
        ) from None


def add_measured(data_dir: Path, found: Mapping[tuple[str, ...], int]) -> Path:
    """Put numbers of trials, by DECIDES, into the file of a data folder, in place of earlier ones; returns its path."""
    path = data_dir / TABLE
    rows = [[*decides, pack] for decides, pack in sorted({**_read(path), **found}.items())]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[*DECIDES, "pack"], *rows])
    replace_file(path, lambda file: file.write(text.getvalue().encode()))
    return path


def packed(planned: Sequence[Planned], most: Callable[[Planned], int]) -> list[Planned]:
    """The whole plan, each trial with its pack, of at most so many trials.

    A pack is of trials of one cell under one protocol. They share the seed too, so that adding seeds to a plan leaves
    the packs that are there as they are. What is alike is cut into parts of about the same size.
    """
    groups: dict[Any, list[Planned]] = {}
    for one in planned:
        groups.setdefault((one.context, one.trial.cell, one.trial.seed), []).append(one)
    packs: dict[tuple[str, str], tuple[str, ...]] = {}
    for alike in groups.values():
        for part in _parts(alike, most(alike[0])):
            packs |= dict.fromkeys((one.key for one in part), tuple(one.trial.id for one in part))
    return [replace(one, pack=packs[one.key] if len(packs[one.key]) > 1 else ()) for one in planned]


def _parts(alike: Sequence[Planned], most: int) -> Iterable[Sequence[Planned]]:
    """As few parts of at most so many as there can be, in order, whose sizes differ by at most 1."""
    count = -(-len(alike) // most)
    ends = [len(alike) * part // count for part in range(count + 1)]
    return (alike[start:end] for start, end in pairwise(ends))


def grouped(todo: Iterable[Planned]) -> list[Pack]:
    """The trials by their packs, in the order of the first of each; those in none one by one."""
    packs: dict[Any, list[Planned]] = {}
    for place, one in enumerate(todo):
        packs.setdefault(one.pack or place, []).append(one)
    return [tuple(pack) for pack in packs.values()]
