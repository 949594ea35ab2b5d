"""Expected best score of k trainings, for each budget k (section 3, item 2; the lower rows of Figures 1 to 3)."""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from analysis.rows.scores import pools
from analysis.statistics.intervals import ranked

BAND = (0.05, 0.95)
POINTS = 120
"""Maximum number of budgets per curve, evenly spaced in their logarithm."""


def best_of_budget(scores: Any, budgets: Any, worst: float) -> pd.DataFrame:
    """Exact mean and band of the lowest of k scores drawn without replacement from a pool of n.

    In a random order of the pool, the i-th lowest score is the lowest of the first k with probability
    C(n - i, k - 1) / C(n, k). The paper averages over 1,000 random orders (section 3, item 2); this is the exact limit.

    Args:
        scores: [n]; NaN for a training without a score.
        budgets: integers in [1, n].
        worst: the value of a draw without any score in the mean; the band is inf there.

    Returns:
        k, mean, low and high (5 and 95 % quantiles over orders), unscored (share of orders without a score within k).
    """
    values = ranked(scores)
    n, k = len(values), np.asarray(budgets, dtype=int)[:, None]
    finite = int(np.isfinite(values).sum())
    i = np.arange(1, n + 1)[None, :]
    # P(the lowest of k is beyond the i-th) = C(n - i, k) / C(n, k)
    left = np.maximum(n - i, k)  # where n - i < k the chance is 0
    log_factorial = special.gammaln(np.arange(n + 1) + 1.0)
    beyond = np.exp(
        log_factorial[left] - log_factorial[left - k] - log_factorial[n] + log_factorial[n - k]  # [budgets, n]
    )
    beyond = np.where(n - i < k, 0.0, beyond)
    reached = 1 - beyond
    weights = np.diff(reached, axis=1, prepend=0.0)
    unscored = beyond[:, finite - 1] if finite else np.ones(len(k))
    mean = weights[:, :finite] @ values[:finite] + unscored * worst if finite else np.full(len(k), math.nan)
    ends = [values[np.minimum((reached < share - 1e-12).sum(axis=1), n - 1)] for share in BAND]
    return pd.DataFrame({"k": k[:, 0], "mean": mean, "low": ends[0], "high": ends[1], "unscored": unscored})


def budget_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """The expected best score of k trainings, for each method.

    Args:
        rows: of `scored`. Trainings without a score count in k; an order without any score within k counts as the worst
            score of its dataset.

    Returns:
        One row per dataset, method and k: dataset, method (its label), n (the pool), and the columns of
        `best_of_budget`; methods in the order of the paper's Figure 1. A pool of more than 120 has budgets that
        are evenly spaced in their logarithm. A method without any score has no rows.
    """
    worst = rows.groupby("dataset")["score"].max()
    curves = []
    for (dataset, label), pool in pools(rows).items():
        if pool["score"].notna().any():
            n = len(pool)
            ks = np.unique(np.geomspace(1, n, min(n, POINTS)).round().astype(int)) if n > POINTS else range(1, n + 1)
            curve = best_of_budget(pool["score"], list(ks), worst[dataset])
            curves.append(curve.assign(dataset=dataset, method=label, n=n))
    columns = ["dataset", "method", "n", "k", "mean", "low", "high", "unscored"]
    return pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)
