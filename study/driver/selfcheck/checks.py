"""All checks of `study selfcheck` in their order, those that train on the digits, and the description of a machine."""

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.driver.planning.planned import Planned
from study.driver.request import (
    CheckpointOptions,
    Folders,
    Request,
    ResourceOptions,
    ScoringOptions,
    TrainingOptions,
)
from study.driver.selfcheck.resume import resume_check
from study.storage.schema import FINISHED
from study.training.bench.cases import CPU, device_name
from study.training.device import precisions
from study.training.loop import Checkpoint
from study.training.selfcheck.check import Check, Failed, Finding, Skipped
from study.training.selfcheck.device import device_checks, speed_checks
from study.training.selfcheck.pack import Pack
from study.training.selfcheck.step import cases, step_checks
from study.worker.execute import execute_pack
from study.worker.outcome import Outcome
from study.worker.record import code_revision, now, study_version
from study.worker.snapshot import Snapshot
from study.worker.trial_run import Task

LIMITS = {CPU: (150.0, 240.0), "cuda": (330.0, 540.0)}
"""Seconds after which no further check of the step is begun, and no further one of speed, by device."""


def checks(device: str, *, short: bool = False) -> Iterator[Check]:
    """All checks on a device; with `short`, those that take half a minute on a CPU."""
    begun = time.perf_counter()
    for_steps, for_speed = LIMITS[torch.device(device).type]
    for case in cases(device, short=short):
        pack = Pack(case)
        yield from until(begun + for_steps, [*step_checks(pack), resume_check(pack)])
    yield Check("memory that runs out halves the slots", partial(survives_lack_of_memory, device, 2 if short else 4))
    if short:
        return
    yield from device_checks(device)
    yield Check("a trial of the digits through Ray", partial(runs_through_ray, device))
    yield from until(begun + for_speed, speed_checks(device))


def until(end: float, checks: Iterable[Check]) -> Iterator[Check]:
    """The checks, of which those that come due after `end`, in seconds of `time.perf_counter`, are skipped."""
    for check in checks:
        yield check if time.perf_counter() < end else Check(check.name, too_late)


def too_late() -> Finding:
    """Skips a check because the ones before have taken long."""
    raise Skipped("the checks before it have used up the time")


def survives_lack_of_memory(device: str, slots: int) -> Finding:
    """Trials end well although a program with more than one slot runs out of memory, since the slots are halved.

    On a GPU the error is PyTorch's own, of an allocation that is larger than the device, so that other processes keep
    their memory; on a CPU it is raised where that would come from.
    """

    def exhaust(checkpoint: Checkpoint, _: Snapshot) -> None:
        if checkpoint.lockstep.slots > 1 and device == CPU:
            raise torch.OutOfMemoryError("no memory is left, for a check")
        if checkpoint.lockstep.slots > 1:
            torch.empty(2 * torch.cuda.mem_get_info(device)[1], dtype=torch.uint8, device=device)

    said: list[str] = []
    with TemporaryDirectory() as folder:
        planned = a_trial(Path(folder))
        tasks = [Task(trial=replace(planned.trial, seed=place), place=place) for place in range(slots)]
        outcomes = list(execute_pack(tasks, planned.context, device, exhaust, slots=slots, say=said.append))
    check_finished(outcomes, slots)
    halvings, due = sum("does not fit in memory" in line for line in said), slots.bit_length() - 1
    if halvings != due:
        raise Failed(f"{slots} slots were halved {halvings} times, not {due} ({'; '.join(said) or 'no word'})")
    kind = "a forced error" if device == CPU else "an error of the allocator"
    return Finding(f"{slots} trials finished; {kind} halved {slots} slots to 1", {"halvings": halvings})


def runs_through_ray(device: str) -> Finding:
    """A trial ends well in a worker of Ray, on a GPU unless the device is the CPU."""
    from study.driver.resources import make_slots
    from study.driver.scheduler import launch, ray_cluster
    from study.driver.scheduler.work import FixedWork

    outcomes: list[Outcome] = []
    said: list[str] = []
    resources = ResourceOptions(gpus_per_trial=0 if device == CPU else 1, max_concurrent=1)
    with TemporaryDirectory() as folder, ray_cluster.connected(None) as present:
        launch.launch(
            FixedWork([(a_trial(Path(folder)),)]),
            make_slots(*present, resources),
            lambda _, outcome: outcomes.append(outcome),
            say=said.append,
            max_failures=0,
        )
    check_finished(outcomes, 1)
    return Finding("finished on a GPU" if resources.gpus_per_trial else "finished on the CPU")


def a_trial(folder: Path) -> Planned:
    """A short trial of the digits, with all files in a folder."""
    request = Request(
        datasets=["digits"],
        folders=Folders(data_dir=folder / "data", results=folder / "results"),
        training=TrainingOptions(discriminator_steps=4),
        scoring=ScoringOptions(n_real=64, n_fake=64),
        checkpoints=CheckpointOptions(checkpoint_every=2),
    )
    settings = Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.999, n_dis=1)
    return plan_trial(request, Method(architecture="sndcgan"), settings, 0)


def check_finished(outcomes: list[Outcome], count: int) -> None:
    """Raises Failed unless this many trials have finished."""
    finished = [outcome for outcome in outcomes if outcome.status == FINISHED]
    if len(finished) != count:
        reasons = dict.fromkeys(str(outcome.reason) for outcome in outcomes if outcome not in finished)
        raise Failed(f"{len(finished)} of {count} trials finished ({'; '.join(reasons) or 'no word of the others'})")


def machine(device: str) -> dict[str, Any]:
    """What decides how training runs on this machine, as plain values."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {
        "device": device,
        "device_name": device_name(device),
        "cpu": device_name(CPU),
        "cpu_capabilities": sorted(name for name, present in capabilities.items() if present is True),
        "precisions": precisions(device),
        "python": platform.python_version(),
        "system": platform.platform(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": None if device == CPU else torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "study_version": study_version(),
        "code_revision": code_revision(),
        "started_at": now(),
    }
