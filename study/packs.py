"""Which trials one program trains together: a pure function of the whole plan, whatever of it is left to be run."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from study.names import InputError
from study.plan import Planned

AUTO = "auto"
TABLE = Path(__file__).with_name("packs.csv")
"""The number of trials at which the most images per second were measured (`study bench --pack`), by DECIDES."""
DECIDES = ("architecture", "width", "resolution", "batch_size", "device")

Pack = tuple[Planned, ...]
"""What is left to be run of the trials of one pack, or a single trial."""


def sizes(asked: str, device: str | None) -> Callable[[Planned], int]:
    """What tells the most trials of a pack that a trial may be in; 1 where it is trained alone.

    Args:
        asked: AUTO, which takes it from TABLE and trains alone what is not there, or a number.
        device: "cpu", the name of the GPU, or None where it is not known.

    Raises InputError for anything else that is asked.
    """
    if asked == AUTO:
        return _measured(device)
    if not re.fullmatch(r"[0-9]{1,6}", asked) or int(asked) < 1:
        raise InputError(f"--pack {asked}: must be {AUTO}, or a whole number from 1; 1 trains each trial alone.")
    return lambda _: int(asked)


def _measured(device: str | None) -> Callable[[Planned], int]:
    with TABLE.open(newline="") as file:
        most = {tuple(row[name] for name in DECIDES): int(row["pack"]) for row in csv.DictReader(file)}

    def size(planned: Planned) -> int:
        training, (_, resolution) = planned.trial.training, planned.shape
        measured_of = planned.trial.method.architecture, training.width, resolution, training.batch_size, device
        return most.get(tuple(map(str, measured_of)), 1)

    return size


def packed(planned: Sequence[Planned], most: Callable[[Planned], int]) -> list[Planned]:
    """The whole plan, each trial with its pack, of at most so many trials.

    A pack is of trials that differ in nothing but their settings. They share the seed too, so that adding seeds to a
    plan leaves the packs that are there as they are. A cell's trials are cut into parts of about the same size.
    """
    cells: dict[Any, list[Planned]] = {}
    for one in planned:
        trial = one.trial
        cell = one.context, trial.method, trial.hyperparameters.n_dis, trial.training, trial.seed
        cells.setdefault(cell, []).append(one)
    packs: dict[tuple[str, str], tuple[str, ...]] = {}
    for cell in cells.values():
        for part in _parts(cell, most(cell[0])):
            packs |= dict.fromkeys((one.key for one in part), tuple(one.trial.id for one in part))
    return [replace(one, pack=packs[one.key] if len(packs[one.key]) > 1 else ()) for one in planned]


def _parts(cell: Sequence[Planned], most: int) -> Iterable[Sequence[Planned]]:
    """As few parts of at most so many as there can be, in order, whose sizes differ by at most 1."""
    count = -(-len(cell) // most)
    ends = [len(cell) * part // count for part in range(count + 1)]
    return (cell[start:end] for start, end in pairwise(ends))


def grouped(todo: Iterable[Planned]) -> list[Pack]:
    """The trials by their packs, in the order of the first of each; those in none one by one."""
    packs: dict[Any, list[Planned]] = {}
    for place, one in enumerate(todo):
        packs.setdefault(one.pack or place, []).append(one)
    return [tuple(pack) for pack in packs.values()]
