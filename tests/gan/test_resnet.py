"""The residual blocks, ResNet19 at other sizes than the study's, and each code of ResNet-CIFAR's ablation."""

import pytest
import torch
from torch import nn

from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.architectures import ARCHITECTURES
from study.gan.model import build
from study.gan.networks.layers import BatchNorm
from study.gan.networks.resnet import DiscriminatorBlock, GeneratorBlock
from tests.gan.plain import (
    Reader,
    pair,
    resnet19_discriminator,
    resnet19_generator,
    resnet_cifar_discriminator,
    resnet_cifar_generator,
    spread_out,
)

ABLATION = ARCHITECTURES["resnet_cifar"].options["ablation"]
CODES = ABLATION.choices
IDENTITIES = {"identities": (2, 3)}


def unit_tanh(maps):
    return (torch.tanh(maps) + 1) / 2


def latents(count=8):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def images(size, channels=3):
    return torch.rand(4, channels, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def shapes(network, ndim=4):
    return [tuple(p.shape) for p in network.parameters() if p.ndim == ndim]


def recorded(code, **keywords):
    """D of an ablation code, with the (channels, size) that it asked normalisations for."""
    places = []

    def norm(channels, size):
        places.append((channels, size))
        return nn.Identity()

    _, discriminator = pair("resnet_cifar", 16, width=4, channels=3, norm=norm, ablation=code, **keywords)
    return discriminator, places


@pytest.mark.parametrize("up", [False, True])
def test_generator_blocks_rescale_as_told(up):
    block = GeneratorBlock(3, 5, up=up)
    assert block(torch.rand(2, 3, 4, 4)).shape == (2, 5, 8 if up else 4, 8 if up else 4)
    assert shapes(block) == [(5, 3, 3, 3), (5, 3, 3, 3), (5, 5, 3, 3)]


@pytest.mark.parametrize("down", [False, True])
def test_discriminator_blocks_rescale_as_told(down):
    places = []

    def norm(channels, size):
        places.append((channels, size))
        return nn.Identity()

    block = DiscriminatorBlock(3, 5, size=4, norm=norm, down=down)
    assert block(torch.rand(2, 3, 4, 4)).shape == (2, 5, 2 if down else 4, 2 if down else 4)
    assert shapes(block) == [(5, 3, 3, 3), (5, 3, 3, 3), (5, 5, 3, 3)]
    assert places == [(3, 4), (5, 4)]


@pytest.mark.parametrize(("resolution", "widths"), [(64, 6), (128, 6), (256, 7)])
def test_resnet19_doubles_as_often_as_its_resolution_takes(resolution, widths):
    generator, discriminator = pair("resnet19", resolution, channels=3)
    spread_out(generator, 0.2)
    doublings = {64: 4, 128: 5, 256: 6}[resolution]
    buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    expected = resnet19_generator(Reader(generator, buffers, eps=1e-5), latents(2), 4, doublings)
    made = generator(latents(2))
    assert made.shape == (2, 3, resolution, resolution)
    torch.testing.assert_close(made, expected, rtol=1e-10, atol=1e-11)
    multiples = [8, 8, 4, 4, 2, 1, 1][:widths]
    assert [block.shortcut.in_channels // 2 for block in generator.layers[: widths - 1]] == multiples[:-1]
    assert [block.shortcut.out_channels // 2 for block in generator.layers[: widths - 1]] == multiples[1:]
    assert len(shapes(discriminator)) == 18
    spread_out(discriminator, 0.2)
    expected = resnet19_discriminator(Reader(discriminator), images(resolution))
    torch.testing.assert_close(discriminator(images(resolution)), expected, rtol=1e-11, atol=1e-11)


def test_the_ablation_is_a_word_of_the_papers_codes():
    assert (ABLATION.default, len(set(CODES))) == ("DEF", 9)
    assert set(CODES) == {"DEF", "RES", "CIN", "OPT", "CIN_OPT", "SUM", "TAN", "EPS", "ALL"}
    with pytest.raises(InputError, match="option ablation XYZ: must be one of DEF, RES, CIN"):
        ABLATION.check("ablation", "XYZ")


@pytest.mark.parametrize(
    ("code", "eps", "squash"),
    [
        *((code, 1e-5, torch.sigmoid) for code in ("DEF", "RES", "CIN", "OPT", "CIN_OPT", "SUM")),
        ("TAN", 1e-5, unit_tanh),
        ("EPS", 2e-5, torch.sigmoid),
        ("ALL", 2e-5, unit_tanh),
    ],
)
def test_generators_of_the_ablation_differ_in_eps_and_squashing_alone(code, eps, squash):
    generator, _ = pair("resnet_cifar", 16, ablation=code)
    spread_out(generator, 0.05)
    default = pair("resnet_cifar", 16)[0]
    assert shapes(generator) == shapes(default)
    buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    read = Reader(generator, buffers, eps=eps)
    expected = resnet_cifar_generator(read, latents(), 2, squash=squash)
    read.assert_done()
    got = generator(latents())
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-12)
    plain = spread_out(default, 0.05)(latents())
    assert torch.equal(got, plain) == ((eps, squash) == (1e-5, torch.sigmoid))


@pytest.mark.parametrize(
    ("code", "signed", "variant"),
    [
        ("DEF", False, {}),
        ("RES", False, IDENTITIES),
        ("CIN", False, {}),  # its parameters alone
        ("OPT", False, {"raw_first": True}),
        ("CIN_OPT", False, {"raw_first": True}),
        ("SUM", False, {"pool": torch.sum}),
        ("TAN", True, {}),
        ("EPS", False, {}),
        ("ALL", True, {**IDENTITIES, "raw_first": True, "pool": torch.sum}),
    ],
)
def test_discriminators_of_the_ablation_compute_what_their_code_says(code, signed, variant):
    discriminator, _ = recorded(code)
    spread_out(discriminator, 0.2)
    read, inputs = Reader(discriminator), images(16) - 0.5  # on what is never negative a ReLU could be missed
    expected = resnet_cifar_discriminator(read, inputs * 2 - 1 if signed else inputs, **variant)
    read.assert_done()
    torch.testing.assert_close(discriminator(inputs), expected, rtol=1e-11, atol=1e-11)


SHORTCUTS = [(8, 3), (8, 8), (8, 8), (8, 8)]
"""[out, in] of the shortcuts' kernels at width 4."""


@pytest.mark.parametrize("code", CODES)
def test_kernels_and_places_of_the_ablation(code):
    """RES drops the two shortcuts that neither pool nor widen; CIN narrows the first block, unless OPT widens it."""
    discriminator, places = recorded(code)
    inside = 3 if code == "CIN" else 8
    shortcuts = [[kernel] for kernel in SHORTCUTS]
    if code in ("RES", "ALL"):
        shortcuts[2:] = [[], []]
    main = [[(inside, 3), (8, inside)], *[[(8, 8), (8, 8)]] * 3]
    kernels = [kernel for pair_ in zip(shortcuts, main, strict=True) for part in pair_ for kernel in part]
    assert shapes(discriminator) == [(*kernel, 3, 3) for kernel in kernels]
    assert shapes(discriminator, 2) == [(1, 8)]
    leading = [] if code in ("OPT", "CIN_OPT", "ALL") else [(3, 16)]
    assert places == [*leading, (inside, 16), (8, 8), (8, 8), *[(8, 4)] * 4]


def test_codes_leave_all_but_their_own_parameters_as_they_are():
    counts = {code: sum(p.numel() for p in recorded(code)[0].parameters()) for code in CODES}
    one = 8 * 8 * 9 + 8
    narrower = (3 * 8 * 9 + 8 + one) - (3 * 3 * 9 + 3 + 3 * 8 * 9 + 8)
    lost = {"RES": 2 * one, "ALL": 2 * one, "CIN": narrower}
    assert {code: counts["DEF"] - count for code, count in counts.items()} == {c: lost.get(c, 0) for c in CODES}


def test_on_images_opt_and_cin_opt_compute_what_the_default_does():
    """Only the first block widens, and on images, which are never negative, its first ReLU changes nothing."""
    networks = {code: spread_out(recorded(code)[0], 0.2) for code in ("DEF", "OPT", "CIN_OPT", "CIN")}
    outputs = {code: network(images(16)) for code, network in networks.items()}
    assert torch.equal(outputs["OPT"], outputs["DEF"])
    assert torch.equal(outputs["CIN_OPT"], outputs["DEF"])
    assert not torch.allclose(outputs["CIN"], outputs["DEF"])
    assert not torch.allclose(networks["OPT"](images(16) - 0.5), networks["DEF"](images(16) - 0.5))


def test_a_methods_ablation_reaches_both_networks():
    trial = Trial(
        dataset="digits",
        method=Method(architecture="resnet_cifar", options=(("ablation", "ALL"),)),
        hyperparameters=Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1),
        training=Training(discriminator_steps=1, width=2, latent_dim=3),
    )
    gan = build(trial, 3, 8)
    assert {m.eps for m in gan.generator.modules() if isinstance(m, BatchNorm)} == {2e-5}
    assert len(shapes(gan.discriminator)) == 12 - 2
