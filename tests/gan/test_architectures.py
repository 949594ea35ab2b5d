"""Every architecture of the menu: shapes, ranges, initial values, traces; and the study's against its layer tables."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map

from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.architectures import ARCHITECTURES
from study.gan.model import build, initial_state
from study.gan.networks.layers import BatchNorm
from tests.conftest import quick_only
from tests.gan.plain import COUNTS, TABLES, Mark, Reader, pair, spread_out

STUDY_SIZES = [(name, size) for name, entry in ARCHITECTURES.items() for size in entry.study_sizes]


def gan_and_state(architecture, resolution):
    trial = Trial(
        dataset="digits",
        method=Method(architecture=architecture),
        hyperparameters=Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1),
        training=Training(discriminator_steps=1, width=2, latent_dim=3),
    )
    gan = build(trial, 1, resolution)
    return gan, initial_state(gan, torch.Generator().manual_seed(0))


def initialized(architecture, resolution, seed=0, **keywords):
    networks = pair(architecture, resolution, **keywords)
    rng = torch.Generator().manual_seed(seed)
    for network in networks:
        ARCHITECTURES[architecture].initialize(network, rng)
    return networks


def uniform(*shape, seed=1, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def check_shapes_and_ranges(architecture, resolution, channels):
    generator, discriminator = initialized(architecture, resolution, channels=channels)
    latents = uniform(3, 3) * 2 - 1
    results = [generator(latents), generator.eval()(latents)]
    for parameter in generator.parameters():
        parameter.data *= 50
    results += [generator(latents), generator.train()(latents)]
    for images in results:
        assert images.shape == (3, channels, resolution, resolution)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
    assert images.min() < 0.05
    assert images.max() > 0.95
    assert discriminator(images).shape == (3,)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_outputs_at_the_smallest_size(architecture, channels, smallest_size):
    check_shapes_and_ranges(architecture, smallest_size(architecture), channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("architecture", "resolution"), [*STUDY_SIZES, ("sndcgan", 24), ("resnet_cifar", 24)])
def test_images_and_outputs_at_the_sizes_of_the_datasets(architecture, resolution, channels):
    check_shapes_and_ranges(architecture, resolution, channels)


@pytest.mark.parametrize("resolution", [0, 4, 33, -64])
def test_no_architecture_takes_sizes_that_do_not_halve(architecture, resolution):
    with pytest.raises(
        InputError, match=rf"^--architecture {architecture}: {resolution} px does not fit; it takes .*$"
    ):
        gan_and_state(architecture, resolution)


@pytest.mark.parametrize(
    ("name", "refused", "taken"),
    [
        ("sndcgan", (12, 20), (8, 24, 40)),
        ("dcgan", (8, 24, 40), (16, 48, 80)),
        ("resnet_cifar", (12, 20), (8, 24, 40)),
        ("resnet19", (16, 32, 96, 192), (64, 128, 256)),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, refused, taken):
    check_size = ARCHITECTURES[name].check_size
    for size in refused:
        with pytest.raises(InputError, match=f"{name}: {size} px .* (multiple of|powers of two)"):
            check_size(size)
    for size in (*taken, *ARCHITECTURES[name].study_sizes):
        check_size(size)


def test_initial_values_depend_on_the_rng_alone(architecture, smallest_size):
    size = smallest_size(architecture)
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(gan_and_state(architecture, size)[1])
    for part in ("generator", "discriminator"):
        assert all(torch.equal(p, getattr(states[1], part)[name]) for name, p in getattr(states[0], part).items())
    gan, _ = gan_and_state(architecture, size)
    other = initial_state(gan, torch.Generator().manual_seed(9))
    for part in ("generator", "discriminator"):
        values = getattr(states[0], part)
        assert not any(torch.equal(p, getattr(other, part)[name]) for name, p in values.items() if p.ndim >= 2)


PLAIN_NORMAL = (0.02, math.erfc(math.sqrt(2)))
TRUNCATED = (0.01759, 0.0)
"""(standard deviation, share of values beyond 0.04)."""


@pytest.mark.parametrize("architecture", TABLES)
def test_initial_values_have_the_distributions_of_the_released_code(architecture):
    """Truncated at two standard deviations in convolutions, but for SNDCGAN's; zeros and ones everywhere else."""
    resolution = TABLES[architecture][0]
    networks = initialized(
        architecture, resolution, width=8, channels=3, latent_dim=16, norm=lambda c, s: nn.BatchNorm2d(c)
    )
    values = {PLAIN_NORMAL: [], TRUNCATED: []}
    for module in (module for network in networks for module in network.modules()):
        truncates = isinstance(module, nn.Conv2d) and architecture != "sndcgan"
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim >= 2:
                values[TRUNCATED if truncates else PLAIN_NORMAL].append(parameter.detach().flatten())
            else:
                assert (parameter == (0 if name == "bias" else 1)).all(), (module, name)
    assert len(values[TRUNCATED]) > (0 if architecture != "sndcgan" else -1)
    for (std, beyond), weights in values.items():
        for weight in weights:
            n = weight.numel()
            assert weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * n))
            assert weight.mean().item() == pytest.approx(0, abs=5 * std / math.sqrt(n))
        if weights:
            together = torch.cat(weights)
            assert together.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * together.numel()))
            outside = (together.abs() > 0.04 * (1 + 1e-6)).double().mean().item()
            assert outside == pytest.approx(beyond, rel=5 / math.sqrt(0.0455 * together.numel()))


