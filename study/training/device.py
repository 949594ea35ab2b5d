"""Settings of a process for computing, and the capabilities of devices."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

import torch

from study.core.errors import InputError
from study.core.trial import BFLOAT16, FLOAT32, TF32
from study.data.location import user_cache
from study.gan.program import CACHE

INSTRUCTIONS = {
    "avx2": "avx2",
    "avx512": "avx512_f",
    "avx512_bf16": "avx512_bf16",
    "amx_bf16": "amx_bf16",
    "sve": "sve",
    "bf16": "bf16",
}
"""Instruction sets, and their names in PyTorch."""


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, in malloc.h: free memory that is returned to the system, and blocks that are mapped."""


def prepare_process(*, deterministic: bool) -> None:
    """Settings of a process; call once before its trials.

    On a CPU, PyTorch uses one thread: rounding depends on the number of threads, and each core runs one trial. Memory
    that is freed stays with the process, since the next update needs as much.

    On a GPU, one thread feeds the device, and another reads batches if the images are not on the device; cuDNN measures
    which algorithm is fastest for each convolution, and programs that Inductor has compiled are kept in the user's
    cache, for all processes. Matrix products have float32 precision unless a trial's precision says otherwise
    (`arithmetic`); PyTorch's default for convolutions is TF32.

    Args:
        deterministic: whether a GPU uses only deterministic algorithms, so that results are bit-reproducible on one
            GPU model; their cost in speed has not been measured. On a CPU, results are bit-reproducible in any
            case.
    """
    torch.set_num_threads(1)
    _keep_freed_memory()
    _allow_tf32(False)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, not deterministic
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read at the first matrix product on a GPU
    torch.use_deterministic_algorithms(deterministic)
    if torch.cuda.is_available():
        _keep_compiled_programs()


def _keep_freed_memory() -> None:
    """Have the C library of Linux (glibc) keep freed memory; by default, arrays above 32 MB are mapped anew each time.

    The system clears what it maps: a cycle of sndcgan takes 12 % longer.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        c_library = ctypes.CDLL(None)
        for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            c_library.mallopt(parameter, 2**30)


def _keep_compiled_programs() -> None:
    """Have Inductor keep programs in the user's cache; if there is none, they are in the temporary folder."""
    with contextlib.suppress(OSError, InputError):
        folder = user_cache() / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(CACHE, str(folder))


def limit_memory(share: float) -> None:
    """Let this process use only a share of the GPU's memory, above 0; others use the rest. Whole GPUs are not limited.

    What does not fit raises OutOfMemoryError in this process, and not in another.
    """
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0))


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Inside, matrix products on a GPU use the arithmetic of a precision of training."""
    if precision != TF32:
        yield
        return
    _allow_tf32(True)
    try:
        yield
    finally:
        _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def check_precision(precision: str, device: str) -> None:
    """Raises InputError if a device does not support a precision of training in hardware."""
    if precision not in (supported := precisions(device)):
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "this CPU"
        raise InputError(f"--precision {precision}: {name} does not support it; choose one of {', '.join(supported)}.")


def precisions(device: str) -> list[str]:
    """The precisions of training that a device supports in hardware."""
    if device.startswith("cuda"):
        modern = torch.cuda.get_device_capability(device) >= (8, 0)
        return [FLOAT32, TF32, BFLOAT16] if modern else [FLOAT32]
    return [FLOAT32, BFLOAT16] if {"avx512_bf16", "amx_bf16", "bf16"} & {*instructions()} else [FLOAT32]


def instructions() -> list[str]:
    """The instruction sets of this CPU that decide how fast it multiplies; "bf16" and "sve" are those of ARM."""
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return [name for name, feature in INSTRUCTIONS.items() if capabilities.get(feature)]
    # Older releases of PyTorch report less.
    supported = torch.cpu._is_avx2_supported(), torch.cpu._is_avx512_supported(), torch.cpu._is_avx512_bf16_supported()
    return [name for name, has in zip(INSTRUCTIONS, supported, strict=False) if has]
