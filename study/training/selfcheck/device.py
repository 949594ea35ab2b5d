"""What else must work on the device: capture beside a thread that pins memory, two processes, and its speed."""

import hashlib
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import torch

from study.core.trial import BFLOAT16
from study.training.bench.cases import CPU, SPECTRAL, Case
from study.training.bench.limits import flops_per_image, flops_per_second
from study.training.bench.measure import BenchRow, measure_speed
from study.training.device import precisions, prepare_process
from study.training.selfcheck.check import Check, Failed, Finding, Skipped
from study.training.selfcheck.pack import Pack
from study.training.selfcheck.step import SIZES, cases, tensors

PINNED = 2**20
"""Bytes that the other thread pins at a time."""


def device_checks(device: str) -> Iterator[Check]:
    """The checks that are made once."""
    (case, *_) = cases(device, short=True)
    yield Check("CUDA graph recorded while another thread pins memory", partial(records_beside_pinning, case))
    yield Check("two processes on the device", partial(two_processes, case))


def records_beside_pinning(case: Case) -> Finding:
    """A cycle is recorded while another thread pins memory, as the one that reads batches does."""
    if case.device == CPU:
        raise Skipped("only on a GPU")
    pack, done, count = Pack(replace(case, batch_size=case.batch_size + 1)), threading.Event(), 0

    def pin() -> None:
        nonlocal count
        while not done.is_set():
            torch.empty(PINNED + 4096 * count, dtype=torch.uint8).pin_memory()  # a new size is not taken from a cache
            count += 1

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        _, lockstep = pack.trained
    finally:
        done.set()
        thread.join()
    if lockstep.refused:
        raise Failed(f"refused: {lockstep.refused}")
    return Finding(f"recorded; {count:,} blocks were pinned meanwhile", {"pinned_blocks": count})


def two_processes(case: Case) -> Finding:
    """Two processes train the same trial on the device at the same time, by deterministic algorithms."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        one, other = processes.map(digest, [case, case])
    if one != other:
        raise Failed("the same trial ends in other bits, though the algorithms are deterministic")
    return Finding("equal to the last bit, by deterministic algorithms", {"sha256": one})


def digest(case: Case) -> str:
    """The hash of the ends of the trials of a case, trained in a process of its own."""
    prepare_process(deterministic=True)
    ends, _ = Pack(case).trained
    found = hashlib.sha256()
    for end in ends:
        for tensor in tensors(end):
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def speed_checks(device: str) -> Iterator[Check]:
    """One case of each architecture beside the plain loop: of the paper's sizes on a GPU, of small ones on a CPU."""
    for architecture, (resolution, width) in SIZES.items():
        case = Case(architecture=architecture, method=SPECTRAL, resolution=resolution, n_dis=1, device=device)
        if case.on_gpu:
            modern = BFLOAT16 in precisions(device)
            case = replace(case, resolution=128) if architecture == "resnet19" else replace(case, resolution=32)
            case = replace(case, n_dis=5, precision=BFLOAT16) if modern else replace(case, n_dis=5)
        else:
            case = replace(case, width=2 * width, batch_size=width)
        yield Check(f"speed of {architecture}, {case.precision}", partial(speed, case))


def speed(case: Case) -> Finding:
    """The speed of training beside the plain loop and the measured peak of the device; no speed is too low."""
    measured = measure_speed(case, 1)
    if measured.refused:
        raise Failed(f"refused: {measured.refused}")
    flops, peak = flops_per_image(case), flops_per_second(case.device, case.precision, case.threads)
    row = BenchRow(case=case, speed=measured, memory=None, flops=flops, peak=peak).to_dict()
    said = f"{row['images_per_second']:.4g} images/s, {row['ratio']:.2f} x the plain loop"
    return Finding(f"{said}, {100 * row['share_of_peak']:.1f} % of the measured peak", row)
