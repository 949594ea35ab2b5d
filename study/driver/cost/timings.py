"""How long trials took, by what decides how long one takes.

The trials of a pack share the seconds of its program: what one takes there says little of one that is trained alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from study.core.trial import Trial
from study.storage.schema import FINISHED
from study.storage.tables import read_table

_KEY = ("dataset", "architecture", "method", "n_dis", "width", "batch_size", "precision")
_TIMES = ("training_seconds", "scoring_seconds")


class Measured:
    """Seconds that finished trials took: those of a results folder, or `rows` of it that were read already."""

    def __init__(self, results: Path | None = None, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        if results is not None:
            columns = [*_KEY, *_TIMES, "status", "device", "pack", "discriminator_steps"]
            rows = read_table(results, "trials").select(columns).to_pylist()
        seconds = defaultdict(list)
        for row in rows:
            if row["status"] == FINISHED and None not in (row[name] for name in _TIMES):
                device = "cpu" if row["device"] == "cpu" else "gpu"
                key = (*(row[name] for name in _KEY), device)
                for pack in (row["pack"] or 1, None):  # rows of before there were packs have none
                    seconds[key, pack].append(sum(row[name] for name in _TIMES) / row["discriminator_steps"])
        self._per_step = {key: sum(values) / len(values) for key, values in seconds.items()}

    def seconds(self, trial: Trial, device: str, pack: int | None = None) -> float | None:
        """The mean for trials like this one, scaled to its number of steps; None where there are none.

        It is of those in packs of `pack` trials, or of all where there are none of these or the pack is not known.
        """
        method, training = trial.method, trial.training
        like = (trial.dataset, method.architecture, method.name, trial.hyperparameters.n_dis)
        key = (*like, training.width, training.batch_size, training.precision, device)
        per_step = self._per_step.get((key, pack), self._per_step.get((key, None)))
        return None if per_step is None else per_step * training.discriminator_steps
