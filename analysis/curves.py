"""How trainings go: score and diagnostics against discriminator updates, over the trainings of each method.

A curve says how a method's trainings are spread at each checkpoint, and how well their median is known: what is
repeated is the training, its setting drawn from those of the method (`analysis.intervals`).
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import Array
from analysis.scores import BEST, SelectionRule, labels, scored
from analysis.summaries import SUMMARY, summary
from study.rows import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR, STATUSES, STOPPED

POOL = ["dataset", "method"]
STEP = "discriminator_step"
SIGMA, SIGMA_PRODUCT = "sigma", "sigma_product"
GRADIENT_NORMS = ("gradient_norm_train", "gradient_norm_fake", "gradient_norm_between")


def trainings(trials: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The trainings whose course is known from their first checkpoint to their end.

    Left out are stopped ones, which are a selection, and kept generators, of which one checkpoint was scored.

    Args:
        trials: rows of `analysis.load.select`.
        rule: which score stands for a trial.

    Returns:
        trial_id, protocol_id, dataset, method (its label), status, score (NaN: none).
    """
    whole = scored(trials[trials["source"] != KEPT_GENERATOR], rule)
    named = whole.assign(method=whole["method_label"])
    return named[["trial_id", "protocol_id", "dataset", "method", "status", "score"]]


