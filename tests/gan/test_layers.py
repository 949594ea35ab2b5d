"""The convolutions of this package compute what torch's plain ones do, forward, backward and twice backward."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import avg_pool2d, conv2d
from torch.utils.flop_counter import FlopCounterMode

from study.gan.networks.layers import Conv2d, Conv3x3, Conv3x3Pool, ConvTranspose2d, Together, UnpoolConv3x3
from tests.gan.plain import unpool

SIZES = range(1, 10)


def outputs(kind, size, kernel, stride, padding):
    if issubclass(kind, nn.Conv2d):
        return (size + 2 * padding - kernel) // stride + 1 if size + 2 * padding >= kernel else 0
    return (size - 1) * stride - 2 * padding + kernel


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize(("ours", "plain"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
def test_equal_to_torch_wherever_torch_has_an_output(ours, plain, kernel, stride, padding):
    torch.manual_seed(0)
    reference = plain(2, 3, kernel, stride=stride, padding=padding, dtype=torch.float64)
    lean = ours(2, 3, kernel, stride=stride, padding=padding, dtype=torch.float64)
    lean.load_state_dict(reference.state_dict())
    sizes = [size for size in SIZES if outputs(ours, size, kernel, stride, padding) > 0]
    assert sizes
    for size in sizes:
        maps = torch.randn(2, 2, size, size, dtype=torch.float64, requires_grad=True)
        results = []
        for layer in (lean, reference):
            out = layer(maps)
            cotangent = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape)
            results.append((out, *torch.autograd.grad((out * cotangent).sum(), (maps, layer.weight, layer.bias))))
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12, msg=lambda m, s=size: f"{s} px: {m}")


def plain_unpool_conv(maps, weight, bias):
    return conv2d(unpool(maps), weight, bias, padding=1)


def plain_conv_pool(maps, weight, bias):
    return avg_pool2d(conv2d(maps, weight, bias, padding=1), 2)


FOLDED = [
    pytest.param(Conv3x3, lambda *tensors: conv2d(*tensors, padding=1), 1, id="conv"),
    pytest.param(UnpoolConv3x3, plain_unpool_conv, 1, id="unpool_conv"),
    pytest.param(Conv3x3Pool, plain_conv_pool, 2, id="conv_pool"),
]
"""(layer, the same plainly written, the smallest map)."""


def drawn(*shapes, seed=0, layout=torch.contiguous_format):
    rng = torch.Generator().manual_seed(seed)
    tensors = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes)
    return [t.to(memory_format=layout) if t.ndim == 4 else t for t in tensors]


def bound(kind, inputs=2, outputs=3):
    """The layer as a function of maps, weight and bias."""
    layer = kind(inputs, outputs)
    return lambda maps, weight, bias: torch.func.functional_call(layer, {"weight": weight, "bias": bias}, maps)


def derivatives(function, tensors):
    """Values, gradients, and the gradients of the slope at the maps, as a gradient penalty takes them."""
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    out = function(*tensors)
    cotangent = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape)
    bent = (torch.tanh(out) * cotangent).sum()  # so that second derivatives depend on everything
    first = torch.autograd.grad(bent, tensors, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum().sqrt(), tensors)
    return [out, *first, *second]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels_first", "last"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "plain", "smallest"), FOLDED)
def test_folded_layers_equal_the_plain_form_twice_differentiated(kind, plain, smallest, size, layout):
    if size < smallest:
        pytest.skip("a map of 1 px cannot be pooled")
    tensors = drawn((2, 2, size, size), (3, 2, 3, 3), (3,), layout=layout)
    got, expected = (derivatives(function, tensors) for function in (bound(kind), plain))
    assert all(tensor.abs().max() > 0.01 for tensor in expected)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "plain", "smallest"), FOLDED)
def test_folded_layers_have_the_parameters_of_a_plain_convolution(kind, plain, smallest):
    layer = kind(5, 7)
    assert isinstance(layer, nn.Conv2d)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"weight": (7, 5, 3, 3), "bias": (7,)}


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize(("kind", "plain", "smallest"), FOLDED)
def test_folded_layers_are_differentiated_under_vmap_and_traced(kind, plain, smallest, size):
    size = max(size, smallest)
    models = [drawn((2, 2, size, size), (3, 2, 3, 3), (3,), seed=seed, layout=torch.channels_last) for seed in (0, 1)]
    stacked = [torch.stack(tensors) for tensors in zip(*models, strict=True)]

    def gradients(function):
        def slope(*tensors):
            gradient = torch.func.grad(lambda maps: torch.tanh(function(maps, *tensors[1:])).sum())(tensors[0])
            return gradient.square().sum()

        return torch.func.grad(slope, argnums=(0, 1, 2))

    program = torch.func.vmap(gradients(bound(kind)))
    expected = [torch.stack(tensors) for tensors in zip(*(gradients(plain)(*m) for m in models), strict=True)]
    for run in (program, make_fx(program, tracing_mode="fake")(*stacked)):
        torch.testing.assert_close(list(run(*stacked)), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels_first", "last"])
@pytest.mark.parametrize(("kind", "plain", "smallest"), FOLDED)
def test_channels_last_kernels_lay_out_their_results_alike(kind, plain, smallest, layout):
    """Whatever the maps are: a kernel that lost its layout on the way would slow down all that follows."""
    (maps,) = drawn((2, 8, 4, 4), layout=layout)
    tensors = [maps, *drawn((16, 8, 3, 3), (16,), layout=torch.channels_last)]
    assert bound(kind, 8, 16)(*(tensor.float() for tensor in tensors)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("size", "share"), [(1, 1 / 9), (2, 1 / 4), (8, 1 / 4)])
def test_unpooling_takes_a_quarter_of_the_products(size, share):
    assert products(UnpoolConv3x3, size) == pytest.approx(share * products(plain_unpool_conv, size))


@pytest.mark.parametrize(("size", "share"), [(2, 1 / 9), (4, 4 / 9), (8, 4 / 9)])
def test_pooling_takes_four_ninths_of_the_products(size, share):
    assert products(Conv3x3Pool, size) == pytest.approx(share * products(plain_conv_pool, size))


def products(layer, size):
    """Those of the convolutions, counted as torch counts them: taps times inputs times outputs, padding included."""
    function = bound(layer) if isinstance(layer, type) else layer
    with FlopCounterMode(display=False) as counter:
        function(*drawn((2, 2, size, size), (3, 2, 3, 3), (3,)))
    return sum(count for kind, count in counter.get_flop_counts()["Global"].items() if "convolution" in str(kind))


@pytest.mark.parametrize("packed", [False, True])
def test_gradients_that_wait_for_each_other_are_the_same(packed):
    """The first derivatives and the second, with respect to kernels in both layouts, a matrix and a vector."""
    torch.manual_seed(0)
    kernel = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    given = kernel, kernel.contiguous(memory_format=torch.channels_last), torch.randn(3, 2).double(), torch.ones(5)
    given = tuple(tensor.double() + torch.zeros(2, *tensor.shape) if packed else tensor.double() for tensor in given)

    def loss(together, *tensors):
        tensors = Together.apply(*tensors) if together else tensors
        return sum((tensor**3).sum() for tensor in tensors) * tensors[0].sum()

    def derivatives(together):
        first = torch.func.grad(partial(loss, together), argnums=(0, 1, 2, 3))
        second = torch.func.grad(lambda *them: sum(g.square().sum() for g in first(*them)), argnums=(0, 1, 2, 3))

        def run(*them):
            return (*first(*them), *second(*them))

        return (torch.vmap(run) if packed else run)(*given)

    torch.testing.assert_close(derivatives(True), derivatives(False), rtol=1e-12, atol=0)
