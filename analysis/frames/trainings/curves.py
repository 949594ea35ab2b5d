"""Training curves: score and diagnostics by discriminator update, over the trainings of each method.

A curve gives the quartiles of a method's trainings at each checkpoint and an interval of their median; the sampling
unit is the training, with a setting drawn from those of the method (`analysis.statistics.intervals`).
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.rows.load import positions
from analysis.rows.scores import BEST, LABELLED, SelectionRule, labels, scored
from analysis.statistics.intervals import Array
from analysis.statistics.quartiles import QUARTILE_COLUMNS, group_quartiles
from study.storage.schema import DIVERGED, FAILED, FINISHED, KEPT_GENERATOR, STATUSES, STOPPED

POOL = ["dataset", "method"]
STEP = "discriminator_step"
SIGMA, SIGMA_PRODUCT = "sigma", "sigma_product"
GRADIENT_NORMS = ("gradient_norm_train", "gradient_norm_fake", "gradient_norm_between")


def trainings(trials: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The trainings whose checkpoints are known from the first to the last.

    Excludes stopped trainings, which are a selection, and kept generators, which have one scored checkpoint.

    Args:
        trials: rows of `select`.
        rule: the score of a trial.

    Returns:
        trial_id, protocol_id, dataset, method (its label), status, score (NaN: none).
    """
    needed = list(dict.fromkeys(("trial_id", "protocol_id", "status", "source", rule.column, *LABELLED)))
    whole = scored(trials.loc[trials["source"] != KEPT_GENERATOR, needed], rule)
    named = whole.assign(method=whole["method_label"])
    return named[["trial_id", "protocol_id", "dataset", "method", "status", "score"]]


