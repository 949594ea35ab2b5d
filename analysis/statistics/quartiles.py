"""Quartiles of many groups of numbers at once, with an interval for each median."""

import functools
import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.intervals import Array, quantile_interval

QUARTILE_COLUMNS = ("n", "q1", "median", "q3", "low", "high")


def group_quartiles(
    rows: pd.DataFrame, keys: list[str], unscored: "pd.Series[int] | None" = None, level: float = 0.95
) -> pd.DataFrame:
    """Quartiles of groups of numbers, with an interval for each median; without a loop over groups.

    Args:
        rows: the columns `keys` and value; values may be infinite but not NaN.
        keys: columns that identify a group.
        unscored: by group, the number of further members, which rank last.
        level: of the interval.

    Returns:
        One row per group: keys, scored (count of numbers), n (count with unscored members), q1, median, q3 (linear
        interpolation; inf if an unscored member is involved), low, high (order statistics; infinite if n is too small).
    """
    groups = rows.groupby(keys)
    code, values = groups.ngroup().to_numpy(), rows["value"].to_numpy(dtype=float)
    ascending = np.argsort(values)
    values = values[ascending[np.argsort(code[ascending].astype(_least_integer(code)), kind="stable")]]
    table = groups.size().rename("scored").reset_index()
    size = table["scored"].to_numpy(dtype=int)
    more = 0 if unscored is None else unscored.reindex(pd.MultiIndex.from_frame(table[keys]), fill_value=0).to_numpy()
    n = size + more
    start = np.cumsum(size) - size

    def at(place: Array) -> Array:
        """The numbers at these ranks of their groups, from 0."""
        inside = (place >= 0) & (place < size)
        return np.where(inside, values[np.where(inside, start + place, 0)], np.where(place < 0, -math.inf, math.inf))

    for name, q in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        place = np.floor((n - 1) * q).astype(int)
        low, high, share = at(place), at(np.minimum(place + 1, n - 1)), (n - 1) * q - place
        between = (share > 0) & (low != high)
        table[name] = low
        table.loc[between, name] = (1 - share[between]) * low[between] + share[between] * high[between]
    ends = {count: median_places(count, level) for count in np.unique(n).tolist()}
    for side, name in enumerate(("low", "high")):
        table[name] = at(np.array([ends[count][side] for count in n.tolist()], dtype=int))
    return table.assign(n=n)


def _least_integer(code: Array) -> Any:
    """The integer type that numpy sorts fastest; it uses radix sort for two bytes."""
    return np.int16 if code.max(initial=0) < np.iinfo(np.int16).max else np.int64


@functools.cache
def median_places(n: int, level: float) -> tuple[int, int]:
    """The ranks (from 0) of the ends of the interval of the median of n numbers; -1 and n mean unbounded.

    >>> median_places(20, 0.95), median_places(5, 0.95)
    ((5, 14), (-1, 5))
    """
    low, high = quantile_interval(np.arange(n), 0.5, level)
    return int(low) if math.isfinite(low) else -1, int(high) if math.isfinite(high) else int(n)
