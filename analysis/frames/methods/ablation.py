"""Paired ablations: the change of the score between trainings that are equal in everything but one factor.

The sampling unit is the pair: a training with a setting drawn at random from those that were run with both values of
the factor, and its partner with the same setting and seed.
"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames.methods.compare import NO_INTERVAL, verdict
from analysis.rows.scores import BEST, HYPERPARAMETERS, SelectionRule, scored
from analysis.statistics.quartiles import group_quartiles, median_places
from search_spaces.resnet_ablation import CODES
from study.core.trial import NON_SATURATING, Training, field_names, option_word

ADDED = ("normalizations", "penalty", "constraint")
"""Factors that can be present or absent; the change is that one is added."""
LEVELS = ("loss", "architecture", "n_dis", *(name for name in field_names(Training) if name != "data_seed"))
"""Factors that always have a value; the change is another value."""
WITHOUT = "without"
DEFAULT_OPTIONS = {"ablation": CODES[0]}
"""Names of the defaults of options; otherwise `default`. Rows contain only options that differ from their default."""
EQUAL = (
    "dataset", "architecture", "loss", *ADDED, "options", *HYPERPARAMETERS, *field_names(Training), "seed"
)  # fmt: skip
"""All columns that determine the training of a trial."""


def paired_ablations(
    trials: pd.DataFrame, rule: SelectionRule = BEST, level: float = 0.95, by: Sequence[str] = ()
) -> pd.DataFrame:
    """The relative change of the score when exactly one factor changes; seed, hyperparameters and the rest are equal.

    The factors: an added normalisation, penalty (of any weight) or constraint; the loss, from non-saturating or else
    the most frequent one; the architecture, from the most frequent one; n_dis and fields of the training, from the
    lowest value (of numbers) or the most frequent one; an option, from its default. A training with several partners,
    for example with an added penalty of several weights, counts as one pair with the median of its changes, so that no
    training is in two pairs of a row.

    Trainings without a score rank last: from no score to a score the change is -inf, in the other direction inf, and
    between two trainings without a score it is 0. Stopped trainings are excluded.

    Args:
        trials: rows of `select`.
        rule: the score of a trial.
        level: simultaneous level of all intervals of a dataset: each has 1 - (1 - level) / m (Bonferroni), where m is
            the number of rows with enough pairs for an interval at `level` (six at 95 %).
        by: columns of `trials` that split the pairs, such as architecture; taken from the unchanged training.

    Returns:
        One row per dataset, the columns of `by`, factor, from and to: pairs, unscored (pairs with at least one side
        without a score), median (of (to - from) / from; negative: lower, which is better), low, high (of the median, by
        order statistics), level, improved (share of pairs with a lower score), verdict (lower, higher, not resolved; no
        interval if there are too few pairs). A factor without a pair has no row.
    """
    keys = ["dataset", *by, "factor", "from", "to"]
    records = [_table(_independent(pairs, keys), keys, level) for pairs in _by_dataset(scored(trials, rule), by)]
    columns = [*keys, "pairs", "unscored", "median", "low", "high", "level", "improved", "verdict"]
    return pd.concat(records, ignore_index=True)[columns] if records else pd.DataFrame(columns=columns)


def _by_dataset(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The pairs of each dataset that has any: `by`, dataset, factor, from, to, first (a trial), change, unscored."""
    rows = rows[[*EQUAL, "trial_id", "score"]].fillna(dict.fromkeys(ADDED, ""))
    rows = rows.assign(score=rows["score"].fillna(math.inf), penalty_weight=rows["penalty_weight"].fillna(0.0))
    for _, each in rows.groupby("dataset"):
        pairs = [
            _joined(each, *changed, by) for changed in itertools.chain(_added(each), _levels(each), _options(each))
        ]
        pairs = [result for result in pairs if len(result)]
        if pairs:
            yield pd.concat(pairs, ignore_index=True)


Changed = tuple[str, str, pd.DataFrame]
"""A factor, the name of its reference value, and the changed trainings with the reference value filled in and the name
of their actual value in `to`."""


