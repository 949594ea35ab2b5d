"""How many trials one program best trains: what `study run --pack auto` goes by."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from study.training.bench.cases import Case
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.bench.measure import seconds
from study.training.device import prepare_process

METHODS = ("none", "spectral_norm", "gradient_penalty")
"""What a size is measured with; it has one number for all methods."""
COUNTS = (1, 3, 6, 9, 12, 18, 24)
NEARLY = 0.9
"""Of the largest gain: fewer trials in a pack leave more packs for other cores and GPUs."""
WORTH = 1.1
"""A gain below this is not worth the bits of training alone."""


@dataclass(frozen=True, kw_only=True)
class PackGain:
    """What packs of one size of networks gain.

    Attributes:
        case: the networks and the device, of the method that was measured last.
        gains: images per second over those of one trial in a program of its own, by the number of trials: medians over
            METHODS of medians over turns; numbers that do not fit in memory are missing.
    """

    case: Case
    gains: dict[int, float]

    @property
    def best(self) -> int:
        """The fewest trials that gain nearly what any number gains; 1 where that is not worth it."""
        most = max(self.gains.values())
        return min(count for count, gain in self.gains.items() if gain >= NEARLY * most) if most >= WORTH else 1


def measure_packs(case: Case, repeats: int, counts: Sequence[int] = COUNTS) -> PackGain:
    """The gains of a case's size, whatever its method and pack; raises InputError where it cannot be measured here."""
    case.check()
    threads = torch.get_num_threads()
    prepare_process(deterministic=False)
    try:
        of_methods = [dict(_gains(replace(case, method=method), repeats, counts)) for method in METHODS]
    finally:
        torch.set_num_threads(threads)
    fit = set.intersection(*map(set, of_methods))
    gains = {count: statistics.median(gains[count] for gains in of_methods) for count in counts if count in fit}
    return PackGain(case=case, gains=gains)


def _gains(case: Case, repeats: int, counts: Sequence[int]) -> Iterator[tuple[int, float]]:
    """The gain of each number of trials that fits, each measured in turns with one trial alone."""
    state = fresh_state(case)
    inputs = Inputs.draw(case, case.n_dis, torch.Generator(case.device).manual_seed(1))
    alone = StudyLoop(replace(case, pack=1), state, case.device)
    for count in counts:
        try:
            together = StudyLoop(replace(case, pack=count), state, case.device)
            turns = [
                seconds(case, alone, inputs, 1) * count / seconds(case, together, inputs, 1) for _ in range(1 + repeats)
            ]
        except torch.OutOfMemoryError:
            return
        yield count, 1.0 if count == 1 else statistics.median(turns[1:])