@pytest.mark.parametrize(("architecture", "resolution"), [entry for entry in STUDY_SIZES if entry[0] in COUNTS])
def test_networks_have_the_parameters_of_the_layer_table(architecture, resolution):
    with torch.device("meta"):
        networks = pair(architecture, resolution, width=64, channels=3, latent_dim=128)
    got = tuple(sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    assert got == COUNTS[architecture](resolution)


@pytest.mark.parametrize(
    ("architecture", "layers"), [("sndcgan", 8), ("dcgan", 5), ("resnet_cifar", 13), ("resnet19", 19)]
)
def test_weight_layers_of_the_discriminator(architecture, layers):
    _, discriminator = pair(architecture, TABLES[architecture][0], norm=lambda c, s: nn.BatchNorm2d(c))
    assert sum(parameter.ndim >= 2 for parameter in discriminator.parameters()) == layers


@pytest.mark.parametrize("architecture", TABLES)
def test_discriminators_compute_the_layer_table(architecture):
    resolution, _, _, _, table = TABLES[architecture]
    marks = []

    def norm(channels, size):
        marks.append(Mark(len(marks) + 1, channels, size))
        return marks[-1]

    images = uniform(4, 3, resolution, resolution, dtype=torch.float64)
    for marked in (False, True):
        _, discriminator = pair(architecture, resolution, channels=3, norm=norm if marked else None)
        spread_out(discriminator, 0.2)
        read = Reader(discriminator, marked=marked)
        expected = table(read, images)
        read.assert_done()
        assert expected.std() > 1e-3 * expected.abs().mean()
        torch.testing.assert_close(discriminator(images), expected, rtol=1e-11, atol=1e-12)
    assert read.places == len(marks) > 0


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("sndcgan", [(8, 1), (16, 2), (16, 2), (32, 4), (32, 4), (64, 8), (64, 8)]),
        ("dcgan", [(16, 4), (32, 8), (64, 16)]),
        ("resnet_cifar", [(3, 1), (16, 1), (16, 2), (16, 2), *[(16, 4)] * 4]),
        (
            "resnet19",
            [
                *[(3, 1), (8, 1), (8, 2), (16, 2), (16, 4), (32, 4)],
                *[(32, 8), (32, 8), (32, 16), (64, 16), (64, 32), (64, 32)],
            ],
        ),
    ],
)
def test_normalisations_are_asked_for_by_channels_and_size(architecture, expected):
    """At width 8; sizes are given as what the resolution is divided by."""
    resolution, places = TABLES[architecture][0], []

    def norm(channels, size):
        places.append((channels, resolution / size))
        return nn.Identity()

    pair(architecture, resolution, width=8, channels=3, norm=norm)
    assert places == expected


