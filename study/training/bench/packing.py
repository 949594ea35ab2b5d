"""The fastest number of trials per program: the measurement behind `study run --pack auto`."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from study.training.bench.cases import Case
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.bench.measure import seconds
from study.training.device import prepare_process

METHODS = ("none", "spectral_norm", "gradient_penalty")
"""The methods that each size is measured with; the result is one number for all methods."""
COUNTS = (1, 3, 6, 9, 12, 18, 24)
NEARLY_BEST = 0.9
"""Share of the largest gain that is enough: with fewer trials in a pack, more packs remain for other cores and GPUs."""
MIN_GAIN = 1.1
"""Minimum gain: below it, trials run alone, which keeps them bit-reproducible."""


@dataclass(frozen=True, kw_only=True)
class PackGain:
    """The gains of packs for one size of networks.

    Attributes:
        case: the networks and the device, with the method that was measured last.
        gains: images per second divided by those of single trials, by number of trials per pack: medians over
            METHODS of medians over turns; numbers of trials that do not fit in memory are missing.
    """

    case: Case
    gains: dict[int, float]

    @property
    def best(self) -> int:
        """The smallest number of trials with nearly the largest gain; 1 if the gain is too small."""
        most = max(self.gains.values())
        return min(count for count, gain in self.gains.items() if gain >= NEARLY_BEST * most) if most >= MIN_GAIN else 1


def measure_packs(case: Case, repeats: int, counts: Sequence[int] = COUNTS) -> PackGain:
    """The gains for the size of a case, for all METHODS; raises InputError if the machine cannot run the case."""
    case.check()
    threads = torch.get_num_threads()
    prepare_process(deterministic=False)
    try:
        gains_by_method = [dict(_gains(replace(case, method=method), repeats, counts)) for method in METHODS]
    finally:
        torch.set_num_threads(threads)
    fitting = set.intersection(*map(set, gains_by_method))
    gains = {
        count: statistics.median(gains[count] for gains in gains_by_method) for count in counts if count in fitting
    }
    return PackGain(case=case, gains=gains)


def _gains(case: Case, repeats: int, counts: Sequence[int]) -> Iterator[tuple[int, float]]:
    """The gain of each number of trials that fits in memory, measured in turns with a single trial."""
    state = fresh_state(case)
    inputs = Inputs.draw(case, case.n_dis, torch.Generator(case.device).manual_seed(1))
    single = StudyLoop(replace(case, pack=1), state, case.device)
    for count in counts:
        try:
            packed = StudyLoop(replace(case, pack=count), state, case.device)
            turns = [
                seconds(case, single, inputs, 1) * count / seconds(case, packed, inputs, 1) for _ in range(1 + repeats)
            ]
        except torch.OutOfMemoryError:
            return
        yield count, 1.0 if count == 1 else statistics.median(turns[1:])
