"""How long trials take: from measured trials if there are any, else from counted floating-point operations."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from study.core.trial import Trial
from study.driver.cost.timings import MeasuredTimes
from study.gan.model import Gan, build

OVERHEAD = 0.012
"""Seconds per update in which the device waits for its next operation."""
THROUGHPUT = {"cpu": 2.5e10, "gpu": 1e13}
"""Floating-point operations per second: measured for one CPU core on the embedded dataset, assumed for one GPU. They
are used only until there are measured trials."""
FILLS_A_GPU = 5e9
"""Floating-point operations per D update from which one trial is taken to fill a GPU: at the assumed speed they take as
long as the start of its kernels, which are about 90 in number (sndcgan) and take about 5 us each."""
Rates = Mapping[str, float]
"""Measured floating-point operations per second, by architecture."""


def estimated_seconds(trial: Trial, channels: int, resolution: int, device: str, rates: Rates | None = None) -> float:
    """Training time in seconds on one CPU core (`device` "cpu") or one GPU ("gpu"), from counted operations."""
    n_dis, rate = trial.hyperparameters.n_dis, (rates or {}).get(trial.method.architecture)
    operations = operations_per_update(trial, channels, resolution)
    seconds = operations / rate if rate else OVERHEAD * (1 + 1 / n_dis) + operations / THROUGHPUT[device]
    return trial.training.discriminator_steps * seconds


def measured_rates(rows: Iterable[Mapping[str, Any]], device: str) -> dict[str, float]:
    """Floating-point operations per second by architecture on a device ("cpu" or "gpu").

    The median over all rows of `study bench --json` with the architecture, whatever their method, size and precision.
    """
    from study.training.bench.cases import Case

    rates: dict[str, list[float]] = {}
    names = {field.name: "batch" if field.name == "batch_size" else field.name for field in fields(Case)}
    for row in rows:
        row = {"latent_dim": Case.latent_dim, **row}  # earlier versions did not record it
        case = Case(**{field: row[name] for field, name in names.items()})
        if case.on_gpu == (device == "gpu"):
            per_image = operations_per_image(case.trial, case.channels, case.resolution)
            rates.setdefault(case.architecture, []).append(per_image * row["images_per_second"])
    return {architecture: median(values) for architecture, values in rates.items()}


def operations_per_update(trial: Trial, channels: int, resolution: int) -> float:
    """Approximate number of floating-point operations per D update, with the share of the generator's updates."""
    return trial.training.batch_size * operations_per_image(trial, channels, resolution)


def operations_per_image(trial: Trial, channels: int, resolution: int) -> float:
    """Approximate number of floating-point operations per real image, with the share of the generator's updates.

    A backward pass counts as two forward passes, or as one if no gradient of parameters is needed.
    """
    gan = build(trial, channels, resolution)
    generator = _forward_flops(gan.averaged_generator, trial.training.latent_dim)
    discriminator = _forward_flops(gan.discriminator, channels, resolution, resolution)
    penalty = gan.penalty.passes if gan.penalty else 0
    critic = discriminator * (gan.output_norm.cost if gan.output_norm else 1)
    d_update = generator + (2 * 3 + penalty) * critic
    g_update = 3 * generator + 2 * critic
    return d_update + g_update / trial.hyperparameters.n_dis


@lru_cache(maxsize=256)
def _forward_flops(network: nn.Module, *shape: int) -> float:
    """Floating-point operations of a forward pass for one of two inputs [2, *shape]; allocates no memory."""
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(2, *shape, device="meta"))
    return int(counter.get_total_flops()) / 2


class CostCase(NamedTuple):
    """What decides the cost of a trial: the trial, the shape of its images, and the size of its pack, if known."""

    trial: Trial
    shape: tuple[int, int]
    pack: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for trials with equal cost."""
        return self.trial.cell, self.shape, self.pack


def total_seconds(
    cases: Iterable[CostCase], measured: MeasuredTimes, device: str, rates: Rates | None = None
) -> tuple[float, int]:
    """Total seconds on one device, and the number of trials whose time is known from measured trials."""
    total, known = 0.0, 0
    for (trial, shape, pack), count in count_cases(cases):
        seconds = measured.seconds(trial, device, pack)
        known += count if seconds is not None else 0
        total += count * (estimated_seconds(trial, *shape, device, rates) if seconds is None else seconds)
    return total, known


def count_cases(cases: Iterable[CostCase]) -> list[tuple[CostCase, int]]:
    """One case for each cost, with the number of cases that have it."""
    groups: dict[Any, list[CostCase]] = {}
    for case in cases:
        groups.setdefault(case.key, []).append(case)
    return [(group[0], len(group)) for group in groups.values()]


def kept_bytes(trial: Trial, channels: int, resolution: int, *, generators: int = 1, state: bool = False) -> int:
    """Bytes that a finished trial keeps on disk: this number of generators, and the full state if `state`."""
    kept = generators * _generator_bytes(build(trial, channels, resolution))
    return kept + state_bytes(trial, channels, resolution) if state else kept


def state_bytes(trial: Trial, channels: int, resolution: int) -> int:
    """Maximum size in bytes of a trial's latest state on disk.

    The state has the parameters of both networks with Adam's two averages of each, G's buffers, and the best generator
    so far; the vectors of power iterations add less than 1 %.
    """
    gan = build(trial, channels, resolution)
    generator = _generator_bytes(gan)
    parameters = sum(each.nbytes for network in (gan.generator, gan.discriminator) for each in network.parameters())
    buffers = sum(each.nbytes for each in gan.generator.buffers())
    return 3 * parameters + buffers + generator


def _generator_bytes(gan: Gan) -> int:
    return sum(each.nbytes for each in (*gan.generator.parameters(), *gan.generator.buffers()))


def scored_steps(steps: int, checkpoint_every: int) -> int:
    """The number of checkpoints of a trial with this number of steps."""
    return -(-steps // checkpoint_every)