def score_curve(trials: pd.DataFrame, checkpoints: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """The scores of a method's trainings at each checkpoint: quartiles, and an interval of the median.

    A diverged or failed training counts without a score, and so ranks last, at all later checkpoints of its method.

    Args:
        trials: rows of `select`.
        checkpoints: rows of `load_checkpoints`.
        level: of the interval.

    Returns:
        One row per dataset, method (its label) and discriminator_step at which one of its trainings has a score: n
        (trainings that reached it or ended before), scored (number with a score), q1, median, q3 (linear
        interpolation; inf if they fall on trainings without a score), low and high (of the median, by order statistics;
        infinite if there are too few trainings).
    """
    run, pools = _by_pool(trainings(trials))
    at = positions(checkpoints, run)
    known = at >= 0
    score = checkpoints["frechet_distance"].to_numpy(dtype=float)[known]
    rows = pd.DataFrame({"at": at[known], STEP: checkpoints[STEP].to_numpy()[known]})
    rows = rows.assign(pool=run["pool"].to_numpy()[rows["at"]], value=np.where(np.isfinite(score), score, math.nan))
    last = rows[rows["value"].notna()].groupby("at")[STEP].max()
    run = run.assign(last=last.reindex(run.index, fill_value=0).astype(float))
    ended = run["status"] != FINISHED
    rows = rows[rows[STEP] <= run["last"].where(ended, math.inf).to_numpy()[rows["at"]]]
    keys = ["pool", STEP]
    curve = group_quartiles(rows[rows["value"].notna()], keys, _unscored(rows, run[ended]), level).merge(
        pools, on="pool"
    )
    keys = [*POOL, STEP]
    return curve.sort_values(keys, ignore_index=True)[[*keys, "n", "scored", *QUARTILE_COLUMNS[1:]]]


def _by_pool(run: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trainings with the index of their pool, and the pools: pool, dataset, method."""
    pools = run[POOL].drop_duplicates(ignore_index=True).reset_index(names="pool")
    return run.merge(pools, on=POOL, how="left"), pools


def _unscored(rows: pd.DataFrame, ended: pd.DataFrame) -> "pd.Series[int]":
    """By pool and step: the number of trainings without a score, mostly because they ended before."""
    keys = ["pool", STEP]
    counts = rows.assign(value=rows["value"].isna()).groupby(keys)["value"].sum().reset_index()
    ends = {pool: np.sort(last.to_numpy()) for pool, last in ended.groupby("pool")["last"]}
    counts["value"] += np.concatenate(
        [
            np.searchsorted(ends.get(pool, np.zeros(0)), group[STEP].to_numpy(), side="left")
            for pool, group in counts.groupby("pool")  # in the order of `counts`
        ]
        or [np.zeros(0, dtype=int)]
    )
    return counts.set_index(keys)["value"]


def highlighted_trainings(trials: pd.DataFrame, checkpoints: pd.DataFrame, rule: SelectionRule = BEST) -> pd.DataFrame:
    """The scored checkpoints of the best training of each method, and of all diverged or failed trainings.

    Returns:
        dataset, method (its label), trial_id, discriminator_step, frechet_distance, shown (best, diverged, failed), end
        (whether it is the last checkpoint); in the order of trainings and steps.
    """
    run = trainings(trials, rule).sort_values(["score", "trial_id"])
    best = run[run["score"].notna()].groupby(POOL).head(1).assign(shown="best")
    ended = run[run["status"].isin((DIVERGED, FAILED))]
    chosen = pd.concat([best, ended.assign(shown=ended["status"])])
    at = positions(checkpoints, chosen)
    rows = chosen.iloc[at[at >= 0]].reset_index(drop=True)
    rows = rows.assign(**{name: checkpoints[name].to_numpy()[at >= 0] for name in (STEP, "frechet_distance")})
    rows = rows[np.isfinite(rows["frechet_distance"])].sort_values([*POOL, "trial_id", STEP], ignore_index=True)
    rows["end"] = ~rows["trial_id"].duplicated(keep="last")
    table: pd.DataFrame = rows[[*POOL, "trial_id", STEP, "frechet_distance", "shown", "end"]]
    return table


def outcomes(trials: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of the trainings of each method: dataset, method (its label), trainings, diverged, failed, stopped.

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
    run, pools = _by_pool(trainings(trials))
    at = positions(checkpoints, run)
    rows = checkpoints.loc[at >= 0, [STEP, "sigmas", SIGMA_PRODUCT, *GRADIENT_NORMS]]
    groups = rows.assign(pool=run["pool"].to_numpy()[at[at >= 0]]).groupby(["pool", STEP])
    cell = groups.ngroup().to_numpy()
    cells = groups.size().index.to_frame(index=False).merge(pools, on="pool", how="left")
    values = {(SIGMA, layer): column for layer, column in enumerate(_layers(rows["sigmas"]).T, 1)}
    values |= {(name, 0): rows[name].to_numpy(dtype=float) for name in (SIGMA_PRODUCT, *GRADIENT_NORMS)}
    records = []
    for (quantity, layer), each in values.items():
        known = ~np.isnan(each)
        result = group_quartiles(pd.DataFrame({"cell": cell[known], "value": each[known]}), ["cell"], None, level)
        records.append(result.assign(quantity=quantity, layer=layer))
    keys = [*POOL, "quantity", "layer", STEP]
    table = pd.concat(records, ignore_index=True)
    table = table.join(cells, on="cell").sort_values(keys, ignore_index=True)
    return table[[*keys, *QUARTILE_COLUMNS]]


def _layers(sigmas: "pd.Series[Any]") -> Array:
    """[checkpoints, layers]: NaN if a discriminator has fewer layers or no diagnostics."""
    lists = pa.array(sigmas, pa.list_(pa.float64()), from_pandas=True)
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    sizes = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    table = np.full((len(sizes), sizes.max(initial=0)), np.nan)
    table[np.arange(table.shape[1]) < sizes[:, None]] = lists.flatten().to_numpy(zero_copy_only=False)
    return table
