"""A GPU that computes nothing: what PyTorch would launch on it, and what would make the CPU wait.

Tensors on "cuda" have shapes, strides and types, but no memory (`FakeTensorMode`), and the CUDA runtime and driver are
those of this folder. Checks of devices, the choice of batch norm's backend, differentiation, vmap and tracing are
PyTorch's own; kernels, streams and graphs are not there.
"""

import contextlib
import traceback
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from study.gan import model, program

aten = torch.ops.aten
SCALARS = (aten._local_scalar_dense.default, aten.item.default, aten.is_nonzero.default)
TRANSFERS = (aten._to_copy, aten.copy_, aten.to)
NO_KERNEL = (
    aten._unsafe_view.default,
    aten.alias.default,
    aten.detach.default,
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    torch.ops.prim.device.default,
)
"""Operations that compute nothing, besides views."""


class Log(TorchDispatchMode):
    """What reaches the GPU.

    Attributes:
        launches: operations outside of graphs, and replays, by name.
        captured: operations that a graph recorded, by name.
        syncs: what made the CPU wait for the GPU, and where.
        mixed: operations on tensors of both devices, and where.
    """

    def __init__(self) -> None:
        super().__init__()
        self.capturing = False
        self.clear()

    def clear(self) -> None:
        self.launches, self.captured = Counter[str](), Counter[str]()
        self.syncs, self.mixed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()

    def sync(self, what: str) -> None:
        """The CPU waits for the GPU, which ends a capture."""
        self.syncs[what, place()] += 1
        if self.capturing:
            raise RuntimeError(f"not permitted during capture: {what} at {place()}")

    def numbers(self, tensor: torch.Tensor) -> object:
        """Zeros in the place of the values of a tensor, True for truth values; one transfer."""
        if tensor.device.type == "cuda":
            self.sync("values are read")
        return np.full(tensor.shape, tensor.dtype == torch.bool, bool if tensor.dtype == torch.bool else float).tolist()

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor.is_in_pinned_memory = True  # type: ignore[attr-defined]
        return tensor

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if function in SCALARS and isinstance(args[0], FakeTensor):
            if args[0].device.type == "cuda":
                self.sync("a value is read")
            return True if args[0].dtype == torch.bool else 0.0 if args[0].dtype.is_floating_point else 0
        result = function(*args, **kwargs)
        devices = {
            tensor.device.type for tensor in (*given, *pytree.tree_leaves(result)) if isinstance(tensor, torch.Tensor)
        }
        if devices == {"cpu", "cuda"}:
            self._across(function, args, kwargs, given)
        if "cuda" in devices and not function.is_view and function not in NO_KERNEL:
            (self.captured if self.capturing else self.launches)[str(function).removeprefix("aten.")] += 1
        return result

    def _across(self, function, args, kwargs, given) -> None:  # type: ignore[no-untyped-def]
        """An operation on both devices: a transfer, or a mistake unless the part on the CPU is a number."""
        if function.overloadpacket in TRANSFERS:
            source = args[function.overloadpacket is aten.copy_]
            waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2])) or not hasattr(
                source, "is_in_pinned_memory"
            )
            if source.device.type == "cuda" or waits:
                self.sync(f"a copy from {source.device.type}")
        elif any(tensor.device.type == "cpu" and tensor.dim() for tensor in given):
            self.mixed[str(function), place()] += 1


def place() -> str:
    """The innermost line of the project."""
    for frame in reversed(traceback.extract_stack()):
        if "/study/" in frame.filename:
            return f"{frame.filename.rpartition('/study/')[2]}:{frame.lineno}"
    return "elsewhere"


class Stream:
    def wait_stream(self, other: "Stream") -> None:
        pass


class Graph:
    """Stands for a CUDA graph. `alive` counts those that are held."""

    alive = 0

    def __init__(self) -> None:
        Graph.alive += 1

    def __del__(self) -> None:
        Graph.alive -= 1

    def replay(self) -> None:
        current().launches["replay"] += 1


_logs: list[Log] = []


def current() -> Log:
    return _logs[-1]


@contextlib.contextmanager
def capture(graph: Graph, capture_error_mode: str = "global") -> Iterator[None]:
    log = current()
    assert capture_error_mode == "thread_local", "another thread that pins memory would end the capture"
    log.sync("the capture begins")
    log.capturing = True
    try:
        yield
    finally:
        log.capturing = False


def zeros_like_parameters(network, initialize, rng):  # type: ignore[no-untyped-def]
    """`study.gan.model._materialize` without values: initialization reads and writes single numbers."""

    def zeros(tensor: torch.Tensor) -> torch.Tensor:
        layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        return torch.zeros(tensor.shape, dtype=tensor.dtype).contiguous(memory_format=layout)

    return tuple(
        {name: zeros(value) for name, value in named} for named in (network.named_parameters(), network.named_buffers())
    )


@contextlib.contextmanager
def fake_gpu(*, compiled: bool = False) -> Iterator[Log]:
    """Inside, "cuda" is a GPU that computes nothing; `compiled`: whether Inductor runs, otherwise traces run."""
    log = Log()
    tensor, cuda = torch.Tensor, torch.cuda
    nothing = contextlib.nullcontext()
    stands_for = {
        (cuda, "synchronize"): lambda *_: log.sync("synchronize"),
        (cuda, "Stream"): Stream,
        (cuda, "current_stream"): lambda *_: Stream(),
        (cuda, "stream"): lambda _: nothing,
        (cuda, "CUDAGraph"): Graph,
        (cuda, "graph"): capture,
        (FakeTensor, "tolist"): lambda self: log.numbers(self),
        (tensor, "pin_memory"): lambda self: log.pin(self),
        (model, "_materialize"): zeros_like_parameters,
        (FakeTensorMode, "avoid_device_init"): property(lambda _: True),
    }
    with contextlib.ExitStack() as stack:
        for (owner, name), value in stands_for.items():
            stack.enter_context(mock.patch.object(owner, name, value))
        if not compiled:
            stack.enter_context(mock.patch.dict(program.COMPILERS, {program.INDUCTOR: lambda graph: graph.forward}))
        program.programs.cache_clear()
        stack.callback(program.programs.cache_clear)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(log)
        _logs.append(log)
        stack.callback(_logs.pop)
        yield log
