"""The variation of scores between seeds of the same setting."""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.scores import SETTING, pools
from analysis.statistics.intervals import Array, Interval, check_level, quantile_interval
from study.storage.schema import LABEL_FIELDS, score_label

RESAMPLES, DRAWS = 2000, 2_000_000
"""Bootstrap resamples, and the maximum of resamples * settings; at least 200 resamples are used."""
LOST = 1e-13
"""A difference of sums of squares below this share of them is rounding error and set to 0."""


def repeated_settings(rows: pd.DataFrame) -> pd.DataFrame:
    """The trainings whose setting was trained with more than one seed, with the rank of the setting in its method.

    Args:
        rows: of `scored` with one row per training (its pool TRAININGS).

    Returns:
        The rows of such settings with setting (an arbitrary index), place (rank of the setting, from 1, in its dataset
        and method, by the median over seeds; settings without a score last) and median (inf if it falls on a seed
        without a score).
    """
    setting = rows.groupby(list(SETTING), dropna=False, sort=False).ngroup()
    several = rows.assign(setting=setting)[setting.map(setting.value_counts()) > 1]
    if several.empty:
        return several.assign(place=0, median=math.nan)
    ranked = pd.DataFrame({"setting": several["setting"], "filled": several["score"].fillna(math.inf)})
    ranked = ranked.sort_values("filled")
    within = ranked.groupby("setting")
    at, size = within.cumcount(), within["filled"].transform("size")
    middle = [ranked[at == where].set_index("setting")["filled"] for where in ((size - 1) // 2, size // 2)]
    median = (middle[0] + middle[1]) / 2
    several = several.assign(median=several["setting"].map(median))
    first = ["dataset", "method_label", "setting", "median", "trial_id"]
    order = several[first].drop_duplicates("setting").sort_values(["median", "trial_id"])
    place = order.groupby(["dataset", "method_label"]).cumcount() + 1
    return several.assign(place=several["setting"].map(place.set_axis(order["setting"]))).reset_index(drop=True)


def setting_spread(rows: pd.DataFrame) -> pd.DataFrame:
    """The distribution of scores over the seeds of each setting.

    Args:
        rows: of `repeated_settings`.

    Returns:
        One row per setting: dataset, method (its label), setting, place, seeds, scored (of them), median (as
        `repeated_settings`), lowest, highest, mean, sd (n - 1 in the denominator; NaN below two scores) of the scores.
    """
    groups = rows.groupby(["dataset", "method_label", "setting", "place"], sort=False)
    scores = groups["score"].agg(["count", "min", "max", "mean", "std"])
    spread = groups.agg(seeds=("seed", "size"), median=("median", "first")).join(scores).reset_index()
    names = {"method_label": "method", "count": "scored", "min": "lowest", "max": "highest", "std": "sd"}
    columns = ["dataset", "method", "setting", "place", "seeds", "scored", "median", "lowest", "highest", "mean", "sd"]
    return spread.rename(columns=names)[columns]


def seed_table(rows: pd.DataFrame, rng: np.random.Generator, level: float = 0.95) -> pd.DataFrame:
    """The variation between seeds for each method, over its settings with several seeds.

    Four measures, each with an interval; the sampling unit is the setting:

    - sd: standard deviation within settings, pooled by degrees of freedom, in units of the score;
    - cv: the same for sd / mean of each setting;
    - range: (highest - lowest) / median over its seeds, the median over settings; grows with the number of seeds;
    - between: intraclass correlation of ranks, the share of their variance that is between settings and not between
      seeds of one setting; seeds without a score rank last. Below 0 if seeds of one setting differ more than settings,
      for example if a seed has the same effect in all settings.

    Intervals of sd and cv are studentised bootstraps of the logarithm of the pooled variance over settings. Simulated
    coverage with 12 settings of 3 seeds: 95 % if all settings have equal variance, 89 % if the logarithm of their sd
    has a standard deviation of 0.5, and 76 % if it is 1, since the settings that vary most may be missing from the
    sample (percentile bootstrap: 90, 77 and 50 %). The interval of range is by order statistics and exact. The
    interval of between is Searle's (1971), exact for normal effects, without resampling; simulated coverage for ranks:
    85 to 98 %.

    Args:
        rows: of `repeated_settings`. Only scored seeds enter sd, cv and range; partly counts settings with other seeds.
        rng: for resampling.
        level: of each interval, in (0, 1).

    Returns:
        One row per dataset and method, in the order of the paper's Figure 1: dataset, method (its label), settings
        (with several seeds), trainings, partly (settings with both scored and unscored seeds), unscored
        (trainings), sd, sd_low, sd_high, cv, cv_low, cv_high, range, range_low, range_high, between, between_low,
        between_high, score_label. A measure is NaN if it is undefined; unbounded ends are 0, -1, 1 or inf.
    """
    check_level(level)
    spread = setting_spread(rows)
    records = []
    needed = ["dataset", "method_label", "setting", "score", *LABEL_FIELDS]
    for (dataset, label), pool in pools(rows[needed]).items():
        mine = spread[(spread["dataset"] == dataset) & (spread["method"] == label)]
        first = pool.iloc[0]
        records.append(
            {
                "dataset": dataset,
                "method": label,
                "settings": len(mine),
                "trainings": len(pool),
                "partly": int(mine["scored"].between(1, mine["seeds"] - 1).sum()),
                "unscored": int(pool["score"].isna().sum()),
                **_measures(mine, pool, rng, level),
                "score_label": score_label(first),
            }
        )
    return pd.DataFrame(records)


def _measures(spread: pd.DataFrame, pool: pd.DataFrame, rng: np.random.Generator, level: float) -> dict[str, float]:
    """The four measures of one method, each with its interval."""
    two = spread[spread["scored"] > 1]
    freedom = two["scored"].to_numpy(dtype=float) - 1
    variance = two["sd"].to_numpy() ** 2
    positive = (two["mean"] > 0).to_numpy()
    relative = variance[positive] / two["mean"].to_numpy()[positive] ** 2
    middle = two["median"].where(np.isfinite(two["median"]), two["highest"])
    ranges = ((two["highest"] - two["lowest"]) / middle)[middle > 0]
    result = {
        "sd": pooled_sd(variance, freedom, rng, level),
        "cv": pooled_sd(relative, freedom[positive], rng, level),
        "range": typical(ranges, level),
        "between": intraclass(stats.rankdata(pool["score"].fillna(math.inf)), pool["setting"], level),
    }
    records: dict[str, float] = {}
    for name, (value, (low, high)) in result.items():
        records |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return records


NOTHING: tuple[float, Interval] = (math.nan, (0.0, math.inf))


def typical(ranges: "pd.Series[float]", level: float) -> tuple[float, Interval]:
    """The median of nonnegative values, with its interval by order statistics."""
    if ranges.empty:
        return NOTHING
    low, high = quantile_interval(ranges, 0.5, level)
    return float(ranges.median()), (max(low, 0.0), high)


def pooled_sd(
    variances: Any, freedom: Any, rng: np.random.Generator, level: float = 0.95
) -> tuple[float, tuple[float, float]]:
    """The pooled standard deviation (weighted by degrees of freedom), with a studentised bootstrap interval.

    Args:
        variances, freedom: [settings].
        rng: for resampling settings.

    Returns:
        (sd, (low, high)); the interval is (0, inf) below three settings or if all variances are 0.
    """
    below = np.asarray(freedom, dtype=float)
    above, n = np.asarray(variances, dtype=float) * below, len(below)
    if not n:
        return NOTHING
    mean, error = (float(each[0]) for each in _log_ratio(np.ones((1, n)), above, below))
    sd = math.exp(mean / 2)
    if n < 3 or not error > 0:
        return sd, (0.0, math.inf)
    resamples = int(np.clip(DRAWS // n, 200, RESAMPLES))
    drawn = rng.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)
    means, errors = _log_ratio(times, above, below)
    usable = errors > 0  # a resample of one setting has no standard error
    ends = np.quantile((means[usable] - mean) / errors[usable], [(1 + level) / 2, (1 - level) / 2])
    with np.errstate(over="ignore"):  # unbounded for few settings with very different variances
        low, high = np.exp((mean - ends * error) / 2)
    return sd, (float(low), float(high))


def _log_ratio(times: Array, above: Array, below: Array) -> tuple[Array, Array]:
    """[resamples]: the logarithm of the ratio of sums over settings, and its standard error.

    Args:
        times: [resamples, settings], the number of draws of each setting.
        above, below: [settings], the terms of the numerator and of the denominator; below is positive.
    """
    n, whole = len(below), above.sum() / below.sum()
    rest = above - whole * below  # centred at the overall ratio, to avoid cancellation of squares
    sums = times @ np.stack([above, below, rest, rest**2, rest * below, below**2], axis=-1)
    more = sums[:, 2] / sums[:, 1]  # ratio of a resample minus the overall ratio
    parts = np.stack([sums[:, 3], -2 * more * sums[:, 4], more**2 * sums[:, 5]])
    squares = parts.sum(axis=0)
    squares = np.where(squares > LOST * np.abs(parts).sum(axis=0), squares, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(squares * n / max(n - 1, 1)) / sums[:, 0]
        return np.log(whole + more), np.where(sums[:, 0] > 0, error, 0.0)


def intraclass(values: Any, groups: Any, level: float = 0.95) -> tuple[float, tuple[float, float]]:
    """The share of variance between groups: one-way random effects, ICC(1) (Shrout and Fleiss, 1979).

    It can be negative, down to -1 / (size - 1), if groups are more similar than by chance.

    Args:
        values: [n].
        groups: [n]; for unequal sizes n_i the size is n_0 = (n - sum n_i^2 / n) / (groups - 1).

    Returns:
        (share, (low, high)); NaN, -1 and 1 for fewer than two groups or constant values. The interval is
        Searle's (1971, chapter 9), exact for normal effects and equal sizes.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    x, sizes = np.asarray(values, dtype=float), np.bincount(codes).astype(float)
    n, count = len(x), len(sizes)
    if count < 2 or n == count or x.min() == x.max():
        return math.nan, (-1.0, 1.0)
    means = np.bincount(codes, x) / sizes
    between = float((sizes * (means - x.mean()) ** 2).sum()) / (count - 1)
    within = float(((x - means[codes]) ** 2).sum()) / (n - count)
    size = (n - float((sizes**2).sum()) / n) / (count - 1)
    if within == 0:
        return 1.0, (-1.0, 1.0)
    ratio, side = between / within, (1 + level) / 2
    ends = (
        ratio,
        ratio / float(stats.f.ppf(side, count - 1, n - count)),
        ratio * float(stats.f.ppf(side, n - count, count - 1)),
    )
    share, low, high = ((each - 1) / (each + size - 1) for each in ends)
    return share, (low, high)
