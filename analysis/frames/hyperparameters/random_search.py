"""What random settings come to: the yardstick of a search, at the same number of trials."""

import bisect
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from search_spaces.ranges import BO
from study.core.trial import Training, field_names
from study.storage.schema import FINISHED, STOPPED
from study.storage.tables import read_table

RANDOM = "ranges"
"""The space whose trials are random settings."""
NAME = re.compile(r" n_dis=\d+ (?P<sampler>\S+) seed=(?P<proposals>\d+)(?P<early> stop-early)? (?P<digest>\w{8})$")
"""How the name of a search ends (`study.driver.search.rounds.Search.name`)."""
SEARCH_KEYS = ("dataset", "architecture", "method", "n_dis", *field_names(Training))
"""What random settings have in common with the search that they are compared with."""
SETTING = ("learning_rate", "beta1", "beta2", "penalty_weight")
QUANTILES = {"low": Fraction(5, 100), "median": Fraction(1, 2), "high": Fraction(95, 100)}


def random_best(trials: pd.DataFrame, frame: pd.DataFrame, results: Path) -> pd.DataFrame:
    """How good the best of k random settings is that are alike to those of a search, for each k up to its trials.

    Random settings are the trials of the space `ranges` and of searches whose sampler is `random` and that stop none
    early; each setting counts once, by its lowest seed. What was not run to its end is not among them: trials without a
    row and stopped ones. Diverged, failed and unscored ones are, and rank last. That the ranges are those of the search
    is taken for granted: the paper's Table 2, unless a space of one's own has others.

    Args:
        trials: rows of `search_trials`.
        frame: the rows of `select` that it was made of.
        results: the folder.

    Returns:
        One row per dataset, label, n_dis and k, with pool (how many settings) and the quantiles of `best_of`; no rows
        where there are no random settings.
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
    members = read_table(results, "memberships").to_pandas()
    said = members["context"].str.extract(NAME)
    searches = (members["space"] == BO) & (said["sampler"] == "random") & said["early"].isna()
    drawn = members[searches | (members["space"] == RANDOM)]["trial_id"]
    rows = frame[frame["trial_id"].isin(drawn) & (frame["status"] != STOPPED)]
    return rows.sort_values("seed").drop_duplicates([*SEARCH_KEYS, *SETTING])


def best_of(scores: Sequence[float], most: int) -> pd.DataFrame:
    """Quantiles of the best (lowest) of k scores drawn without replacement from a pool of n; exact.

    The i lowest of the pool hold the best of k in C(n, k) - C(n - i, k) of C(n, k) draws, the sum of the
    C(n - j, k - 1) in which it is the j-th. A quantile is the lowest score at which that share reaches a probability.
    Unlike the mean, it is there when some of the pool have no score: these rank last.

    Args:
        scores: of the pool; NaN where there is none.
        most: k goes from 1 to this, or to n where that is less.

    Returns:
        k, low (5 %), median (50 %), high (95 %); inf where the quantile falls on a trial without a score.
    """
    n = len(scores)
    ranked = sorted(math.inf if math.isnan(score) else score for score in scores)
    rows = [
        {"k": k, **{name: ranked[_place(n, k, share)] for name, share in QUANTILES.items()}}
        for k in range(1, min(most, n) + 1)
    ]
    return pd.DataFrame(rows, columns=["k", *QUANTILES])


def _place(n: int, k: int, share: Fraction) -> int:
    """The first place (from 0) at which this share of the draws of k from n has its best."""
    draws = math.comb(n, k)
    return bisect.bisect_left(range(n), math.ceil(share * draws), key=lambda place: draws - math.comb(n - place - 1, k))
