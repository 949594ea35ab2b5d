"""The number of concurrent trials on the available CPU cores and GPUs."""

import os
from dataclasses import dataclass, replace

import torch

from study.core.errors import InputError
from study.driver.request import ResourceOptions


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How trials share the resources.

    Attributes:
        concurrent: number of concurrent trials on the resources present at the start.
        gpus_per_trial: GPUs of each trial, or a fraction of one; 0 on CPUs.
        max_concurrent: the user's maximum; None if there is none.
    """

    concurrent: int
    gpus_per_trial: float
    max_concurrent: int | None = None

    @property
    def device(self) -> str:
        return "gpu" if self.gpus_per_trial else "cpu"

    def concurrent_on(self, cpus: float, gpus: float) -> int:
        """The number of concurrent trials on these resources, at most `max_concurrent`.

        It is at least 1, because a machine may be about to join.
        """
        fit = trials_that_fit(cpus, gpus, self.gpus_per_trial)
        return max(1, fit if self.max_concurrent is None else min(fit, self.max_concurrent))


def local_resources() -> tuple[int, int]:
    """The numbers of CPU cores and GPUs that this process may use."""
    return len(os.sched_getaffinity(0)), torch.cuda.device_count()


def trials_that_fit(cpus: float, gpus: float, gpus_per_trial: float) -> int:
    """The number of trials that fit, if each takes one CPU core and `gpus_per_trial` GPUs."""
    if not gpus_per_trial:
        return int(cpus)
    shares = int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else 1  # a trial never spans two GPUs
    return int(min(cpus, gpus // max(gpus_per_trial, 1) * shares))


def make_slots(cpus: float, gpus: float, options: ResourceOptions | None = None) -> Slots:
    """The slots on these resources: by default one CPU core per trial, and one GPU if there are any.

    Raises InputError if no trial fits, or if the options contradict each other.
    """
    options = options or ResourceOptions()
    gpus_per_trial = options.gpus_per_trial
    if options.trials_per_gpu is not None:
        _check_shares(options.trials_per_gpu, gpus, gpus_per_trial)
        gpus_per_trial = (
            10_000 // options.trials_per_gpu / 10_000
        )  # Ray's unit is 1/10,000; rounded up, they do not fit
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if gpus else 0.0
    whole = gpus_per_trial <= 1 or float(gpus_per_trial).is_integer()
    if not 0 <= gpus_per_trial <= gpus or not whole:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g}: must be from 0 to the {gpus:g} GPUs present, and whole above 1."
        )
    slots = Slots(concurrent=1, gpus_per_trial=gpus_per_trial, max_concurrent=options.max_concurrent)
    return replace(slots, concurrent=slots.concurrent_on(cpus, gpus))


def _check_shares(trials_per_gpu: int, gpus: float, gpus_per_trial: float | None) -> None:
    """Raises InputError if this number of trials cannot share a GPU."""
    option = f"--trials-per-gpu {trials_per_gpu}"
    if not 1 <= trials_per_gpu <= 100:
        raise InputError(f"{option}: must be from 1 to 100.")
    if gpus_per_trial is not None:
        raise InputError(f"{option}: --gpus-per-trial {gpus_per_trial:g} also sets this; give one of the two.")
    if not gpus:
        raise InputError(f"{option}: there is no GPU to share; leave it out.")
