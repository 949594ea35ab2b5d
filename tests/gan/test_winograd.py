"""Winograd's forms compute what torch's convolutions do, and what all derivatives of these are."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import conv2d, conv_transpose2d, pad

from study.gan.architectures.dcgan import DoublingConv, HalvingConv
from study.gan.networks import winograd
from study.gan.networks.layers import Conv2d, Conv3x3, Conv3x3Pool, ConvTranspose2d, UnpoolConv3x3
from tests.conftest import quick_only

TILES = [2, 4]


@pytest.fixture(params=TILES)
def forced(request, monkeypatch):
    """Every layer takes the form with this number of outputs per filter, wherever it fits the map."""

    def only(maps, outputs, direct, make):
        form = make(request.param)
        return None if maps.shape[-1] % form.step else form

    monkeypatch.setattr(winograd, "best_form", only)
    return request.param


def plain_convolution(taps, stride, before):
    """The padding behind the maps leaves S / stride outputs."""
    behind = taps - stride - before
    return lambda maps, *tensors: conv2d(pad(maps, (before, behind, before, behind)), *tensors, stride)


def plain_transposed(cropped):
    def layer(maps, *tensors):
        size = 2 * maps.shape[-1]
        larger = conv_transpose2d(maps, *tensors, stride=2)
        return larger[:, :, cropped : cropped + size, cropped : cropped + size]

    return layer


CONVOLUTIONS = [
    pytest.param(
        lambda *t, case=case: winograd.convolution(*t, *case[1:]), plain_convolution(*case), case[0], id=f"{case}"
    )
    for case in ((1, 1, 0), (3, 1, 1), (4, 2, 1), (5, 2, 1), (6, 2, 2))
]
TRANSPOSED = [
    pytest.param(
        lambda *t, crop=crop: winograd.transposed_convolution(*t, crop),
        plain_transposed(crop),
        taps,
        id=f"t{taps}-{crop}",
    )
    for taps, crop in ((2, 0), (3, 1), (4, 1), (5, 1), (6, 2))
]
FUNCTIONS = [*CONVOLUTIONS, *TRANSPOSED]


def drawn(taps, size, *, images=3, channels=(2, 2)):
    rng = torch.Generator().manual_seed(0)
    shapes = (images, channels[0], size, size), (channels[1], channels[0], taps, taps), (channels[1],)
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


def bent(function):
    """A scalar of which all derivatives depend on everything."""

    def scalar(*tensors):
        out = function(*tensors)
        weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).view(out.shape)
        return (torch.tanh(out / 4) * weights).sum()

    return scalar


def orders(function):
    """The gradients of the scalar, of their slope and of the slope of that: first, second and third derivatives."""

    def slope(scalar):
        return lambda *tensors: sum(g.square().mean() for g in torch.func.grad(scalar, (0, 1, 2))(*tensors))

    scalar = bent(function)
    scalars = (scalar, slope(scalar), slope(slope(scalar)))
    return lambda *tensors: [torch.func.grad(scalar, (0, 1, 2))(*tensors) for scalar in scalars]


@pytest.mark.parametrize(("function", "plain", "taps"), FUNCTIONS)
def test_values_and_three_derivatives_are_those_of_torch(function, plain, taps, forced):
    tensors = drawn(taps, 8)
    got, expected = ([call(*tensors), *orders(call)(*tensors)] for call in (function, plain))
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)
    assert (got[0] - expected[0]).norm() < 1e-12 * expected[0].norm()


@pytest.mark.parametrize(("function", "plain", "taps"), [CONVOLUTIONS[2], TRANSPOSED[2]])
def test_derivatives_are_slopes(function, plain, taps, forced):
    tensors = [t.requires_grad_() for t in drawn(taps, 4, images=1, channels=(1, 1))]
    if function(*tensors) is None:
        pytest.skip("the map has no whole tile of this size")
    assert gradcheck(function, tensors)
    assert gradgradcheck(function, tensors)


@pytest.mark.full
@pytest.mark.parametrize(("function", "plain", "taps"), [CONVOLUTIONS[2], TRANSPOSED[2]])
def test_models_in_a_pack_traced_or_not(function, plain, taps, forced):
    stacked = [torch.stack([t, t.flip(0) / 2]) for t in drawn(taps, 8)]
    expected = [
        torch.stack(pair) for pair in zip(*(orders(plain)(*one)[1] for one in zip(*stacked, strict=True)), strict=True)
    ]
    program = torch.vmap(lambda *tensors: orders(function)(*tensors)[1])
    for run in (program, make_fx(program, tracing_mode="fake")(*stacked)):
        torch.testing.assert_close(list(run(*stacked)), expected, rtol=1e-11, atol=1e-11)


def test_parts_of_a_batch_are_the_batch(forced, monkeypatch):
    maps, kernel, bias = drawn(3, 8, images=5)
    expected = orders(plain_convolution(3, 1, 1))(maps, kernel, bias)
    for numbers in (1, 2 * 36 * 16 * 2, 2**30):
        monkeypatch.setattr(winograd, "CHUNK", numbers)
        got = orders(lambda *t: winograd.convolution(*t, 1, 1))(maps, kernel, bias)
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


LAYERS = [
    (Conv3x3, {}),
    (UnpoolConv3x3, {}),
    (Conv3x3Pool, {}),
    (Conv2d, {"kernel_size": 4, "stride": 2, "padding": 1}),
    (ConvTranspose2d, {"kernel_size": 4, "stride": 2, "padding": 1}),
    (HalvingConv, {}),
    (DoublingConv, {}),
]


@pytest.mark.parametrize("size", quick_only([2, 4, 6, 8, 16], [8]))
@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=[kind.__name__ for kind, _ in LAYERS])
def test_layers_have_the_same_outputs_in_every_form(kind, options, size, forced, monkeypatch):
    layer = kind(3, 5, **options).double()
    maps = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fast = layer(maps)
    monkeypatch.setattr(winograd, "best_form", lambda *arguments: None)
    torch.testing.assert_close(fast, layer(maps), rtol=1e-12, atol=1e-12)


def test_float32_rounds_like_a_direct_convolution():
    maps, kernel, _ = drawn(3, 16, images=8, channels=(64, 64))
    exact = conv2d(maps, kernel, padding=1)

    def error(tensor):
        return ((tensor - exact).norm() / exact.norm()).item()

    direct = error(conv2d(maps.float(), kernel.float(), padding=1))
    for outputs in TILES:
        form = winograd.strided(3, 1, 1, outputs)
        taps = (winograd.tensor(form.g, maps) @ kernel.permute(0, 2, 3, 1).reshape(64, 9, 64)).permute(1, 2, 0)
        assert direct / 10 < error(winograd.convolve_tiles(maps.float(), taps.float(), None, form)) < 10 * direct


def chosen(images, channels, size, device="cpu"):
    maps = torch.empty(images, channels, size, size, device=device)
    with torch.device(device):
        layer = Conv3x3(channels, channels)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        convolve = winograd.convolve_tiles
        patch.setattr(winograd, "convolve_tiles", lambda *t: made.append(t[-1].outputs) or convolve(*t))
        layer(maps)
    return made


def test_the_form_follows_the_size_of_maps_and_networks():
    assert chosen(64, 128, 16) == [4]
    assert chosen(64, 128, 6) == [2]  # no whole tiles of 4
    assert chosen(64, 128, 7) == []  # no whole tiles
    assert chosen(64, 3, 16) == chosen(64, 8, 16) == []  # transforming tiles costs more than it saves
    assert chosen(1, 512, 2) == []  # transforming the kernel costs more than it saves


def test_other_devices_and_bfloat16_multiply_directly():
    assert chosen(64, 128, 16, "meta") == []
    maps, make = torch.empty(64, 128, 16, 16), partial(winograd.strided, 3, 1, 1)
    assert winograd.best_form(maps, 128, 9 * 16 * 16, make)
    with torch.autocast("cpu", torch.bfloat16):
        assert winograd.best_form(maps, 128, 9 * 16 * 16, make) is None
