"""The gradients that the step descends, against central differences of the objectives, in float64."""

import pytest
import torch

from study.gan.methods.constraints import Constraint
from study.gan.model import Gan
from study.gan.networks.layers import shaped
from study.gan.step import discriminator_step, generator_step
from tests.conftest import quick_only
from tests.gan.menus import TRIPLES, few_method_names, method_names

STEP = 1e-6
SLOPES_OF_SLOPES = [
    "layer_norm+gradient_norm+gradient_penalty",
    "layer_norm+gradient_norm+dragan",
]
"""Gradients that take third derivatives of a normalised layer."""
G_DEPENDS_ON = ["layer_norm+spectral_norm+gradient_norm", "began", "began+layer_norm+spectral_norm", "minimax", "hinge"]
"""What G's objective reads beside each normalisation alone."""


class Held(Gan):
    """A GAN whose singular vectors stay, as they do in its gradient."""

    def advance(self, parameters, vectors):
        return vectors


def held(gan):
    """The GAN with its vectors held, and without a constraint, which would change the gradient on purpose."""
    return Held(**{**vars(gan), "constraint": Constraint()})


def split(numbers, parameters):
    """The gradient as Adam keeps it, [P], by parameter."""
    pieces = numbers.split([p.numel() for p in parameters.values()])
    return {name: shaped(piece, p) for (name, p), piece in zip(parameters.items(), pieces, strict=True)}


def compare(objective, parameters, gradients):
    """Slopes along a random direction in each parameter: where one is cut off or counted twice, its own slope shows."""
    rng = torch.Generator().manual_seed(5)
    scale = max(gradient.norm().item() for gradient in gradients.values())
    assert scale > 1e-4
    for name, parameter in parameters.items():
        direction = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
        direction /= direction.norm()
        high, low = (objective({**parameters, name: parameter + s * STEP * direction}) for s in (1, -1))
        slope = (high - low).item() / (2 * STEP)
        exact = (gradients[name] * direction).sum().item()
        assert slope == pytest.approx(exact, rel=1e-5, abs=1e-6 * scale), name


def check_discriminator(setup, name):
    gan, state, settings, *batch = setup(name, beta1=0.0, penalty_weight=10)  # beta1 0: Adam keeps the gradient
    gan = held(gan)

    def objective(parameters):
        _, metrics = discriminator_step(gan, state._replace(discriminator=parameters), settings, *batch)
        return metrics.loss + settings.penalty_weight * metrics.penalty

    after, metrics = discriminator_step(gan, state, settings, *batch)
    if gan.penalty and "one_sided" not in name:
        assert settings.penalty_weight * metrics.penalty > 0.01 * metrics.loss.abs()
    compare(objective, state.discriminator, split(after.discriminator_adam.first, state.discriminator))


@pytest.mark.parametrize("method_name", quick_only(method_names(), [n for n in few_method_names() if n != TRIPLES[1]]))
def test_gradient_of_the_whole_objective_of_d(setup, method_name):
    check_discriminator(setup, method_name)


@pytest.mark.full
@pytest.mark.parametrize("name", SLOPES_OF_SLOPES)
def test_gradient_of_a_gradient_penalty_on_an_output_that_is_a_gradient_itself(setup, name):
    check_discriminator(setup, name)


def check_generator(setup, name):
    gan, state, settings, _, latents, _ = setup(name, beta1=0.0, spread=0.3)
    after, _ = generator_step(gan, state, settings, latents)

    def objective(parameters):
        return generator_step(gan, state._replace(generator=parameters), settings, latents)[1]

    compare(objective, state.generator, split(after.generator_adam.first, state.generator))


def test_gradient_of_the_objective_of_g(setup, normalization_name):
    check_generator(setup, normalization_name)


@pytest.mark.parametrize("name", G_DEPENDS_ON)
def test_gradient_of_the_objective_of_g_with_other_losses_and_several_normalisations(setup, name):
    check_generator(setup, name)
