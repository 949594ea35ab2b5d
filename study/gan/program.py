"""The training step as a program: traced once, run many times, for one trial or for a pack of trials.

For small networks, Python spends more time on differentiation, parameter binding and weight normalization than the
arithmetic takes. A pure step needs them only once: its trace is a flat list of tensor operations, which is the same for
all hyperparameters and seeds of a method, and gives bit-identical results. A compiler can make the trace faster, and a
CUDA graph makes many kernel launches one; rounding then differs.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from study.core.errors import first_line
from study.gan.model import Gan
from study.gan.step import discriminator_step, generator_step

EAGER, INDUCTOR = "eager", "inductor"
INDUCTOR_OPTIONS: dict[str, Any] = {"combo_kernels": True}
"""One kernel for several layers, such as all power iterations: 92 instead of 156 kernels per D update of sndcgan."""
COMPILERS: Mapping[str, Callable[[GraphModule], Callable[..., Any]]] = {
    EAGER: lambda graph: graph.forward,
    INDUCTOR: lambda graph: torch.compile(graph, fullgraph=True, dynamic=False, options=INDUCTOR_OPTIONS),
}
"""From a trace to a program, by name; `eager` runs the trace as it is."""

CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""The variable of the environment with the folder of compiled programs."""
WAIT = 600
"""Longest wait for another process that compiles the same program, in seconds; a killed one is not waited for."""

ShapeKey = tuple[tuple[torch.Size, torch.dtype, torch.device], ...]


def best_compiler(device: str) -> str:
    """The fastest compiler for a device: on a CPU, compilation takes longer than it saves."""
    return INDUCTOR if device.startswith("cuda") else EAGER


