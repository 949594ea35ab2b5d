"""How many kernels Inductor makes of a cycle; what they compute is checked where there is a GPU (`study selfcheck`)."""

import re
from unittest import mock

import pytest
import torch
from torch.fx import GraphModule

from study.gan import program
from study.training.bench.cases import Case

pytestmark = pytest.mark.fakegpu
fake_gpu = pytest.importorskip("tests.gpu_without_gpu.fake_gpu")
compile_fx = pytest.importorskip("torch._inductor.compile_fx")

LIBRARY_CALLS = re.compile(r"^\s+(?:buf\d+ = )?(?:extern_kernels\.|torch\.ops\.aten\.)", re.MULTILINE)
KERNELS = {"spectral_norm": 500, "spectral_norm+gradient_penalty": 790}
"""Of a cycle of sndcgan with n_dis 5, by method; they may only get fewer."""


class Written(Exception):  # noqa: N818  the end of what is wanted from Inductor
    """The program is written; it is not compiled."""


def kernels(graph: GraphModule) -> int:
    """Kernels of Triton and calls of libraries in Inductor's program for a trace."""
    from torch._inductor import config, metrics
    from torch._inductor.graph import GraphLowering

    written: list[str] = []

    def write(lowering: GraphLowering) -> None:
        code, _ = lowering.codegen()
        written.append(code.value)
        raise Written

    arguments = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    metrics.reset()
    stop = mock.patch.object(GraphLowering, "compile_to_module", write)
    with stop, config.patch(program.INDUCTOR_OPTIONS), pytest.raises(Exception, match=r"^$|Written"):
        compile_fx.compile_fx(graph, arguments)
    return metrics.generated_kernel_count + len(LIBRARY_CALLS.findall(written[0]))


@pytest.mark.parametrize("method", KERNELS)
def test_kernels_of_a_cycle(method: str, record_property: object) -> None:
    from tests.gpu_without_gpu.test_cycle import inputs, loaded

    case = Case(architecture="sndcgan", method=method, device="cuda")
    traced: list[GraphModule] = []
    collect = {program.INDUCTOR: lambda graph: traced.append(graph) or graph.forward}
    with fake_gpu.fake_gpu(), torch.no_grad(), mock.patch.dict(program.COMPILERS, collect):
        loaded(case).prepare(*inputs(case, case.n_dis))
    with mock.patch.object(torch.cuda, "is_available", return_value=True):
        discriminator, generator = map(kernels, traced)
    print(f"{case.name}: {discriminator} kernels per D update, {generator} per G update")
    assert case.n_dis * discriminator + generator <= KERNELS[method]
