"""How many trials run at a time on the cores and GPUs that there are."""

import os
from dataclasses import dataclass, replace

import torch

from study.core.errors import InputError
from study.driver.request import ResourceOptions


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many trials run at a time on what there is now, the part of the resources that each gets, and the `most`."""

    concurrent: int
    gpus_per_trial: float
    most: int | None = None

    @property
    def device(self) -> str:
        return "gpu" if self.gpus_per_trial else "cpu"

    def on(self, cpus: float, gpus: float) -> int:
        """How many trials run at a time on so many cores and GPUs; at least one, since a machine may be about to join.

        The user's `most` is never exceeded.
        """
        fit = fitting(cpus, gpus, self.gpus_per_trial)
        return max(1, fit if self.most is None else min(fit, self.most))


def local_resources() -> tuple[int, int]:
    """CPU cores that this process may use, and GPUs."""
    return len(os.sched_getaffinity(0)), torch.cuda.device_count()


def fitting(cpus: float, gpus: float, gpus_per_trial: float) -> int:
    """How many trials of one core each fit."""
    if not gpus_per_trial:
        return int(cpus)
    shares = int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else 1  # a share never spans two GPUs
    return int(min(cpus, gpus // max(gpus_per_trial, 1) * shares))


def make_slots(cpus: float, gpus: float, asked: ResourceOptions | None = None) -> Slots:
    """One CPU core per trial, and one GPU where there are any, unless something else is asked for.

    Raises InputError where not a single trial fits, and where the numbers contradict one another.
    """
    asked = asked or ResourceOptions()
    gpus_per_trial = asked.gpus_per_trial
    if asked.trials_per_gpu is not None:
        _check_shares(asked.trials_per_gpu, gpus, gpus_per_trial)
        gpus_per_trial = 10_000 // asked.trials_per_gpu / 10_000  # Ray's unit; rounded up, they would not fit
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if gpus else 0.0
    whole = gpus_per_trial <= 1 or float(gpus_per_trial).is_integer()
    if not 0 <= gpus_per_trial <= gpus or not whole:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g}: must be from 0 to the {gpus:g} GPUs present, and whole above 1."
        )
    slots = Slots(concurrent=1, gpus_per_trial=gpus_per_trial, most=asked.max_concurrent)
    return replace(slots, concurrent=slots.on(cpus, gpus))


def _check_shares(trials_per_gpu: int, gpus: float, gpus_per_trial: float | None) -> None:
    """Raises InputError where this number of trials cannot share a GPU."""
    what = f"--trials-per-gpu {trials_per_gpu}"
    if not 1 <= trials_per_gpu <= 100:
        raise InputError(f"{what}: must be from 1 to 100.")
    if gpus_per_trial is not None:
        raise InputError(f"{what}: --gpus-per-trial {gpus_per_trial:g} also sets this; give one of the two.")
    if not gpus:
        raise InputError(f"{what}: there is no GPU to share; leave it out.")
