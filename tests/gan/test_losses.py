"""Losses against their formulas, on logits chosen by hand."""

import math

import pytest
import torch

from study.gan.losses import LOSSES

REAL, FAKE = [2.0, -1.0, 0.5, 0.0], [-3.0, 1.5, 0.0, 4.0]


def log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


CLOSED_FORMS = {
    "non_saturating": (
        mean(-log_sigmoid(x) for x in REAL) + mean(-log_sigmoid(-x) for x in FAKE),  # 1 - s(x) = s(-x)
        mean(-log_sigmoid(x) for x in FAKE),
    ),
}
"""(discriminator's, generator's) by loss: a row covers a new one."""


def built(name):
    return LOSSES[name].build(**LOSSES[name].options)


def test_every_loss_has_its_closed_form_here():
    assert set(CLOSED_FORMS) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_their_formulas(name):
    loss, (discriminator, generator) = built(name), CLOSED_FORMS[name]
    real, fake = (torch.tensor(values, dtype=torch.float64) for values in (REAL, FAKE))
    assert loss.discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-12)
    assert loss.generator(fake).item() == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_scalars_with_finite_gradients_on_extreme_logits(name):
    loss = built(name)
    real, fake = (torch.tensor([1e4, -1e4], requires_grad=True) for _ in range(2))
    for value in (loss.discriminator(real, fake), loss.generator(fake)):
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert all(g is None or g.isfinite().all() for g in torch.autograd.grad(value, (real, fake), allow_unused=True))


@pytest.mark.parametrize("name", LOSSES)
def test_d_pushes_real_up_and_fake_down_and_g_pushes_fake_up(name):
    loss = built(name)
    real, fake = torch.tensor([0.3, -0.2], requires_grad=True), torch.tensor([0.1, -0.4], requires_grad=True)
    on_real, on_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    (by_generator,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (on_real < 0).all()
    assert (on_fake > 0).all()
    assert (by_generator < 0).all()
