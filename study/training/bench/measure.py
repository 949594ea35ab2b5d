"""Measures both loops in turns, and makes the row of results."""

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
"""A turn of a loop has as many cycles as take about this long, at least one."""
WARM_UPS = 2


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Real images per second in each turn, for both loops; for a pack, summed over its trials.

    Attributes:
        plain: of the plain loop, which trains one trial; several trials one after another have the same speed.
        study: of the study's loop.
        refused: why a requested compiler failed; None if it did not.
    """

    plain: Sequence[float]
    study: Sequence[float]
    refused: str | None = None

    @property
    def ratios(self) -> list[float]:
        """Speed of the study's loop divided by that of the plain loop, per turn."""
        return [study / plain for study, plain in zip(self.study, self.plain, strict=True)]


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """The results for a case.

    Attributes:
        case: what was measured.
        speed: of both loops.
        memory: bytes; see `memory_growth`.
        flops: per real image; see `flops_per_image`.
        peak: measured floating-point operations per second of the device; see `flops_per_second`.
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
    """The results for a case, from `repeats` turns of each loop; raises InputError if the machine cannot run it.

    The time of a D update includes its share of the G update.
    """
    case.check()
    threads = torch.get_num_threads()
    prepare_process(deterministic=False)
    torch.set_num_threads(case.threads)
    try:
        return BenchRow(
            case=case,
            memory=memory_growth(case),  # first, while the GPU memory is empty
            speed=measure_speed(case, repeats),
            flops=flops_per_image(case),
            peak=flops_per_second(case.device, case.precision, case.threads),
        )
    finally:
        torch.set_num_threads(threads)


def plain_precision(precision: str) -> str:
    """The precision of the plain loop that a step of this precision is compared with."""
    return FLOAT32 if precision == BFLOAT16 else precision


def measure_speed(case: Case, repeats: int) -> Speed:
    """Measures both loops in turns on the same inputs, after a warm-up that is not counted.

    The warm-up has WARM_UPS times one update of D and one of G on a CPU, or a whole cycle on a GPU, where a cycle is
    recorded as a CUDA graph. The last warm-up sets the number of cycles of a turn.
    """
    state = fresh_state(case)
    rng = torch.Generator(case.device).manual_seed(1)
    plain_loop = PlainLoop(case.trial, (case.channels, case.resolution), state)
    study_loop = StudyLoop(case, state, case.device)

    def turns(updates: int, cycles: Sequence[int]) -> list[float]:
        inputs = Inputs.draw(case, updates, rng)
        return [seconds(case, plain_loop, inputs, cycles[0]), seconds(case, study_loop, inputs, cycles[1])]

    updates = case.n_dis if case.on_gpu else 1
    for _ in range(WARM_UPS):
        warm_up = turns(updates, (1, 1))
    cycles = [math.ceil(TURN_SECONDS * updates / (case.n_dis * duration)) for duration in warm_up]
    durations = [turns(case.n_dis, cycles) for _ in range(repeats)]
    images = case.n_dis * case.batch_size
    return Speed(
        plain=[images * cycles[0] / duration for duration, _ in durations],
        study=[images * cycles[1] * case.pack / duration for _, duration in durations],
        refused=study_loop.lockstep.refused,
    )


def seconds(case: Case, loop: PlainLoop | StudyLoop, inputs: Inputs, cycles: int) -> float:
    """Seconds that a number of cycles takes."""
    start = clock(case.device, case.threads)
    for _ in range(cycles):
        loop.run(*inputs)
    return clock(case.device, case.threads) - start
