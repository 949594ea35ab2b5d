"""Penalties against closed forms, on discriminators whose gradients are known."""

import math

import pytest
import torch

from study.gan.model import build
from study.gan.penalties import PENALTIES
from study.trial import Hyperparameters, Method, Training, Trial

SHAPE = torch.Size((5, 2, 4, 4))
GRADIENT_PENALTIES = ["gradient_penalty", "dragan"]


def built(name):
    return PENALTIES[name].build(**PENALTIES[name].options)


def batches(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(SHAPE, generator=rng, dtype=torch.float64) for _ in range(2))


def linear(norm):
    """D(x) = <w, x> with ||w|| = norm: its gradient is w everywhere."""
    weight = torch.randn(SHAPE[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight *= norm / weight.norm() if norm else 0
    return lambda images: (images * weight).sum(dim=(1, 2, 3))


def with_cubic(name, real, fake, noise):
    """The penalty of D(x) = sum of x^3 / 3: its gradient, x^2, shows where the penalty takes it."""
    return built(name).value(lambda images: images.pow(3).sum(dim=(1, 2, 3)) / 3, {}, real, fake, noise)


def cubic_penalty(points):
    slopes = (1e-4 + points.pow(4).sum(dim=(1, 2, 3))).sqrt()
    return ((slopes - 1) ** 2).mean()


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
@pytest.mark.parametrize("norm", [0.0, 0.01, 0.5, 1.0, 3.0])
def test_penalty_of_a_linear_discriminator(name, norm):
    (real, fake), penalty = batches(), built(name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    value = penalty.value(linear(norm), {}, real, fake, noise)
    assert value.shape == ()
    assert value.item() == pytest.approx((math.sqrt(1e-4 + norm**2) - 1) ** 2, rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_the_only_zero_is_at_slope_one_and_it_is_two_sided(name):
    (real, fake), penalty = batches(), built(name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    at = {norm: penalty.value(linear(norm), {}, real, fake, noise).item() for norm in (0.9, math.sqrt(1 - 1e-4), 1.1)}
    low, zero, high = at.values()
    assert zero == pytest.approx(0, abs=1e-24)
    assert low == pytest.approx(0.01, rel=2e-3)
    assert high == pytest.approx(0.01, rel=2e-3)


@pytest.mark.parametrize("norm", [0.0, 1.0])
@pytest.mark.parametrize("name", GRADIENT_PENALTIES)
def test_gradient_of_the_penalty_is_finite_where_the_slope_is_zero(name, norm):
    (real, fake), penalty = batches(), built(name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    scale = torch.tensor(norm, dtype=torch.float64, requires_grad=True)
    base = linear(1.0)
    (gradient,) = torch.autograd.grad(penalty.value(lambda x: scale * base(x), {}, real, fake, noise), scale)
    slope = math.sqrt(1e-4 + norm**2)
    assert gradient.item() == pytest.approx(2 * (slope - 1) * norm / slope, rel=1e-12, abs=1e-18)


@pytest.mark.parametrize(("noise", "where"), [(0.0, "real"), (1.0, "fake")])
def test_gradient_penalty_at_the_ends_is_at_the_real_and_the_fake_images(noise, where):
    real, fake = batches()
    value = with_cubic("gradient_penalty", real, fake, torch.full((5, 1, 1, 1), noise, dtype=torch.float64))
    assert value.item() == pytest.approx(cubic_penalty({"real": real, "fake": fake}[where]).item(), rel=1e-12)


def test_gradient_penalty_is_taken_between_real_and_fake_with_one_number_per_image():
    real, fake = batches()
    noise = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64).view(5, 1, 1, 1)
    points = torch.stack([(1 - a) * x + a * y for a, x, y in zip(noise.flatten(), real, fake, strict=True)])
    assert with_cubic("gradient_penalty", real, fake, noise).item() == pytest.approx(
        cubic_penalty(points).item(), rel=1e-12
    )


def test_dragan_is_taken_around_real_images_by_one_population_std_and_clipped():
    real, fake = batches()
    real[0] = 0.0  # below 0 before it is clipped
    real[1] = 1.0
    noise = torch.rand(SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    std = (sum((x - real.mean().item()) ** 2 for x in real.flatten().tolist()) / real.numel()) ** 0.5
    unclipped = real + std * (noise - 0.5)
    assert unclipped.min() < -0.1
    assert unclipped.max() > 1.1
    expected = cubic_penalty(unclipped.clip(0, 1)).item()
    assert with_cubic("dragan", real, fake, noise).item() == pytest.approx(expected, rel=1e-12)
    assert with_cubic("dragan", real, 1 - fake, noise).item() == pytest.approx(expected, rel=1e-12)
    others = {  # what it must not be, each far from it by the same measure
        "unclipped": unclipped,
        "sample std": (real + real.std() * (noise - 0.5)).clip(0, 1),
        "std of each image": (real + real.std(dim=(1, 2, 3), keepdim=True, correction=0) * (noise - 0.5)).clip(0, 1),
        "not centred": (real + std * noise).clip(0, 1),
    }
    for points in others.values():
        assert cubic_penalty(points).item() != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_noise_is_uniform_from_0_to_1_of_the_declared_shape_and_from_the_rng_alone(name):
    draw = built(name).draw_noise
    shape = torch.Size((4000, 1, 2, 2))
    first, again, other = (draw(shape, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    expected = {"gradient_penalty": (4000, 1, 1, 1), "dragan": tuple(shape), "l2": (0,)}
    assert tuple(first.shape) == expected.get(name, tuple(first.shape))
    if first.numel():
        assert not torch.equal(first, other)
        assert 0 <= first.min() < 0.01
        assert 0.99 < first.max() < 1
        assert first.mean().item() == pytest.approx(0.5, abs=5 * 12**-0.5 / first.numel() ** 0.5)


def test_l2_is_the_mean_over_layers_of_half_the_squared_norm_of_the_weights():
    weights = {"a.weight": torch.full((2, 3, 2, 2), 2.0), "b.weight": torch.full((1, 4), 3.0)}
    rest = {"a.bias": torch.full((2,), 100.0), "norm.weight": torch.full((2,), 100.0)}
    value = built("l2").value(None, {**weights, **rest}, None, None, None)
    assert value.item() == pytest.approx((24 * 4 / 2 + 4 * 9 / 2) / 2, rel=1e-7)


@pytest.mark.parametrize("normalization", ["spectral_norm", "layer_norm", "batch_norm"])
def test_l2_of_sndcgan_divides_by_its_eight_layers_and_sees_raw_weights_only(normalization):
    trial = Trial(
        dataset="digits",
        method=Method(architecture="sndcgan", normalizations=(normalization,), penalty="l2"),
        hyperparameters=Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1, penalty_weight=1),
        training=Training(discriminator_steps=1, width=1),
    )
    gan = build(trial, channels=1, resolution=8)
    ones = {name: torch.ones(p.shape) for name, p in gan.discriminator.named_parameters()}
    channels = [1, 1, 2, 2, 4, 4, 8, 8]
    kernels = [9, 16, 9, 16, 9, 16, 9]
    count = sum(a * b * k for a, b, k in zip(channels, channels[1:], kernels, strict=False)) + 8
    assert gan.penalty.value(None, ones, None, None, None).item() == pytest.approx(count / 2 / 8, rel=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_value_does_not_change_what_it_is_given(name):
    (real, fake), penalty = batches(), built(name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    parameters = {"weight": torch.ones(1, 2)}
    before = [t.clone() for t in (real, fake, noise, parameters["weight"])]
    penalty.value(linear(1.0), parameters, real, fake, noise)
    assert all(torch.equal(a, b) for a, b in zip(before, (real, fake, noise, parameters["weight"]), strict=True))
