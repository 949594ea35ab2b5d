"""How often intervals hold what they are for: simulated, for several laws of scores and numbers of trainings.

    OMP_NUM_THREADS=1 python tests/benchmarks/coverage.py [--repeats 2000]

First the median of the best 5 % of one method. The plain percentile bootstrap, by its own standard (the statistic's
median over all samples of this size) and against the 2.5 % quantile of the law, which is what that median estimates;
then the interval by order statistics: its coverage at 5 %, where both its ends are finite, and, at the least fraction
that n trainings resolve, coverage and median width, in per cent of the quantile itself. Then the difference of two
methods: MOVER and the interval that `compare_scores` gives, coverage and the larger of the two errors.
"""

import argparse
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from analysis.frames.methods.compare import compare_scores, expected_top_median, top_count
from analysis.statistics.intervals import difference_interval, quantile_interval, resolved_fraction

SIZES = (12, 24, 48, 72, 120, 264, 360)
PAIRED = ((12, 12), (24, 24), (24, 72), (72, 24), (72, 72), (72, 264), (264, 264))
FRACTION, RESAMPLES, SEEDS = 0.05, 2000, 3
Array = Any


@dataclass(frozen=True)
class Law:
    """Scores: `draw(rng, repeats, n)` is [repeats, n], `below(x, n)` the share of them that lie below x."""

    name: str
    draw: Callable[[np.random.Generator, int, int], Array]
    below: Callable[[float, int], float]

    def quantile(self, q: float, n: int) -> float:
        return float(optimize.brentq(lambda x: self.below(x, n) - q, -1e5, 1e5, xtol=1e-9))


def mixture(name: str, *parts: tuple[float, float, float], diverged: float = 0.0) -> Law:
    """Normal parts, each (share, mean, deviation); the rest has no score."""
    shares, means, deviations = (np.array(column) for column in zip(*parts, strict=True))

    def draw(rng: np.random.Generator, repeats: int, n: int) -> Array:
        which = rng.choice(len(parts) + 1, (repeats, n), p=[*shares, diverged])
        scores = np.append(means, 0)[which] + np.append(deviations, 1)[which] * rng.standard_normal((repeats, n))
        return np.where(which < len(parts), scores, np.nan)

    return Law(name, draw, lambda x, n: float(shares @ stats.norm.cdf(x, means, deviations)))


