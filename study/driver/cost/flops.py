"""How long trials take: measured where rows tell, else estimated from the operations that they consist of."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from study.core.trial import Trial
from study.driver.cost.timings import Measured
from study.gan.model import Gan, build

OVERHEAD = 0.012
"""Seconds per update in which a device waits for the next operation."""
THROUGHPUT = {"cpu": 2.5e10, "gpu": 1e13}
"""Floating-point operations per second: measured for one CPU core on the embedded dataset, assumed for one GPU. Rows
replace them as soon as there are any."""
Rates = Mapping[str, float]
"""Measured operations per second by architecture, of those that stand there."""


def estimated_seconds(trial: Trial, channels: int, resolution: int, device: str, rates: Rates | None = None) -> float:
    """Seconds that training takes on one core (`device` "cpu") or one GPU ("gpu"), from counted operations."""
    n_dis, rate = trial.hyperparameters.n_dis, (rates or {}).get(trial.method.architecture)
    operations = trial.training.batch_size * operations_per_image(trial, channels, resolution)
    seconds = operations / rate if rate else OVERHEAD * (1 + 1 / n_dis) + operations / THROUGHPUT[device]
    return trial.training.discriminator_steps * seconds


def measured_rates(rows: Iterable[Mapping[str, Any]], device: str) -> dict[str, float]:
    """The operations per second that networks have on a kind of device, from rows of `study bench --json`.

    Of each architecture it is the median of its rows, whatever their method, size and precision.
    """
    from study.training.bench.cases import Case

    found: dict[str, list[float]] = {}
    names = {field.name: "batch" if field.name == "batch_size" else field.name for field in fields(Case)}
    for row in rows:
        row = {"latent_dim": Case.latent_dim, **row}  # rows of earlier versions do not have it
        case = Case(**{field: row[name] for field, name in names.items()})
        if case.on_gpu == (device == "gpu"):
            per_image = operations_per_image(case.trial, case.channels, case.resolution)
            found.setdefault(case.architecture, []).append(per_image * row["images_per_second"])
    return {architecture: median(rates) for architecture, rates in found.items()}


def operations_per_image(trial: Trial, channels: int, resolution: int) -> float:
    """Floating-point operations for each real image of a cycle, about.

    A backward pass counts as two forward passes, or one where no parameter's gradient is needed.
    """
    gan = build(trial, channels, resolution)
    generator, discriminator = _forward_flops(gan, trial.training.latent_dim, channels, resolution)
    penalty = gan.penalty.passes if gan.penalty else 0
    critic = discriminator * (gan.output_norm.cost if gan.output_norm else 1)
    d_update = generator + (2 * 3 + penalty) * critic
    g_update = 3 * generator + 2 * critic
    return d_update + g_update / trial.hyperparameters.n_dis


@lru_cache(maxsize=64)
def _forward_flops(gan: Gan, latent_dim: int, channels: int, resolution: int) -> tuple[int, int]:
    """Operations of G and of D for one image; no memory is taken for it."""
    counts = []
    for network, inputs in (
        (gan.averaged_generator, torch.empty(1, latent_dim, device="meta")),
        (gan.discriminator, torch.empty(2, channels, resolution, resolution, device="meta")),
    ):
        with FlopCounterMode(display=False) as counter:
            network(inputs)
        counts.append(counter.get_total_flops() // len(inputs))
    return counts[0], counts[1]


class Costed(NamedTuple):
    """A trial, its images' (channels, resolution), and how many its program trains; None where that is not known."""

    trial: Trial
    shape: tuple[int, int]
    pack: int | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What is the same of all that cost the same."""
        return self.trial.cell, self.shape, self.pack


def total_seconds(
    costed: Iterable[Costed], measured: Measured, device: str, rates: Rates | None = None
) -> tuple[float, int]:
    """Device-seconds of trials, and how many of them rest on measured trials."""
    total, known = 0.0, 0
    for (trial, shape, pack), count in alike(costed):
        seconds = measured.seconds(trial, device, pack)
        known += count if seconds is not None else 0
        total += count * (estimated_seconds(trial, *shape, device, rates) if seconds is None else seconds)
    return total, known


def alike(costed: Iterable[Costed]) -> list[tuple[Costed, int]]:
    """One for all that cost the same, with their number."""
    found: dict[Any, list[Costed]] = {}
    for one in costed:
        found.setdefault(one.kind, []).append(one)
    return [(some[0], len(some)) for some in found.values()]


def kept_bytes(trial: Trial, channels: int, resolution: int, *, generators: int = 1, state: bool = False) -> int:
    """What a finished trial keeps on disk: so many generators, and the full `state` where it is kept."""
    kept = generators * _generator_bytes(build(trial, channels, resolution))
    return kept + state_bytes(trial, channels, resolution) if state else kept


def state_bytes(trial: Trial, channels: int, resolution: int) -> int:
    """The most that the latest state of a trial takes on disk.

    It is the parameters of both networks with Adam's two averages of each and G's buffers, and beside them the best
    generator so far; the vectors of power iterations add less than a hundredth.
    """
    gan = build(trial, channels, resolution)
    generator = _generator_bytes(gan)
    parameters = sum(each.nbytes for network in (gan.generator, gan.discriminator) for each in network.parameters())
    buffers = sum(each.nbytes for each in gan.generator.buffers())
    return 3 * parameters + buffers + generator


def _generator_bytes(gan: Gan) -> int:
    return sum(each.nbytes for each in (*gan.generator.parameters(), *gan.generator.buffers()))


def scored_steps(steps: int, checkpoint_every: int) -> int:
    """How many checkpoints a trial of so many steps has."""
    return -(-steps // checkpoint_every)
