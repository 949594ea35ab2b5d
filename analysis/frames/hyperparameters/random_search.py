"""Random search as the baseline of a search, at the same number of trials."""

import bisect
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.rows.checks import load_table
from search_spaces.ranges import BO
from study.core.trial import Training, field_names
from study.storage.schema import FINISHED, STOPPED

RANDOM = "ranges"
"""The search space whose trials are random settings."""
NAME = re.compile(r" n_dis=\d+ (?P<sampler>\S+) seed=(?P<proposals>\d+)(?P<early> stop-early)? (?P<digest>\w{8})$")
"""How the name of a search ends (`study.driver.search.rounds.Search.name`)."""
SEARCH_KEYS = ("dataset", "architecture", "method", "n_dis", *field_names(Training))
"""Columns that must be equal for random settings to be compared with a search."""
SETTING = ("learning_rate", "beta1", "beta2", "penalty_weight")
QUANTILES = {"low": Fraction(5, 100), "median": Fraction(1, 2), "high": Fraction(95, 100)}


def random_best(trials: pd.DataFrame, frame: pd.DataFrame, results: Path) -> pd.DataFrame:
    """The best of k comparable random settings, for each k up to the number of trials of a search.

    Random settings are the trials of the space `ranges` and of searches with the sampler `random` without early
    stopping; each setting counts once, by its lowest seed. Trials without a row and stopped trials are excluded;
    diverged, failed and unscored trials are included and rank last. The ranges are assumed to be those of the search:
    the paper's Table 2, unless a user-defined space has others.

    Args:
        trials: rows of `search_trials`.
        frame: the rows of `select` from which `trials` was computed.
        results: the folder.

    Returns:
        One row per dataset, label, n_dis and k, with pool (how many settings) and the quantiles of `best_of`; no rows
        if there are no random settings.
    """
    pools = dict(iter(_random_settings(frame, results).groupby(list(SEARCH_KEYS))))
    same = ["dataset", "label", "n_dis"]
    curves = []
    for key, rows in trials.groupby(list(SEARCH_KEYS)):
        if key in pools:
            pool = pools[key]
            usable = (pool["status"] == FINISHED) & np.isfinite(pool["best_frechet_distance"])
            curve = best_of(list(pool["best_frechet_distance"].where(usable)), rows["number"].max())
            curves.append(curve.assign(**rows.iloc[0][same], pool=len(pool)))
    columns = {**dict.fromkeys(same, object), "pool": int, "k": int, **dict.fromkeys(QUANTILES, float)}
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(columns)).astype(columns)


def _random_settings(frame: pd.DataFrame, results: Path) -> pd.DataFrame:
    members = load_table(results, "memberships").to_pandas()
    names = members["context"].str.extract(NAME)
    searches = (members["space"] == BO) & (names["sampler"] == "random") & names["early"].isna()
    drawn = members[searches | (members["space"] == RANDOM)]["trial_id"]
    rows = frame[frame["trial_id"].isin(drawn) & (frame["status"] != STOPPED)]
    return rows.sort_values("seed").drop_duplicates([*SEARCH_KEYS, *SETTING])


def best_of(scores: Sequence[float], most: int) -> pd.DataFrame:
    """Exact quantiles of the best (lowest) of k scores drawn without replacement from a pool of n.

    The best of k is among the i lowest scores of the pool in C(n, k) - C(n - i, k) of C(n, k) draws. A quantile is the
    lowest score at which that share reaches a probability. Unlike the mean, it exists if some of the pool have no
    score: these rank last.

    Args:
        scores: of the pool; NaN for a missing one.
        most: k goes from 1 to min(most, n).

    Returns:
        k, low (5 %), median (50 %), high (95 %); inf if the quantile falls on a trial without a score.
    """
    n = len(scores)
    ranked = sorted(math.inf if math.isnan(score) else score for score in scores)
    rows = [
        {"k": k, **{name: ranked[_place(n, k, share)] for name, share in QUANTILES.items()}}
        for k in range(1, min(most, n) + 1)
    ]
    return pd.DataFrame(rows, columns=["k", *QUANTILES])


def _place(n: int, k: int, share: Fraction) -> int:
    """The lowest rank (from 0) such that this share of the draws of k from n has its best at or below it."""
    draws = math.comb(n, k)
    return bisect.bisect_left(range(n), math.ceil(share * draws), key=lambda place: draws - math.comb(n - place - 1, k))