def grid(rng: np.random.Generator, repeats: int, n: int) -> Array:
    """The same settings each time, as far apart as `lognormal`; only seeds are drawn, three of each."""
    centres = np.log(LOGNORMAL.ppf((np.arange(n // SEEDS) + 0.5) / (n // SEEDS)))
    noise = 0.1 * rng.standard_normal((repeats, n // SEEDS, SEEDS))
    return np.exp(centres[:, None] + noise).reshape(repeats, n)


def below_grid(x: float, n: int) -> float:
    """Of the mixture of all settings."""
    centres = np.log(LOGNORMAL.ppf((np.arange(n // SEEDS) + 0.5) / (n // SEEDS)))
    return float(stats.norm.cdf(math.log(max(x, 1e-12)), centres, 0.1).mean())


LOGNORMAL = stats.lognorm(0.5, scale=50)
LOWER_TAIL = stats.t(3, 60, 5)
COLLAPSE = mixture("collapse", (1 / 3, 40, 3), (1 / 2, 300, 30), diverged=1 / 6)
LAWS = (
    Law("lognormal", lambda rng, r, n: LOGNORMAL.rvs((r, n), rng), lambda x, n: float(LOGNORMAL.cdf(x))),
    Law("heavy lower tail", lambda rng, r, n: LOWER_TAIL.rvs((r, n), rng), lambda x, n: float(LOWER_TAIL.cdf(x))),
    COLLAPSE,
    Law("grid x 3 seeds", grid, below_grid),
)
MODES, OTHERS = (
    mixture("a tenth works", (0.1, 10, 1), (0.9, 100, 5)),
    mixture("a fifth works", (0.2, 60, 1), (0.8, 100, 5)),
)
PAIRS = ((LAWS[0], LAWS[1]), (LAWS[0], COLLAPSE), (COLLAPSE, MODES), (MODES, OTHERS))


def best_medians(samples: Array) -> Array:
    """[repeats]: of each sample the median of its best 5 %."""
    ranked = np.sort(samples, axis=1)  # NaN at the end
    return np.median(ranked[:, : top_count(ranked.shape[1], FRACTION)], axis=1)


def bootstrap(rng: np.random.Generator, samples: Array) -> Array:
    """[repeats, 2]: the percentile interval of that median. One set of resampled places serves all samples."""
    ranked = np.sort(np.where(np.isnan(samples), np.inf, samples), axis=1)
    n, k = ranked.shape[1], top_count(ranked.shape[1], FRACTION)
    places = np.sort(rng.integers(0, n, (RESAMPLES, n)), axis=1)[:, [(k - 1) // 2, k // 2]]
    resampled = np.array([row[places].mean(axis=1) for row in ranked])
    return np.quantile(resampled, [0.025, 0.975], axis=1, method="inverted_cdf").T


def held(ends: Array, target: float) -> float:
    """The share of intervals, [repeats, 2], that hold a number, in per cent."""
    return 100 * float(((ends[:, 0] <= target) & (target <= ends[:, 1])).mean())


def one_method(rng: np.random.Generator, repeats: int) -> None:
    """Prints the first table."""
    print("| law | n | bootstrap: own target | quantile | 5 %: covers | both ends | resolved | covers | width |")
    print("|---|---|---|---|---|---|---|---|---|")
    for law, n in itertools.product(LAWS, SIZES):
        samples = law.draw(rng, repeats, n)
        plain = bootstrap(rng, samples)
        own = float(np.nanmedian(best_medians(law.draw(rng, 4 * repeats, n))))
        quantile = law.quantile(FRACTION / 2, n)
        wanted = np.array([quantile_interval(row, FRACTION / 2) for row in samples])
        used = resolved_fraction(n, FRACTION)
        resolved = np.array([quantile_interval(row, used / 2) for row in samples])
        target = law.quantile(used / 2, n)
        cells = [
            *(f"{held(plain, each):.0f} %" for each in (own, quantile)),
            f"{held(wanted, quantile):.1f} %",
            f"{100 * np.isfinite(wanted).all(axis=1).mean():.0f} %",
            f"{100 * used:.1f} %",
            f"{held(resolved, target):.1f} %",
            f"{100 * np.median(resolved[:, 1] - resolved[:, 0]) / abs(target):.0f} %",
        ]
        print(f"| {law.name} | {n} | {' | '.join(cells)} |", flush=True)


def two_methods(rng: np.random.Generator, repeats: int) -> None:
    """Prints the second table."""
    print("| laws | n | fraction | MOVER covers | errs at most | ours covers | errs at most | widths, ours to MOVER |")
    print("|---|---|---|---|---|---|---|---|")
    for (a, b), (n, m) in itertools.product(PAIRS, PAIRED):
        mover, ours = np.empty((2, repeats, 2))
        for i, (x, y) in enumerate(zip(a.draw(rng, repeats, n), b.draw(rng, repeats, m), strict=True)):
            row = compare_scores(x, y)
            q, budget = row["fraction"] / 2, row["budget"]
            ours[i] = row["low"], row["high"]
            medians = [expected_top_median(each, row["fraction"], budget) for each in (x, y)]
            intervals = [quantile_interval(each, q) for each in (x, y)]
            mover[i] = difference_interval(medians[0], intervals[0], medians[1], intervals[1])
        target = a.quantile(q, n) - b.quantile(q, m)
        cells = []
        for ends in (mover, ours):
            worst = max((ends[:, 0] > target).mean(), (ends[:, 1] < target).mean())
            cells += [f"{held(ends, target):.1f} %", f"{100 * worst:.1f} %"]
        widths = np.median(ours[:, 1] - ours[:, 0]) / np.median(mover[:, 1] - mover[:, 0])
        print(f"| {a.name}, {b.name} | {n}, {m} | {200 * q:.1f} % | {' | '.join(cells)} | {widths:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000, help="samples of each (default: 2000)")
    repeats = parser.parse_args().repeats
    one_method(np.random.default_rng(0), repeats)
    print()
    two_methods(np.random.default_rng(1), repeats)


if __name__ == "__main__":
    main()