def _added(rows: pd.DataFrame) -> Iterator[Changed]:
    for factor in ADDED:
        sets = {text: text.split("+") for text in rows[factor].unique() if text}
        for member in sorted({part for parts in sets.values() for part in parts}):
            without_member = {
                text: "+".join(part for part in parts if part != member)
                for text, parts in sets.items()
                if member in parts
            }
            with_factor = rows[rows[factor].isin(without_member)]
            rest = _with(with_factor, factor, with_factor[factor].map(without_member))
            yield factor, WITHOUT, (rest.assign(penalty_weight=0.0) if factor == "penalty" else rest).assign(to=member)


def _levels(rows: pd.DataFrame) -> Iterator[Changed]:
    for factor in LEVELS:
        values = rows[factor].value_counts().sort_index()  # so that the first of equally frequent values is taken
        if len(values) > 1:
            numeric = pd.api.types.is_numeric_dtype(rows[factor])
            reference = values.index[0] if numeric else NON_SATURATING if NON_SATURATING in values else values.idxmax()
            others = rows[rows[factor] != reference]
            yield factor, str(reference), _with(others.assign(to=others[factor].astype(str)), factor, reference)


def _options(rows: pd.DataFrame) -> Iterator[Changed]:
    parsed = {text: json.loads(text) for text in rows["options"].unique()}
    for name in sorted({name for options in parsed.values() for name in options}):
        chosen = {text: option_word(options[name]) for text, options in parsed.items() if name in options}
        rest = {
            text: json.dumps({k: v for k, v in parsed[text].items() if k != name}, sort_keys=True) for text in chosen
        }
        with_factor = rows[rows["options"].isin(chosen)]
        yield (
            name,
            DEFAULT_OPTIONS.get(name, "default"),
            with_factor.assign(to=with_factor["options"].map(chosen), options=with_factor["options"].map(rest)),
        )


def _joined(rows: pd.DataFrame, factor: str, reference: str, changed: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """All pairs of an unchanged and a changed training, joined on all columns that must be equal."""
    pairs = rows.merge(changed[[*EQUAL, "to", "score"]], on=list(EQUAL), suffixes=("", "_to"))
    first, second = pairs["score"].to_numpy(), pairs["score_to"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(first == second, 0.0, (second - first) / np.abs(first))
    change = np.where(np.isinf(first) & np.isfinite(second), -math.inf, change)
    pairs = pairs.assign(
        factor=factor, change=change, unscored=np.isinf(first) | np.isinf(second), **{"from": reference}
    )
    return pairs.rename(columns={"trial_id": "first"})[
        ["dataset", *by, "factor", "from", "to", "first", "change", "unscored"]
    ]


def _with(rows: pd.DataFrame, column: str, values: Any) -> pd.DataFrame:
    changed = rows.copy()
    changed[column] = values
    return changed


def _independent(pairs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One pair per unchanged training. Its changes never contain both -inf and inf, so their median exists."""
    if not pairs.duplicated([*keys, "first"]).any():
        return pairs
    return pairs.groupby([*keys, "first"], sort=False).agg({"change": "median", "unscored": "any"}).reset_index()


def _table(pairs: pd.DataFrame, keys: list[str], level: float) -> pd.DataFrame:
    """The rows of a dataset: factors in the order in which they occur, their values by number or name."""
    groups = pairs.groupby(keys, sort=False)
    counted = groups.agg(pairs=("change", "size"), unscored=("unscored", "sum")).reset_index()
    counted["improved"] = groups["change"].agg(lambda change: float((change < 0).mean())).to_numpy()
    sizes = counted["pairs"].unique()
    shown = counted["pairs"].isin([n for n in sizes if median_places(n, level) != (-1, n)])
    corrected = 1 - (1 - level) / max(int(shown.sum()), 1)
    few = counted["pairs"].isin([n for n in sizes if median_places(n, corrected) == (-1, n)])
    values = pairs.rename(columns={"change": "value"})
    table = counted.merge(group_quartiles(values, keys, None, corrected)[[*keys, "median", "low", "high"]], on=keys)
    verdicts = [verdict(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    table = table.assign(level=corrected, verdict=np.where(few, NO_INTERVAL, verdicts))
    order = table.assign(
        factor=table["factor"].map({factor: at for at, factor in enumerate(table["factor"].unique())}),
        number=pd.to_numeric(table["to"], errors="coerce"),
    )
    return table.loc[order.sort_values([*keys[:-3], "factor", "number", "to"]).index]
