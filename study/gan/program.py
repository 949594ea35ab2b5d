"""The step as a program: traced once, run many times, for one trial or for a pack of them.

Differentiating, binding parameters and normalising weights in Python costs more than the arithmetic where networks are
small. A pure step has no need of it twice: its trace is the flat list of tensor operations that it came down to, the
same for all settings and seeds of a method, and gives the same numbers to the last bit. A compiler may make more of it,
and on a GPU the launches of many operations become one; rounding then differs.
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

from study.gan.model import Gan
from study.gan.step import discriminator_step, generator_step

EAGER, INDUCTOR = "eager", "inductor"
COMPILERS: Mapping[str, Callable[[GraphModule], Callable[..., Any]]] = {
    EAGER: lambda graph: graph.forward,
    INDUCTOR: lambda graph: torch.compile(graph, backend="inductor", fullgraph=True, dynamic=False),
}
"""What makes a program of a trace; the first takes it as it is."""

ShapeKey = tuple[tuple[torch.Size, torch.dtype, torch.device], ...]


def best_compiler(device: str) -> str:
    """What a device is best served by: on a CPU compiling takes longer than it saves."""
    return INDUCTOR if device.startswith("cuda") else EAGER


class TracedFunction:
    """A pure function of nested tensors, traced at the first call with arguments of a shape, and compiled then.

    Attributes:
        refused: why the compiler's program is not used but the trace as it is; None where it is used.
    """

    def __init__(self, function: Callable[..., Any], compiler: str = EAGER) -> None:
        self._function, self._compiler = function, compiler
        self._programs: dict[ShapeKey, tuple[Callable[..., Any], pytree.TreeSpec]] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns for these arguments."""
        tensors, structure = pytree.tree_flatten(arguments)
        key = shapes(tensors)
        if key not in self._programs:
            graph, returned = self.trace(tensors, structure)
            self._programs[key] = self._compiled(graph, tensors), returned
        program, returned = self._programs[key]
        return pytree.tree_unflatten(program(*tensors), returned)

    def trace(self, tensors: list[Tensor], structure: pytree.TreeSpec) -> tuple[GraphModule, pytree.TreeSpec]:
        """The operations on flat tensors that the function comes down to, and the structure of what it returns."""
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
    """A CUDA graph, the memory of its arguments and results, and the structure of what the function returns."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: list[Tensor]
    returned: pytree.TreeSpec


class CudaGraphFunction:
    """A function of nested tensors on a GPU, recorded at the first call with arguments of a shape: a CUDA graph.

    All that the function does on the device is then one launch. It may draw no random numbers and wait for nothing. No
    call changes what another was given or returned.

    Attributes:
        refused: why nothing is recorded and the function is called each time; None where it is recorded.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._recorded: dict[ShapeKey, Recording] = {}
        self.refused: str | None = None

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns for these arguments."""
        tensors, structure = pytree.tree_flatten(arguments)
        key = shapes(tensors)
        if key not in self._recorded and self.refused is None:
            try:
                self._recorded[key] = self._record(tensors, structure)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever cannot be captured is told by errors of many types
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
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):  # tracing, compiling and choosing of kernels cannot be recorded
                self._function(*arguments)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs, returned = pytree.tree_flatten(self._function(*arguments))
        return Recording(graph, inputs, outputs, returned)


@dataclass(frozen=True, eq=False)
class Programs:
    """`discriminator_step` and `generator_step` of a Gan, without their first argument.

    Those of a pack take states and settings stacked on a leading axis [K, ...], latents [K, N, latent_dim] and noise
    [K, ...]; the real images are the same for all.
    """

    discriminator: TracedFunction
    generator: TracedFunction
    compiler: str

    @property
    def refused(self) -> str | None:
        """Why the compiler's program is not used; None where it is."""
        return self.discriminator.refused or self.generator.refused

    @property
    def compiled(self) -> str:
        """What runs the steps: the compiler, or EAGER where it refused."""
        return EAGER if self.refused else self.compiler


@lru_cache(maxsize=32)
def programs(gan: Gan, compiler: str = EAGER, *, packed: bool = False) -> Programs:
    """The programs of a method, shared by all its trials in this process: the second one compiles nothing."""
    steps: tuple[Callable[..., Any], ...] = partial(discriminator_step, gan), partial(generator_step, gan)
    if packed:
        steps = torch.vmap(steps[0], in_dims=(0, 0, None, 0, 0)), torch.vmap(steps[1])
        steps = tuple(Float32BatchNorm()(step) for step in steps)
    discriminator, generator = (TracedFunction(step, compiler) for step in steps)
    return Programs(discriminator, generator, compiler)


class Float32BatchNorm(TorchFunctionMode):
    """Inside, batch norms of bfloat16 maps are float32: under vmap PyTorch has no other."""

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
    """The key of a program: the shape, type and device of each argument."""
    return tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)


def first_line(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
