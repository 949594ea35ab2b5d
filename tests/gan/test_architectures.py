"""Every architecture of the menu: shapes, ranges, initial values; and SNDCGAN against the study's layer table."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, leaky_relu, linear, relu

from study.gan.architectures import ARCHITECTURES
from study.gan.model import build, initial_state
from study.names import InputError
from study.trial import Hyperparameters, Method, Training, Trial


def gan_and_state(architecture="sndcgan", *, resolution=8, channels=1, width=2, latent_dim=3, normalizations=()):
    trial = Trial(
        dataset="digits",
        method=Method(architecture=architecture, normalizations=normalizations),
        hyperparameters=Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1),
        training=Training(discriminator_steps=1, width=width, latent_dim=latent_dim),
    )
    gan = build(trial, channels, resolution)
    return gan, initial_state(gan, torch.Generator().manual_seed(0))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def networks(resolution, channels=3, width=64, latent_dim=128):
    size = {"width": width, "resolution": resolution, "channels": channels}
    with torch.device("meta"):
        generator = ARCHITECTURES["sndcgan"].generator(latent_dim=latent_dim, **size)
        discriminator = ARCHITECTURES["sndcgan"].discriminator(norm=lambda *_: nn.Identity(), **size)
    return generator, discriminator


def check_shapes_and_ranges(architecture, resolution, channels):
    gan, state = gan_and_state(architecture, resolution=resolution, channels=channels)
    latents = torch.rand(3, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    loud = {name: p * 50 for name, p in state.generator.items()}
    for parameters in (state.generator, loud):
        images, _ = gan.generate(parameters, state.generator_buffers, latents)
        sampled = gan.sample(parameters, state.generator_buffers, latents)
        for result in (images, sampled):
            assert result.shape == (3, channels, resolution, resolution)
            assert result.dtype == torch.float32
            assert result.min() >= 0
            assert result.max() <= 1
    assert images.min() < 0.05
    assert images.max() > 0.95
    assert gan.critic(state.discriminator, state.weight_norm)(images).shape == (3,)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_outputs_at_the_smallest_size(architecture, channels, smallest_size):
    check_shapes_and_ranges(architecture, smallest_size(architecture), channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [8, 24, 32, 128])
def test_sndcgan_at_the_sizes_of_the_datasets(resolution, channels):
    check_shapes_and_ranges("sndcgan", resolution, channels)


@pytest.mark.parametrize("resolution", [0, 4, 12, 33, -8])
def test_sizes_that_do_not_fit_are_refused(resolution):
    with pytest.raises(InputError, match=rf"sndcgan: {resolution} px .* multiple of 8"):
        gan_and_state(resolution=resolution)


def test_initial_values_depend_on_the_rng_alone(architecture, smallest_size):
    size = smallest_size(architecture)
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(gan_and_state(architecture, resolution=size)[1])
    for part in ("generator", "discriminator"):
        assert all(torch.equal(p, getattr(states[1], part)[name]) for name, p in getattr(states[0], part).items())
    gan, _ = gan_and_state(architecture, resolution=size)
    other = initial_state(gan, torch.Generator().manual_seed(9))
    assert not any(torch.equal(p, other.generator[name]) for name, p in states[0].generator.items() if p.ndim >= 2)


def test_sndcgan_has_the_parameters_of_the_layer_table_at_32_px():
    generator, discriminator = networks(32)
    units = 4 * 4 * 512
    assert count(generator) == (
        (128 * units + units)  # linear
        + 2 * units  # batch norm on the flat vector
        + (512 * 256 * 4 * 4 + 256)
        + 2 * 256
        + (256 * 128 * 4 * 4 + 128)
        + 2 * 128
        + (128 * 64 * 4 * 4 + 64)
        + 2 * 64
        + (64 * 3 * 3 * 3 + 3)
    )
    assert count(discriminator) == (
        (3 * 64 * 3 * 3 + 64)
        + (64 * 128 * 4 * 4 + 128)
        + (128 * 128 * 3 * 3 + 128)
        + (128 * 256 * 4 * 4 + 256)
        + (256 * 256 * 3 * 3 + 256)
        + (256 * 512 * 4 * 4 + 512)
        + (512 * 512 * 3 * 3 + 512)
        + (8192 + 1)
    )


def test_sndcgan_at_128_px_differs_in_its_two_linear_layers_alone():
    small, large = networks(32), networks(128)
    assert count(large[0]) - count(small[0]) == (128 + 1 + 2) * (131_072 - 8_192)
    assert count(large[1]) - count(small[1]) == 131_072 - 8_192


def test_sndcgan_initial_values_are_normal_with_std_0_02_zeros_and_ones():
    _, state = gan_and_state(resolution=16, width=8, channels=3, latent_dim=16, normalizations=("layer_norm",))
    weights = {}
    for network in (state.generator, state.discriminator):
        for name, parameter in network.items():
            if parameter.ndim >= 2:
                weights[name, id(network)] = parameter.flatten()
            else:
                assert (parameter == (0 if name.endswith("bias") else 1)).all(), name
    assert len(weights) == 5 + 8
    for name, weight in weights.items():
        n = weight.numel()
        assert weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * n)), name
        assert weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / math.sqrt(n)), name
    together = torch.cat(list(weights.values()))
    assert together.std().item() == pytest.approx(0.02, rel=0.01)
    assert (together.abs() > 0.04).float().mean().item() == pytest.approx(0.0455, rel=0.05)  # not truncated at 2 std


def table_generator(parameters, buffers, latents, *, training):
    """G of the layer table, written out; `buffers` are moved in place where it trains."""
    values, kernels = iter(parameters.values()), []

    def norm(maps):
        mean, variance, _ = (next(state) for _ in range(3))
        return batch_norm(maps, mean, variance, next(values), next(values), training, momentum=0.1, eps=2e-5)

    state = iter(buffers.values())
    maps = relu(norm(linear(latents, next(values), next(values))))
    maps = maps.view(len(latents), -1, 1, 1)  # 8 px: a seed map of 1 px
    for _ in range(3):
        weight, bias = next(values), next(values)
        kernels.append(tuple(weight.shape[2:]))
        maps = relu(norm(conv_transpose2d(maps, weight, bias, stride=2, padding=1)))
    maps = conv_transpose2d(maps, next(values), next(values), padding=1)
    assert kernels == [(4, 4)] * 3
    return (torch.tanh(maps) + 1) / 2


def table_discriminator(parameters, images):
    values, maps = iter(parameters.values()), images * 2 - 1
    for stride in (1, 2, 1, 2, 1, 2, 1):
        maps = leaky_relu(conv2d(maps, next(values), next(values), stride=stride, padding=1), 0.1)
    return linear(maps.flatten(1), next(values), next(values)).flatten()


def test_sndcgan_discriminator_computes_the_layer_table(setup):
    gan, state, _, real, *_ = setup("none")
    got = gan.critic(state.discriminator, {})(real)
    torch.testing.assert_close(got, table_discriminator(state.discriminator, real), rtol=1e-12, atol=1e-12)
    shapes = [tuple(p.shape[2:]) for p in state.discriminator.values() if p.ndim == 4]
    assert shapes == [(3, 3), (4, 4), (3, 3), (4, 4), (3, 3), (4, 4), (3, 3)]


def test_sndcgan_generator_computes_the_layer_table_and_its_averages_decay_by_0_9(setup):
    gan, state, _, _, latents, _ = setup("none", spread=0.01, batch=8)
    moved = {name: buffer.clone() for name, buffer in state.generator_buffers.items()}
    expected = table_generator(state.generator, moved, latents, training=True)
    images, buffers = gan.generate(state.generator, state.generator_buffers, latents)
    torch.testing.assert_close(images, expected, rtol=1e-11, atol=1e-12)
    for name, buffer in buffers.items():
        if buffer.is_floating_point():
            torch.testing.assert_close(buffer, moved[name], rtol=1e-11, atol=1e-13)
            assert not torch.equal(buffer, state.generator_buffers[name])
    sampled = gan.sample(state.generator, buffers, latents)
    scored = table_generator(state.generator, moved, latents, training=False)
    torch.testing.assert_close(sampled, scored, rtol=1e-11, atol=1e-12)
    assert not torch.allclose(sampled, images, rtol=1e-3, atol=1e-3)


def test_batch_norm_of_the_projection_has_one_scale_per_unit():
    _, state = gan_and_state(resolution=16, width=2)
    assert [tuple(p.shape) for p in list(state.generator.values())[:4]] == [(64, 3), (64,), (64,), (64,)]
