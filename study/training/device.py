"""How a process computes, and what its devices can."""

import contextlib
import os
from collections.abc import Iterator

import torch

from study.core.errors import InputError
from study.core.trial import BFLOAT16, FLOAT32, TF32


def prepare_process(*, deterministic: bool) -> None:
    """Once before the trials of a process.

    On a CPU it has one thread: rounding depends on their number, and a core belongs to one trial. On a GPU that thread
    feeds the device, and another one reads batches where the images do not lie there. Products are exact to float32
    but where a trial's precision says otherwise (`arithmetic`): by itself PyTorch takes TF32 for convolutions.

    `deterministic`: a GPU takes the same algorithms each time, whose results are the same to the bit on one kind of
    GPU.
    What they cost in speed has not been measured. On a CPU trials are so anyway.
    """
    torch.set_num_threads(1)
    _allow_tf32(False)
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the first product is computed on a GPU
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Inside, products on a GPU are those of a precision of training."""
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
    """Raises InputError where a device does not compute in a precision of training, or only by emulating it."""
    if precision not in (able := precisions(device)):
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "this CPU"
        raise InputError(f"--precision {precision}: {name} has no instructions for it; it has {', '.join(able)}.")


def precisions(device: str) -> list[str]:
    """The precisions of training that a device has instructions for."""
    if device.startswith("cuda"):
        modern = torch.cuda.get_device_capability(device) >= (8, 0)
        return [FLOAT32, TF32, BFLOAT16] if modern else [FLOAT32]
    return [FLOAT32, BFLOAT16] if _cpu_has_bfloat16() else [FLOAT32]


def _cpu_has_bfloat16() -> bool:
    """AVX-512 BF16 or AMX, or BF16 on ARM; older releases of PyTorch tell of the first only."""
    if hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported())
