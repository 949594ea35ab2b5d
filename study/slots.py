"""How many trials run at a time on the cores and GPUs that there are."""

import os
from dataclasses import dataclass

import torch

from study.names import InputError


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many trials run at a time, and the part of the resources that each gets."""

    concurrent: int
    gpus_per_trial: float

    @property
    def device(self) -> str:
        return "gpu" if self.gpus_per_trial else "cpu"


def local_resources() -> tuple[int, int]:
    """CPU cores that this process may use, and GPUs."""
    return len(os.sched_getaffinity(0)), torch.cuda.device_count()


def make_slots(cpus: float, gpus: float, *, gpus_per_trial: float | None, max_concurrent: int | None) -> Slots:
    """One CPU core per trial, and one GPU where there are any unless told otherwise.

    Raises InputError where not a single trial fits.
    """
    if max_concurrent is not None and max_concurrent < 1:
        raise InputError(f"--max-concurrent {max_concurrent}: must be 1 or more.")
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if gpus else 0.0
    whole = gpus_per_trial <= 1 or float(gpus_per_trial).is_integer()
    if not 0 <= gpus_per_trial <= gpus or not whole:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g}: must be from 0 to the {gpus:g} GPUs present, and whole above 1."
        )
    shares = int(1 / gpus_per_trial + 1e-9) if 0 < gpus_per_trial < 1 else 1  # a share never spans two GPUs
    fit = int(min(cpus, gpus // max(gpus_per_trial, 1) * shares)) if gpus_per_trial else int(cpus)
    return Slots(concurrent=max(1, min(fit, max_concurrent or fit)), gpus_per_trial=gpus_per_trial)
