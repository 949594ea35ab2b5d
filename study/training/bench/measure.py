"""Both loops in turns, and the row that comes of it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from study.core.trial import BFLOAT16, FLOAT32
from study.training.bench.cases import Case
from study.training.bench.limits import clock, flops_per_image, flops_per_second, memory_growth
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.bench.plain import PlainLoop
from study.training.device import prepare_process

TURN_SECONDS = 1.0
"""A loop's turn is as many cycles as take so long, at least one."""
WARM_UPS = 2


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Real images per second of each turn, of the plain loop and of ours, by turns; those of a pack for all its trials.

    The plain loop trains one trial; as many trials one after the other have the same speed. `refused` says why no
    compiler serves our loop though one was asked for, and is None else.
    """

    plain: Sequence[float]
    study: Sequence[float]
    refused: str | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours over the plain loop's, pair by pair."""
        return [ours / theirs for ours, theirs in zip(self.study, self.plain, strict=True)]


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """What was measured of a case.

    Attributes:
        speed: of both loops.
        memory: bytes, see `memory_growth`.
        flops: per real image, see `flops_per_image`.
        peak: the device's measured floating-point operations per second, see `flops_per_second`.
    """

    case: Case
    speed: Speed
    memory: int | None
    flops: float
    peak: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name; speeds are medians over turns."""
        ratios = self.speed.ratios
        speed = statistics.median(self.speed.study)
        update = self.case.batch_size * self.case.pack / speed
        return {
            **self.case.to_dict(),
            "repeats": len(ratios),
            "images_per_second": speed,
            "plain_images_per_second": statistics.median(self.speed.plain),
            "plain_precision": plain_precision(self.case.precision),
            "ratio": statistics.median(ratios),
            "ratio_lowest": min(ratios),
            "ratio_highest": max(ratios),
            "milliseconds_per_discriminator_update": 1000 * update,
            "memory_growth_bytes": self.memory,
            "flops_per_image": self.flops,
            "measured_peak_flops_per_second": self.peak,
            "compiler_refused": self.speed.refused,
            "share_of_peak": self.flops * speed / self.peak,
        }


def measure(case: Case, repeats: int) -> BenchRow:
    """The row of a case, from so many turns of each loop; raises InputError where it cannot be measured here.

    An update of D's time includes its share of G's.
    """
    case.check()
    threads = torch.get_num_threads()
    prepare_process(deterministic=False)
    torch.set_num_threads(case.threads)
    try:
        return BenchRow(
            case=case,
            memory=memory_growth(case),  # while there is nothing else on a GPU
            speed=measure_speed(case, repeats),
            flops=flops_per_image(case),
            peak=flops_per_second(case.device, case.precision, case.threads),
        )
    finally:
        torch.set_num_threads(threads)


def plain_precision(precision: str) -> str:
    """What the plain loop computes in beside a step of this precision."""
    return FLOAT32 if precision == BFLOAT16 else precision


def measure_speed(case: Case, repeats: int) -> Speed:
    """Both loops in turns on the same inputs; what they do before is not counted.

    Before, each makes WARM_UPS times an update of D and one of G on a CPU, or a whole cycle on a GPU, where a cycle is
    what is recorded. The last of them tells how many cycles a turn is.
    """
    state = fresh_state(case)
    rng = torch.Generator(case.device).manual_seed(1)
    plain = PlainLoop(case.trial, (case.channels, case.resolution), state)
    ours = StudyLoop(case, state, case.device)

    def turns(updates: int, cycles: Sequence[int]) -> list[float]:
        inputs = Inputs.draw(case, updates, rng)
        return [seconds(case, plain, inputs, cycles[0]), seconds(case, ours, inputs, cycles[1])]

    updates = case.n_dis if case.on_gpu else 1
    for _ in range(WARM_UPS):
        warm = turns(updates, (1, 1))
    cycles = [math.ceil(TURN_SECONDS * updates / (case.n_dis * once)) for once in warm]
    taken = [turns(case.n_dis, cycles) for _ in range(repeats)]
    images = case.n_dis * case.batch_size
    return Speed(
        plain=[images * cycles[0] / theirs for theirs, _ in taken],
        study=[images * cycles[1] * case.pack / own for _, own in taken],
        refused=ours.lockstep.refused,
    )


def seconds(case: Case, loop: PlainLoop | StudyLoop, inputs: Inputs, cycles: int) -> float:
    """What so many cycles take."""
    start = clock(case.device, case.threads)
    for _ in range(cycles):
        loop.run(*inputs)
    return clock(case.device, case.threads) - start
