"""The step as a program: traced once, run many times.

Differentiating, binding parameters and normalising weights in Python costs more than the arithmetic where networks are
small. A pure step has no need of it twice: its trace is the flat list of tensor operations that it came down to, the
same for all settings and seeds of a method, and gives the same numbers to the last bit.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from study.gan.model import Gan
from study.gan.step import discriminator_step, generator_step


class Traced:
    """A pure function of nested tensors, traced at the first call with arguments of a shape."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._programs: dict[Any, tuple[Callable[..., Any], pytree.TreeSpec]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns for these arguments."""
        tensors, structure = pytree.tree_flatten(arguments)
        key = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        if key not in self._programs:
            self._programs[key] = self._trace(tensors, structure)
        program, returned = self._programs[key]
        return pytree.tree_unflatten(program(*tensors), returned)

    def _trace(self, tensors: list[Tensor], structure: pytree.TreeSpec) -> tuple[Callable[..., Any], pytree.TreeSpec]:
        returned: list[pytree.TreeSpec] = []

        def flat(*tensors: Tensor) -> list[Tensor]:
            results, spec = pytree.tree_flatten(self._function(*pytree.tree_unflatten(list(tensors), structure)))
            returned.append(spec)
            return results

        graph = make_fx(flat, tracing_mode="fake")(*tensors)  # shapes only: nothing is computed
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return graph.forward, returned[0]


class Programs(NamedTuple):
    """`discriminator_step` and `generator_step` of a Gan, without their first argument."""

    discriminator: Traced
    generator: Traced


@lru_cache(maxsize=32)
def programs(gan: Gan) -> Programs:
    """The programs of a method, shared by all its trials in this process."""
    return Programs(Traced(partial(discriminator_step, gan)), Traced(partial(generator_step, gan)))