@pytest.mark.parametrize("architecture", TABLES)
def test_generators_compute_the_layer_table_and_their_averages_decay_by_0_9(architecture):
    resolution, seed, eps, table, _ = TABLES[architecture]
    generator, _ = pair(architecture, resolution, channels=3)
    spread_out(generator, 0.2)
    before = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    moved = {name: buffer.clone() for name, buffer in before.items()}
    latents = uniform(8, 3, dtype=torch.float64) * 2 - 1
    read = Reader(generator, moved, eps=eps)
    expected = table(read, latents, seed)
    read.assert_done()
    images = generator(latents)
    torch.testing.assert_close(images, expected, rtol=1e-11, atol=1e-12)
    for name, buffer in generator.named_buffers():
        torch.testing.assert_close(buffer, moved[name], rtol=1e-11, atol=1e-13)
        assert not torch.equal(buffer, before[name])
    sampled = generator.eval()(latents)
    scored = table(Reader(generator, moved, training=False, eps=eps), latents, seed)
    torch.testing.assert_close(sampled, scored, rtol=1e-11, atol=1e-12)
    assert not torch.allclose(sampled, images, rtol=1e-3, atol=1e-3)
    assert {norm.eps for norm in generator.modules() if isinstance(norm, BatchNorm)} == {eps}


def test_batch_norm_of_sndcgans_projection_has_one_scale_per_unit():
    generator, _ = pair("sndcgan", 16)
    assert [tuple(p.shape) for p in list(generator.parameters())[:4]] == [(64, 3), (64,), (64,), (64,)]


def test_channels_last_parameters_make_channels_last_maps(architecture, smallest_size):
    """As the model lays its parameters out; a layer that lost it would slow down all that follow."""
    size, layouts = smallest_size(architecture), []

    def look(module, inputs, maps):
        layouts.append(maps.stride(1) == 1 or maps.shape[1] == 1 or maps.shape[-1] == 1)

    generator, discriminator = (net.to(memory_format=torch.channels_last) for net in pair(architecture, size))
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(look)
    discriminator(generator(uniform(2, 3)))
    assert len(layouts) > 4
    assert all(layouts)


def stacked(networks):
    states = [network.state_dict() for network in networks]
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def copied(tree):
    return tree_map(torch.clone, tree)


@pytest.mark.parametrize("architecture", quick_only(ARCHITECTURES, ["sndcgan"]))
def test_the_trace_of_two_models_at_once_computes_what_each_computes(architecture, smallest_size):
    """Under vmap, in training mode, twice differentiated, as the step does."""
    size = smallest_size(architecture)
    models = [[spread_out(network, 0.2, seed) for network in pair(architecture, size)] for seed in (0, 1)]
    generator, discriminator = pair(architecture, size)
    latents = uniform(2, 3, dtype=torch.float64) * 2 - 1

    def value(weights, images):
        def critic(x):
            return functional_call(discriminator, weights, x).sum()

        return torch.func.grad(critic)(images).square().sum() + critic(images).square()

    def both(parameters, weights, latents):
        images = functional_call(generator, parameters, latents)
        return images, torch.func.grad(value)(weights, images)

    states = tuple(stacked(networks) for networks in zip(*models, strict=True))
    expected = [both(*copied(tree_map(lambda value, i=i: value[i], states)), latents) for i in (0, 1)]
    expected = tree_map(lambda *values: torch.stack(values), *expected)
    program = torch.func.vmap(both, in_dims=(0, 0, None))
    traced = make_fx(program, tracing_mode="fake")(*states, latents)
    torch.testing.assert_close(traced(*copied(states), latents), expected, rtol=1e-9, atol=1e-11)
