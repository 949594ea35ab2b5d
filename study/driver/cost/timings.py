"""How long finished trials took, by the settings that decide it.

The trials of a pack share the time of its program, so times in packs and times of single trials are kept apart.
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


class MeasuredTimes:
    """Times of finished trials: from the rows of a results folder, or from `rows` that are already loaded."""

    def __init__(self, results: Path | None = None, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        if results is not None:
            columns = [*_KEY, *_TIMES, "status", "device", "pack", "discriminator_steps"]
            rows = read_table(results, "trials").select(columns).to_pylist()
        seconds = defaultdict(list)
        for row in rows:
            if row["status"] == FINISHED and None not in (row[name] for name in _TIMES):
                device = "cpu" if row["device"] == "cpu" else "gpu"
                key = (*(row[name] for name in _KEY), device)
                for pack in (row["pack"] or 1, None):  # old rows have no pack
                    seconds[key, pack].append(sum(row[name] for name in _TIMES) / row["discriminator_steps"])
        self._per_step = {key: sum(values) / len(values) for key, values in seconds.items()}

    def seconds(self, trial: Trial, device: str, pack: int | None = None) -> float | None:
        """Mean seconds of finished trials with these settings, scaled to the trial's number of steps; None without any.

        Trials in packs of the same size are used if there are any, else all.
        """
        method, training = trial.method, trial.training
        settings = (trial.dataset, method.architecture, method.name, trial.hyperparameters.n_dis)
        key = (*settings, training.width, training.batch_size, training.precision, device)
        per_step = self._per_step.get((key, pack), self._per_step.get((key, None)))
        return None if per_step is None else per_step * training.discriminator_steps
