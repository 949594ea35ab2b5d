"""Constraints: closed forms, and what they come to in D's update."""

import math

import pytest
import torch

from study.gan.methods.constraints import CONSTRAINTS, unchanged
from study.gan.step import discriminator_step, generator_step
from tests.gan.menus import built


def drawn():
    rng = torch.Generator().manual_seed(0)
    shapes = {"weight": (3, 2, 2, 2), "bias": (3,), "norm.weight": (3,)}
    return {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}


def norm(tensors):
    return math.sqrt(sum(tensor.square().sum().item() for tensor in tensors.values()))


def scaled_to(tensors, length):
    return {name: tensor * (length / norm(tensors)) for name, tensor in tensors.items()}


def clamped(value):
    return {name: t.where(t.abs() < value, value * t.sign()) for name, t in drawn().items()}


CLOSED_FORMS = {
    "weight_clipping": (drawn(), clamped(0.01)),
    "weight_clipping[clip_value=0.5]": (drawn(), clamped(0.5)),
    "gradient_clipping": (scaled_to(drawn(), 1.0), drawn()),
    "gradient_clipping[clip_norm=0.1]": (scaled_to(drawn(), 0.1), drawn()),
}
"""(D's gradients, D's parameters) that become of the drawn ones."""


def test_every_constraint_has_its_closed_form_here():
    assert {name.partition("[")[0] for name in CLOSED_FORMS} == set(CONSTRAINTS)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_constraints_equal_their_formulas_and_change_nothing_in_place(name):
    constraint, given = built(CONSTRAINTS, name), drawn()
    got = constraint.gradients(given), constraint.parameters(given)
    torch.testing.assert_close(got, CLOSED_FORMS[name], rtol=1e-12, atol=0)
    torch.testing.assert_close(given, drawn(), rtol=0, atol=0)


@pytest.mark.parametrize("length", [0.0, 1e-3, 0.999])
def test_gradient_clipping_leaves_short_gradients_alone(length):
    given = scaled_to(drawn(), length)
    torch.testing.assert_close(built(CONSTRAINTS, "gradient_clipping").gradients(given), given, rtol=0, atol=0)


@pytest.mark.parametrize(("length", "expected"), [(0.5, 0.25), (0.25, 0.25), (0.2, 0.2), (1e4, 0.25)])
def test_gradient_clipping_is_of_all_parameters_as_one_vector(length, expected):
    given = scaled_to(drawn(), length)
    got = built(CONSTRAINTS, "gradient_clipping", clip_norm=0.25).gradients(given)
    assert norm(got) == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(got, scaled_to(given, expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["weight_clipping", "weight_clipping+layer_norm", "wasserstein+weight_clipping"])
def test_no_parameter_of_d_leaves_the_interval_in_any_of_its_steps(setup, name):
    gan, state, settings, *batch = setup(name, learning_rate=0.05)
    state = state._replace(discriminator={n: 0.01 * p / p.abs().max() for n, p in state.discriminator.items()})
    for _ in range(4):
        before = state
        state, _ = discriminator_step(gan, state, settings, *batch)
        largest = max(p.abs().max().item() for p in state.discriminator.values())
        assert largest == pytest.approx(0.01, rel=1e-12)  # learning rate above c: the interval's ends are reached
        assert all((p.abs() <= 0.01).all() for p in state.discriminator.values())
        assert any((p.abs() < 0.01).any() for p in state.discriminator.values())
        after, _ = generator_step(gan, state, settings, batch[1])
        torch.testing.assert_close(after.discriminator, state.discriminator, rtol=0, atol=0)
        torch.testing.assert_close(state.generator, before.generator, rtol=0, atol=0)
        assert max(p.abs().max().item() for p in after.generator.values()) > 0.1  # G is not clipped
        state = after


@pytest.mark.parametrize(("clip_norm", "binds"), [(1e-3, True), (0.1, True), (1e3, False)])
def test_adam_sees_the_clipped_gradient(setup, clip_norm, binds):
    options = {"beta1": 0.0}  # so that the first moment is the gradient
    plain = setup("layer_norm", **options)
    clipped = setup(f"layer_norm+gradient_clipping[clip_norm={clip_norm}]", **options)
    (free, metrics), (held, same) = discriminator_step(*plain), discriminator_step(*clipped)
    length = free.discriminator_adam.first.norm().item()
    assert (length > clip_norm) == binds
    scale = clip_norm / length if binds else 1
    torch.testing.assert_close(
        held.discriminator_adam.first, free.discriminator_adam.first * scale, rtol=1e-11, atol=1e-16
    )
    torch.testing.assert_close(metrics, same, rtol=0, atol=0)
    (_, loss), (_, other) = (generator_step(gan, s, k, z) for gan, s, k, _, z, _ in (plain, clipped))
    torch.testing.assert_close(loss, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_acts_on_gradients_or_on_parameters(name):
    constraint = built(CONSTRAINTS, name)
    assert (constraint.gradients is unchanged) != (constraint.parameters is unchanged)
