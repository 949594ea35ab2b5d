"""The training step as a program: traced once, run many times, for one trial or for a pack of trials.

For small networks, Python spends more time on differentiation, parameter binding and weight normalization than the
arithmetic takes. A pure step needs them only once: its trace is a flat list of tensor operations, which is the same for
all hyperparameters and seeds of a method, and gives bit-identical results. A compiler can make the trace faster, and a
CUDA graph makes many kernel launches one; rounding then differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from study.core.errors import first_line
from study.gan.model import Gan
from study.gan.step import discriminator_step, generator_step

EAGER, INDUCTOR = "eager", "inductor"
COMPILERS: Mapping[str, Callable[[GraphModule], Callable[..., Any]]] = {
    EAGER: lambda graph: graph.forward,
    INDUCTOR: lambda graph: torch.compile(graph, backend="inductor", fullgraph=True, dynamic=False),
}
"""From a trace to a program, by name; `eager` runs the trace as it is."""

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
        key = shapes(tensors)
        if key not in self._programs:
            graph, returned = self.trace(tensors, structure)
            self._programs[key] = self._compiled(graph, tensors), returned
        program, returned = self._programs[key]
        return pytree.tree_unflatten(program(*tensors), returned)

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
            if self._compiler != EAGER:
                program(*tensors)  # compilers do their work at the first call
            return program
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler can raise anything
            self.refused = first_line(error)
            return graph.forward


class Recording(NamedTuple):
    """A recorded CUDA graph.

    Attributes:
        graph: the graph.
        inputs, outputs: the memory that it reads and writes.
        returned: the structure of the function's result.
    """

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: list[Tensor]
    returned: pytree.TreeSpec


class CudaGraphFunction:
    """A function of nested GPU tensors, recorded as a CUDA graph at its first call for each shape of its arguments.

    Afterwards a call is a single launch. The function must not draw random numbers and must not wait for the device.
    Calls share no memory with the caller: arguments are copied in, and results are copied out.

    Attributes:
        refused: why recording failed and the function is called directly; None if the graph runs.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._recorded: dict[ShapeKey, Recording] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The result of the function for these arguments."""
        tensors, structure = pytree.tree_flatten(arguments)
        key = shapes(tensors)
        if key not in self._recorded and self.refused is None:
            try:
                self._recorded[key] = self._record(tensors, structure)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # failures of capture raise many types of errors
                self.refused = first_line(error)
        if key not in self._recorded:
            return self._function(*arguments)
        graph, inputs, outputs, returned = self._recorded[key]
        torch._foreach_copy_(inputs, tensors)
        graph.replay()
        return pytree.tree_unflatten([output.clone() for output in outputs], returned)

    def _record(self, tensors: list[Tensor], structure: pytree.TreeSpec) -> Recording:
        inputs = [tensor.clone() for tensor in tensors]
        arguments = pytree.tree_unflatten(inputs, structure)
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(2):  # warm-up: tracing, compiling and kernel selection cannot be recorded
                self._function(*arguments)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs, returned = pytree.tree_flatten(self._function(*arguments))
        return Recording(graph, inputs, outputs, returned)


@dataclass(frozen=True, eq=False)
class Programs:
    """`discriminator_step` and `generator_step` of a Gan, without their first argument.

    The programs of a pack take states and hyperparameters stacked on a leading axis [K, ...], latents [K, N,
    latent_dim] and noise [K, ...]; all trials share the real images.
    """

    discriminator: TracedFunction
    generator: TracedFunction
    compiler: str

    @property
    def refused(self) -> str | None:
        """Why the compiler failed; None if its programs run."""
        return self.discriminator.refused or self.generator.refused

    @property
    def compiled(self) -> str:
        """What runs the steps: the compiler, or EAGER if it failed."""
        return EAGER if self.refused else self.compiler


@lru_cache(maxsize=32)
def programs(gan: Gan, compiler: str = EAGER, *, packed: bool = False) -> Programs:
    """The programs of a method. All its trials in this process share them, so only the first one compiles."""
    steps: tuple[Callable[..., Any], ...] = partial(discriminator_step, gan), partial(generator_step, gan)
    if packed:
        steps = torch.vmap(steps[0], in_dims=(0, 0, None, 0, 0)), torch.vmap(steps[1])
        steps = tuple(Float32BatchNorm()(step) for step in steps)
    discriminator, generator = (TracedFunction(step, compiler) for step in steps)
    return Programs(discriminator, generator, compiler)


class Float32BatchNorm(TorchFunctionMode):
    """Inside, batch norm of bfloat16 maps runs in float32: PyTorch has no bfloat16 batch norm under vmap."""

    def __call__(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def inside(*arguments: Any) -> Any:
            with self:
                return step(*arguments)

        return inside

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not torch.nn.functional.batch_norm or args[0].dtype != torch.bfloat16:
            return function(*args, **(kwargs or {}))
        maps, *rest = args
        return function(maps.float(), *rest, **(kwargs or {})).to(maps.dtype)


def shapes(tensors: list[Tensor]) -> ShapeKey:
    """The key of a program: shape, type and device of each argument."""
    return tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