def score_curve(trials: pd.DataFrame, checkpoints: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The scores of a method's trainings at each checkpoint: quartiles, and an interval for the median.

    A training that diverged or failed counts at all later checkpoints of its method, without a score: it ranks last.

    Args:
        trials: rows of `analysis.load.select`.
        checkpoints: rows of `analysis.load.load_checkpoints`.
        level: of the interval.

    Returns:
        One row per dataset, method (its label) and discriminator_step at which one of its trainings has a score: n
        (trainings that came to it or ended before), scored (how many of them have one), q1, median, q3 (linear
        interpolation; inf where that many have none), low and high (of the median, by order statistics; infinite where
        there are too few trainings).
    """
    run = trainings(trials)
    rows = run.merge(checkpoints[["trial_id", "protocol_id", STEP, "frechet_distance"]], on=["trial_id", "protocol_id"])
    rows = rows.assign(value=rows["frechet_distance"].where(np.isfinite(rows["frechet_distance"])))
    last = rows[rows["value"].notna()].groupby("trial_id")[STEP].max()
    run = run.assign(last=run["trial_id"].map(last).astype(float).fillna(0))
    ended = run[run["status"] != FINISHED]
    over = rows["trial_id"].map(ended.set_index("trial_id")["last"]).astype(float).fillna(math.inf) < rows[STEP]
    rows = rows[~over]
    keys = [*POOL, STEP]
    curve = summary(rows[rows["value"].notna()], keys, _unscored(rows, ended), level)
    return curve[[*keys, "n", "scored", *SUMMARY[1:]]]


def _unscored(rows: pd.DataFrame, ended: pd.DataFrame) -> "pd.Series[int]":
    """By dataset, method and step: how many trainings have no score there, most of them since they ended before."""
    keys = [*POOL, STEP]
    counts = rows.assign(value=rows["value"].isna()).groupby(keys)["value"].sum().reset_index()
    ends = {pool: np.sort(last.to_numpy()) for pool, last in ended.groupby(POOL)["last"]}
    counts["value"] += np.concatenate(
        [
            np.searchsorted(ends.get(pool, np.zeros(0)), group[STEP].to_numpy(), side="left")
            for pool, group in counts.groupby(POOL)  # in the order of `counts`
        ]
        or [np.zeros(0, dtype=int)]
    )
    return counts.set_index(keys)["value"]


def shown_trainings(trials: pd.DataFrame, checkpoints: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The scored checkpoints of the best training of each method, and of all that diverged or failed.

    Returns:
        dataset, method (its label), trial_id, discriminator_step, frechet_distance, shown (best, diverged, failed), end
        (whether it is the last one); in the order of trainings and steps.
    """
    run = trainings(trials, rule).sort_values(["score", "trial_id"])
    best = run[run["score"].notna()].groupby(POOL).head(1).assign(shown="best")
    ended = run[run["status"].isin((DIVERGED, FAILED))]
    chosen = pd.concat([best, ended.assign(shown=ended["status"])])
    rows = chosen.merge(
        checkpoints[["trial_id", "protocol_id", STEP, "frechet_distance"]], on=["trial_id", "protocol_id"]
    )
    rows = rows[np.isfinite(rows["frechet_distance"])].sort_values([*POOL, "trial_id", STEP], ignore_index=True)
    rows["end"] = ~rows["trial_id"].duplicated(keep="last")
    table: pd.DataFrame = rows[[*POOL, "trial_id", STEP, "frechet_distance", "shown", "end"]]
    return table


def outcomes(trials: pd.DataFrame) -> pd.DataFrame:
    """How the trainings of each method ended: dataset, method (its label), trainings, diverged, failed, stopped.

    Stopped ones are not among the trainings.
    """
    rows = trials[trials["source"] != KEPT_GENERATOR]
    rows = rows.assign(method=labels(trials))
    counts = rows.groupby([*POOL, "status"]).size().unstack(fill_value=0).reindex(columns=list(STATUSES), fill_value=0)
    counts["trainings"] = counts[FINISHED] + counts[DIVERGED] + counts[FAILED]
    return counts[["trainings", DIVERGED, FAILED, STOPPED]].rename_axis(columns=None).reset_index()


def diagnostic_curve(trials: pd.DataFrame, checkpoints: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Sigma of the discriminator's layers and its gradient norms at each checkpoint, over a method's trainings.

    Trainings that have ended by then, and checkpoints without diagnostics, are not in n: nothing is known of them.

    Args:
        trials, checkpoints, level: as `score_curve`.

    Returns:
        One row per dataset, method (its label), quantity (sigma, sigma_product, gradient_norm_train, ..._fake,
        ..._between), layer (from 1; 0 for what is of the whole discriminator) and discriminator_step: n (trainings),
        q1, median, q3, low, high as `score_curve`. Gradient norms are those of D at images in [0, 1].
    """
    columns = ["trial_id", "protocol_id", STEP, "sigmas", SIGMA_PRODUCT, *GRADIENT_NORMS]
    run = trainings(trials)
    pools = run[POOL].drop_duplicates(ignore_index=True).reset_index(names="pool")
    run = run.merge(pools, on=POOL)[["trial_id", "protocol_id", "pool"]]
    rows = run.merge(checkpoints[columns], on=["trial_id", "protocol_id"])
    sigmas = _layers(rows["sigmas"])
    values = {(SIGMA, layer): column for layer, column in enumerate(sigmas.T, 1)}
    values |= {(name, 0): rows[name].to_numpy(dtype=float) for name in (SIGMA_PRODUCT, *GRADIENT_NORMS)}
    made = [
        summary(rows[["pool", STEP]].assign(value=each).dropna(), ["pool", STEP], None, level).assign(
            quantity=quantity, layer=layer
        )
        for (quantity, layer), each in values.items()
    ]
    keys = [*POOL, "quantity", "layer", STEP]
    table = pd.concat(made, ignore_index=True).merge(pools, on="pool").sort_values(keys, ignore_index=True)
    return table[[*keys, *SUMMARY]]


def _layers(sigmas: "pd.Series[Any]") -> Array:
    """[checkpoints, layers]: NaN where a discriminator has fewer layers or there are no diagnostics."""
    known = sigmas[sigmas.notna()]
    sizes = known.str.len().to_numpy(dtype=int)
    table = np.full((len(sigmas), sizes.max(initial=0)), np.nan)
    rows = np.repeat(np.flatnonzero(sigmas.notna()), sizes)
    layer = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table[rows, layer] = np.concatenate([*known, np.empty(0)])
    return table
