"""Compares the samplers of `study bo` on a synthetic study: what 12 rounds of 10 trials find, and what they cost.

    OMP_NUM_THREADS=1 python tests/benchmarks/bo.py --seeds 8 --samplers gp-bucb,tpe,gp,qmc,random

Regret is the distance of a score from the optimum (`tests/driver/objective.py`): that of the best setting tried by its
true score, and that of the one which its noisy observation calls best. Seconds are those of proposing 120 settings.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.driver.search.samplers import SAMPLERS, propose

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `tests` is the name of other packages' folders, too
from objective import OPTIMUM, RANGES, fid, observed

ROUNDS, BATCH = 12, 10


class Outcome(NamedTuple):
    """Of one study: regrets in points of FID, seconds of proposing, settings that differ."""

    regret: float
    called_best: float
    seconds: float
    distinct: int


def run(sampler: str, seed: int) -> Outcome:
    """One study."""
    random = np.random.default_rng(seed)
    told: list[tuple[dict[str, float], float | None]] = []
    seconds = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        settings = propose(RANGES, told, BATCH, sampler=sampler, seed=seed)
        seconds += time.perf_counter() - start
        told += [(setting, observed(setting, random)) for setting in settings]
    scores = [fid(setting) for setting, _ in told]
    called_best = scores[int(np.argmin([objective for _, objective in told]))]
    distinct = len({tuple(setting.values()) for setting, _ in told})
    return Outcome(min(scores) - OPTIMUM, called_best - OPTIMUM, seconds, distinct)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="studies per sampler (default: 8)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first (default: 0)")
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="(default: all)")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    print(f"{'sampler':10} {'regret: median [q1, q3]':>25} {'of the one called best':>25} {'seconds':>8} distinct")
    for sampler in arguments.samplers.split(","):
        outcomes = [run(sampler, seed) for seed in seeds]
        regrets, called, seconds, distinct = (np.array(column) for column in zip(*outcomes, strict=True))
        quartiles = (np.percentile(column, (25, 50, 75)) for column in (regrets, called))
        cells = [f"{median:.3f} [{low:.3f}, {high:.3f}]" for low, median, high in quartiles]
        print(f"{sampler:10} {cells[0]:>25} {cells[1]:>25} {np.median(seconds):8.2f} {distinct.min():8}", flush=True)


if __name__ == "__main__":
    main()
