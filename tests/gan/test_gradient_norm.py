"""The normalisation of D's output by its gradient (GN-GAN) against closed forms and its promises."""

import pytest
import torch
from torch.nn.functional import leaky_relu, softplus

from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.networks.discriminator import image_gradients
from study.gan.step import discriminator_step, generator_step
from tests.gan.menus import built

NORMALIZE = built(NORMALIZATIONS, "gradient_norm").wrap
SHAPE = torch.Size((6, 2, 3, 3))


def affine(norm, offset=0.0):
    """f(x) = <w, x> + offset with ||w|| = norm."""
    weight = torch.randn(SHAPE[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight *= norm / weight.norm() if norm else 0
    return lambda images: (images * weight).sum(dim=(1, 2, 3)) + offset


def piecewise(images):
    """Linear where it is smooth, with slopes from place to place."""
    rng = torch.Generator().manual_seed(2)
    first, second = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((18, 12), (12, 1)))
    return (leaky_relu(images.flatten(1) @ first - 0.5, 0.1) @ second).squeeze(1) + 0.3


def images(seed=0):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("norm", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, -2.0])
def test_gradient_norm_of_a_linear_critic(norm, offset):
    f = affine(norm, offset)
    got, outputs = NORMALIZE(f)(images()), f(images())
    torch.testing.assert_close(got, outputs / (norm + outputs.abs()), rtol=1e-12, atol=1e-15)
    assert (got.abs() <= 1).all()
    assert (got * outputs > 0).all()


def test_gradient_norm_is_from_minus_one_to_one_and_the_same_for_any_multiple_of_the_critic():
    spread_out = torch.cat([images(seed) * 100 - 50 for seed in range(20)])
    got = NORMALIZE(piecewise)(spread_out)
    assert -1 <= got.min() < -0.9
    assert 0.9 < got.max() <= 1
    torch.testing.assert_close(NORMALIZE(lambda x: 7 * piecewise(x))(spread_out), got, rtol=1e-12, atol=1e-14)


def test_a_piecewise_linear_critic_over_its_gradient_norm_has_slope_one():
    def over_its_slope(x):
        slopes, outputs = image_gradients(piecewise, x)
        return outputs / slopes.flatten(1).norm(dim=1)

    gradients, _ = image_gradients(over_its_slope, images())
    torch.testing.assert_close(gradients.flatten(1).norm(dim=1), torch.ones(6).double(), rtol=1e-12, atol=0)
    plain, _ = image_gradients(piecewise, images())
    assert plain.flatten(1).norm(dim=1).std() > 0.1  # where its own differs from image to image
    slopes, outputs = plain.flatten(1).norm(dim=1), piecewise(images())
    normalised, _ = image_gradients(NORMALIZE(piecewise), images())
    expected = (slopes / (slopes + outputs.abs())).square()  # of f / (s + |f|) by the quotient rule
    torch.testing.assert_close(normalised.flatten(1).norm(dim=1), expected, rtol=1e-11, atol=0)


def test_gradient_norm_is_zero_with_finite_gradients_where_the_critic_and_its_slope_are_zero():

    def value(scale, offset):
        f = affine(1.0)
        return NORMALIZE(lambda x: scale * f(x) + offset)(images()).sum()

    zero = torch.zeros((), dtype=torch.float64)
    assert value(zero, zero) == 0
    assert all(gradient.isfinite() for gradient in torch.func.grad(value, argnums=(0, 1))(zero, zero))


def test_gradient_norm_is_used_by_both_networks_and_the_penalty(setup):
    gan, state, settings, real, latents, noise = setup("gradient_norm+gradient_penalty", spread=0.4)
    plain = setup("gradient_penalty", spread=0.4).gan
    normalised, raw = (g.critic(state.discriminator, state.vectors) for g in (gan, plain))
    torch.testing.assert_close(normalised(real), NORMALIZE(raw)(real), rtol=1e-12, atol=1e-14)
    fake, _ = gan.generate(state.generator, state.generator_buffers, latents)
    _, metrics = discriminator_step(gan, state, settings, real, latents, noise)
    wrapped = NORMALIZE(raw)
    loss = softplus(-wrapped(real)).mean() + softplus(wrapped(fake)).mean()
    gradients, _ = image_gradients(wrapped, real + noise * (fake - real))
    slopes = (1e-4 + gradients.square().sum(dim=(1, 2, 3))).sqrt()
    torch.testing.assert_close(tuple(metrics), (loss, (slopes - 1).square().mean()), rtol=1e-11, atol=0)
    _, loss = generator_step(gan, state, settings, latents)
    torch.testing.assert_close(loss, softplus(-wrapped(fake)).mean(), rtol=1e-11, atol=0)
    assert not torch.allclose(raw(fake), wrapped(fake), rtol=0.1)
