"""Cost of a step and limits of the device: operations, memory, and operations per second."""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from study.core.trial import BFLOAT16, FLOAT32
from study.gan.model import empty_state
from study.training.bench.cases import Case
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.device import arithmetic, prepare_process

META = "meta"
PRODUCT_SIZES = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices whose product measures a device."""
PRODUCTS = 5
QUICK_SIZE = 512
"""Rows and columns of matrices whose product takes milliseconds on a CPU."""


def flops_per_image(case: Case) -> float:
    """Floating-point operations per real image of a cycle, counted in the optimized program that trials run.

    Counts convolutions and matrix products, with a multiplication and an addition as two operations; products with
    padding count too. A convolution counts as a direct one, also where a CPU takes Winograd's form. Nothing is
    computed. The result does not depend on the precision or on the number of trials in a program.
    """
    case = replace(case, precision=FLOAT32, pack=1)
    loop = StudyLoop(case, empty_state(case.gan), META)
    inputs = tree_map(lambda tensor: tensor.to(META), Inputs.draw(case, case.n_dis, torch.Generator()))
    loop.run(*inputs)  # tracing must not be counted
    with FlopCounterMode(display=False) as counter:
        loop.run(*inputs)
    counts = counter.get_flop_counts()["Global"]
    # Kernels for pooling are computed once per update, whatever the number of images.
    for_kernels = counts.get(torch.ops.aten.bmm, 0)
    operations: int = counter.get_total_flops() - for_kernels
    return operations / case.images_per_cycle


@cache
def flops_per_second(device: str, precision: str, threads: int, size: int | None = None) -> float:
    """The measured peak of a device: the median rate of products of two large square matrices in a precision.

    `threads` is the number of CPU threads; it is only part of the cache key. `size` is the number of rows and columns,
    by default as many as the device needs to reach its peak.
    """
    size = size or PRODUCT_SIZES[torch.device(device).type]
    dtype = torch.bfloat16 if precision == BFLOAT16 else torch.float32
    left, right = (torch.rand(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    with arithmetic(precision):
        for _ in range(1 + PRODUCTS):
            start = clock(device, threads)
            torch.mm(left, right)
            seconds.append(clock(device, threads) - start)
    return 2 * size**3 / statistics.median(seconds[1:])


def slower_precision(precision: str) -> str | None:
    """A line with both rates if one thread of this CPU multiplies more slowly in a precision than in float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rate, float32 = (flops_per_second("cpu", name, 1, QUICK_SIZE) / 1e9 for name in (precision, FLOAT32))
    finally:
        torch.set_num_threads(threads)
    if rate >= float32:
        return None
    return (
        f"--precision {precision}: this CPU multiplies matrices at {rate:.3g} GFLOP/s in {precision} and at "
        f"{float32:.3g} GFLOP/s in {FLOAT32}, so training is probably slower."
    )


def clock(device: str, threads: int) -> float:
    """The time in seconds, for differences.

    On one CPU thread, CPU time of this process, so that other processes do not matter; otherwise wall-clock time.
    """
    return time.process_time() if device == "cpu" and threads == 1 else wall_clock(device)


def wall_clock(device: str) -> float:
    """Wall-clock seconds, after a GPU has finished its work."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def memory_growth(case: Case) -> int | None:
    """Peak memory of training in bytes, including the state and the images of two updates.

    On a GPU: memory allocated by PyTorch. On a CPU: growth of the resident memory of a new process, which is only known
    on Linux; None on other systems.
    """
    if case.on_gpu:
        return allocated_growth(case)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(resident_growth, case).result()


def allocated_growth(case: Case) -> int:
    """`memory_growth` on a GPU."""
    before = torch.cuda.memory_allocated(case.device)
    torch.cuda.reset_peak_memory_stats(case.device)
    train_briefly(case)
    torch.cuda.synchronize(case.device)
    return torch.cuda.max_memory_allocated(case.device) - before


def resident_growth(case: Case) -> int | None:
    """`memory_growth` on a CPU; correct only in a process that has not computed anything before."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    prepare_process(deterministic=False)
    torch.set_num_threads(case.threads)
    before = status_bytes(status, "VmRSS")
    train_briefly(case)
    return status_bytes(status, "VmHWM") - before


def train_briefly(case: Case) -> None:
    """The first updates: one of G and two of D, or a full cycle if a cycle is one launch."""
    updates = case.n_dis if case.on_gpu else min(2, case.n_dis)
    rng = torch.Generator(case.device).manual_seed(0)
    StudyLoop(case, fresh_state(case), case.device).run(*Inputs.draw(case, updates, rng))


def status_bytes(status: Path, field: str) -> int:
    """A size from Linux's status file of a process, converted from kB to bytes."""
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
