"""Repetitions of the best settings of a finished study, because the best of many noisy runs is optimistically biased.

The published twins (see `published`) differ only by the seed, and their distances differ by 0.3 and by 2.0.
"""

import json
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from search_spaces.blocks import Entry
from search_spaces.space import SearchSpace

METHOD = ("architecture", "loss", "penalty", "constraint")
NUMBERS = ("learning_rate", "beta1", "beta2", "n_dis", "penalty_weight")


def best_first(rows: Sequence[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """The settings of rows of trials.parquet, sorted from best to worst.

    The score of a setting is the median over its seeds of their best scores; a diverged trial counts as infinity.
    Settings with an infinite median are left out.
    """
    scores: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        key = (row["dataset"], *(row[name] for name in (*METHOD, "normalizations", "options", *NUMBERS)))
        score = row["best_frechet_distance"]
        scores.setdefault(key, []).append(math.inf if score is None else score)
    ranked = sorted(scores, key=lambda key: (median(scores[key]), str(key)))
    return tuple(_entry(*key) for key in ranked if median(scores[key]) < math.inf)


def _entry(dataset: str, *values: Any) -> Entry:
    method = dict(zip(METHOD, values, strict=False))
    normalizations, options, *numbers = values[len(METHOD) :]
    return Entry(
        dataset=dataset,
        method={
            **method,
            "normalizations": tuple(filter(None, normalizations.split("+"))),
            "options": tuple(sorted(json.loads(options).items())),
        },
        values=dict(zip(NUMBERS, numbers, strict=True)),
    )


SPACE = SearchSpace(
    name="seeds",
    description="the best three settings of each method in the results folder, with five seeds; --settings and --seeds",
    source="none: the paper does not repeat what its optimisation found (section 2.6)",
    seeds=5,
    top=3,
    choose=best_first,
)