class TracedFunction:
    """A pure function of nested tensors, traced and compiled at its first call for each shape of its arguments.

    Attributes:
        refused: why the compiler failed and the uncompiled trace runs instead; None if the compiled program runs.
    """

    def __init__(self, function: Callable[..., Any], compiler: str = EAGER) -> None:
        self._function, self._compiler = function, compiler
        self._programs: dict[ShapeKey, tuple[Callable[..., Any], pytree.TreeSpec]] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The result of the function for these arguments."""
        tensors, structure = pytree.tree_flatten(arguments)
        program, returned = self._program(tensors, structure)
        return pytree.tree_unflatten(program(*tensors), returned)

    def prepare(self, *arguments: Any) -> None:
        """Trace and compile the function for arguments of these shapes; it is not called."""
        self._program(*pytree.tree_flatten(arguments))

    def _program(self, tensors: list[Tensor], structure: pytree.TreeSpec) -> tuple[Callable[..., Any], pytree.TreeSpec]:
        key = shapes(tensors)
        if key not in self._programs:
            graph, returned = self.trace(tensors, structure)
            self._programs[key] = self._compiled(graph, tensors), returned
        return self._programs[key]

    def trace(self, tensors: list[Tensor], structure: pytree.TreeSpec) -> tuple[GraphModule, pytree.TreeSpec]:
        """The function as a graph of operations on flat tensors, and the structure of its result."""
        returned: list[pytree.TreeSpec] = []

        def flat(*tensors: Tensor) -> list[Tensor]:
            results, spec = pytree.tree_flatten(self._function(*pytree.tree_unflatten(list(tensors), structure)))
            returned.append(spec)
            return results

        graph = make_fx(flat, tracing_mode="fake")(*tensors)  # shapes only: nothing is computed
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return graph, returned[0]

    def _compiled(self, graph: GraphModule, tensors: list[Tensor]) -> Callable[..., Any]:
        try:
            program = COMPILERS[self._compiler](graph)
            if self._compiler != EAGER:  # compilers do their work at the first call, here on copies
                with alone(f"{graph.code}{shapes(tensors)}"):
                    program(*(tensor.clone() for tensor in tensors))
            return program
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler can raise anything
            self.refused = first_line(error)
            return graph.forward


@contextlib.contextmanager
def alone(program: str) -> Iterator[None]:
    """Inside, no other process compiles the same program: those that start together wait, and find it in the cache.

    Without a cache of programs, or where files cannot be locked, all compile at once.
    """
    lock = None
    if folder := os.environ.get(CACHE):
        path = Path(folder, "programs", f"{hashlib.sha256(program.encode()).hexdigest()}.lock")
        with contextlib.suppress(OSError):  # also a timeout
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path).acquire(timeout=WAIT)
    with lock or contextlib.nullcontext():
        yield


class InPlaceStep:
    """A step that overwrites the state that it is given, and returns it: a compiler then needs no memory for another.

    Args:
        step: (state, ...) -> (new state, metrics).
        changes: the fields of the state that it changes.
        compiler: a key of COMPILERS.
    """

    def __init__(self, step: Callable[..., Any], changes: Sequence[str], compiler: str) -> None:
        self._step, self._changes = step, changes
        self._traced = TracedFunction(self._update, compiler)

    def __call__(self, state: Any, *arguments: Any) -> Any:
        """The given state, which is now the new one, and the metrics."""
        return state, self._traced(state, *arguments)

    def prepare(self, state: Any, *arguments: Any) -> None:
        """As of TracedFunction."""
        self._traced.prepare(state, *arguments)

    def _update(self, state: Any, *arguments: Any) -> Any:
        new, metrics = self._step(state, *arguments)
        for field in self._changes:
            overwrite(getattr(state, field), getattr(new, field))
        return metrics

    @property
    def refused(self) -> str | None:
        """As of TracedFunction."""
        return self._traced.refused


def overwrite(memory: Any, values: Any) -> None:
    """Copy nested tensors into those of another structure of the same form; a tensor that is the same one stays."""
    for old, new in zip(pytree.tree_leaves(memory), pytree.tree_leaves(values), strict=True):
        if old is not new:
            old.copy_(new)


class RecordedUpdate:
    """`update(state, *inputs)`, a new state, as a CUDA graph that overwrites the state; recorded at the first call.

    Afterwards a call is a copy of each input, and one launch. What the update has overwritten itself is not copied. All
    calls must be with the same state, since the graph has the addresses of its memory, and with inputs of the same
    shapes. The update must not draw random numbers and must not wait for the device. The memory of the recording is
    free when this object is.

    Attributes:
        refused: why recording failed and the update is called directly; None if the graph runs.
    """

    def __init__(self, update: Callable[..., Any]) -> None:
        self._update = update
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self.refused: str | None = None

    def __call__(self, state: Any, *inputs: Tensor) -> None:
        """Update the state."""
        self.prepare(state, *inputs)
        if self._graph is None:
            overwrite(state, self._update(state, *inputs))
            return
        for memory, given in zip(self._inputs, inputs, strict=True):
            memory.copy_(given)
        with torch.cuda.device(inputs[0].device):
            self._graph.replay()

    def prepare(self, state: Any, *inputs: Tensor) -> None:
        """Record the update if that was not tried yet; the state stays as it is."""
        if self._graph is not None or self.refused is not None:
            return
        before = pytree.tree_map(torch.clone, state)
        try:
            with torch.cuda.device(inputs[0].device):
                self._graph, self._inputs = self._record(state, [given.clone() for given in inputs])
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # failures of capture raise many types of errors
            self.refused = first_line(error)
        finally:
            overwrite(state, before)

    def _record(self, state: Any, inputs: list[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor]]:
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(2):  # warm-up: tracing, compiling and kernel selection cannot be recorded
                overwrite(state, self._update(state, *inputs))
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, as the one that reads batches into pinned memory.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            overwrite(state, self._update(state, *inputs))
        return graph, inputs


@dataclass(frozen=True, eq=False)
class Programs:
    """`discriminator_step` and `generator_step` of a Gan, without their first argument.

    The programs of a pack take states and hyperparameters stacked on a leading axis [K, ...], latents [K, N,
    latent_dim] and noise [K, ...]; all trials share the real images. With `in_place`, the steps overwrite the state
    that they are given.
    """

    discriminator: TracedFunction | InPlaceStep
    generator: TracedFunction | InPlaceStep
    compiler: str
    in_place: bool = False

    @property
    def refused(self) -> str | None:
        """Why the compiler failed; None if its programs run."""
        return self.discriminator.refused or self.generator.refused

    @property
    def compiled(self) -> str:
        """What runs the steps: the compiler, or EAGER if it failed."""
        return EAGER if self.refused else self.compiler


CHANGES = (
    ("generator_buffers", "discriminator", "vectors", "loss", "discriminator_adam"),
    ("generator", "generator_buffers", "generator_adam"),
)
"""The fields of `State` that an update of D changes, and those that an update of G changes."""


@lru_cache(maxsize=32)
def programs(gan: Gan, compiler: str = EAGER, *, packed: bool = False, in_place: bool = False) -> Programs:
    """The programs of a method. All its trials in this process share them, so only the first one compiles."""
    steps: tuple[Callable[..., Any], ...] = partial(discriminator_step, gan), partial(generator_step, gan)
    if packed:
        steps = torch.vmap(steps[0], in_dims=(0, 0, None, 0, 0)), torch.vmap(steps[1])
        steps = tuple(PackedBatchNorm()(step) for step in steps)
    if in_place:
        first, second = (InPlaceStep(step, changes, compiler) for step, changes in zip(steps, CHANGES, strict=True))
        return Programs(first, second, compiler, in_place=True)
    discriminator, generator = (TracedFunction(step, compiler) for step in steps)
    return Programs(discriminator, generator, compiler)


class PackedBatchNorm(TorchFunctionMode):
    """Inside, batch norm runs in the forms that PyTorch has under vmap: without cuDNN, and bfloat16 maps in float32."""

    def __call__(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def inside(*arguments: Any) -> Any:
            with self:
                return step(*arguments)

        return inside

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not torch.nn.functional.batch_norm:
            return function(*args, **(kwargs or {}))
        maps, *rest = args
        with torch.backends.cudnn.flags(enabled=False):
            wide = maps.float() if maps.dtype == torch.bfloat16 else maps
            return function(wide, *rest, **(kwargs or {})).to(maps.dtype)


def shapes(tensors: list[Tensor]) -> ShapeKey:
    """The key of a program: shape, type and device of each argument."""
    return tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
