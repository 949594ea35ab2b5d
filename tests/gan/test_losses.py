"""Losses against their formulas, on outputs chosen by hand."""

import math
from itertools import pairwise

import pytest
import torch

from study.gan.methods.losses import LOSSES
from tests.gan.menus import built, variants

REAL, FAKE, K = [2.0, -1.0, 0.5, 0.0], [-3.0, 1.5, 0.0, 4.0], 0.3


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def log_sigmoid(x):
    return math.log(sigmoid(x))


def mean(function, values):
    return sum(function(value) for value in values) / len(values)


def same(x):
    return x


def squared(x):
    return x**2


CROSS_ENTROPY = mean(lambda x: -log_sigmoid(x), REAL) + mean(lambda x: -math.log(1 - sigmoid(x)), FAKE)
BALANCED = (mean(same, REAL) - K * mean(same, FAKE), mean(same, FAKE))

CLOSED_FORMS = {
    "non_saturating": (CROSS_ENTROPY, mean(lambda x: -log_sigmoid(x), FAKE)),
    "minimax": (CROSS_ENTROPY, mean(lambda x: math.log(1 - sigmoid(x)), FAKE)),
    "wasserstein": (mean(same, FAKE) - mean(same, REAL), -mean(same, FAKE)),
    "least_squares": (
        mean(lambda x: (sigmoid(x) - 1) ** 2, REAL) / 2 + mean(lambda x: sigmoid(x) ** 2, FAKE) / 2,
        mean(lambda x: (sigmoid(x) - 1) ** 2, FAKE) / 2,
    ),
    "least_squares[real_valued=true]": (
        mean(lambda x: (x - 1) ** 2, REAL) / 2 + mean(squared, FAKE) / 2,
        mean(lambda x: (x - 1) ** 2, FAKE) / 2,
    ),
    "hinge": (
        mean(lambda x: max(0, 1 - x), REAL) + mean(lambda x: max(0, 1 + x), FAKE),
        -mean(same, FAKE),
    ),
    "began": BALANCED,
    "began[began_gamma=0.375]": BALANCED,
    "began[began_lambda=0.0005]": BALANCED,
}
"""(discriminator's, generator's) by loss and option, at k = 0.3: a row covers a new one."""

THRESHOLDS = {
    **dict.fromkeys(CLOSED_FORMS),
    **dict.fromkeys(("non_saturating", "minimax", "least_squares", "hinge"), 0.0),
    "least_squares[real_valued=true]": 0.5,
}
JUDGING = [name for name in CLOSED_FORMS if built(LOSSES, name).network is None]
"""Losses whose D says how real an image looks."""


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


def state(loss, value=K):
    return [doubles(value) for _ in loss.state]


def derivatives(loss, real, fake):
    """Of D's loss by its outputs on real and on fake, and of G's by those on fake, each times their number."""
    by_real, by_fake = torch.func.grad(loss.discriminator, argnums=(0, 1))(doubles(real), doubles(fake), *state(loss))
    return [gradient * len(gradient) for gradient in (by_real, by_fake, torch.func.grad(loss.generator)(doubles(fake)))]


def test_every_loss_and_option_has_its_closed_form_here():
    assert set(CLOSED_FORMS) == {*LOSSES, *variants(LOSSES)}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_losses_equal_their_formulas(name):
    loss, (discriminator, generator) = built(LOSSES, name), CLOSED_FORMS[name]
    real, fake = doubles(REAL), doubles(FAKE)
    assert loss.discriminator(real, fake, *state(loss)).item() == pytest.approx(discriminator, rel=1e-12)
    assert loss.generator(fake).item() == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_losses_are_finite_scalars_with_finite_gradients_on_extreme_outputs(name):
    loss = built(LOSSES, name)
    real, fake = (torch.tensor([1e4, -1e4], requires_grad=True) for _ in range(2))
    scalars = [torch.tensor(K) for _ in loss.state]
    for value in (loss.discriminator(real, fake, *scalars), loss.generator(fake), *loss.advance(real, fake, *scalars)):
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value.isfinite()
        by = torch.autograd.grad(value, (real, fake), allow_unused=True)
        assert all(gradient is None or gradient.isfinite().all() for gradient in by)


@pytest.mark.parametrize("name", JUDGING)
def test_d_pushes_real_up_and_fake_down_and_g_pushes_fake_up(name):
    by_real, by_fake, by_generator = derivatives(built(LOSSES, name), [0.3, 0.2], [0.1, 0.4])
    assert (by_real < 0).all()
    assert (by_fake > 0).all()
    assert (by_generator < 0).all()


def test_with_began_d_pushes_its_error_on_real_down_and_on_fake_up_by_k_and_g_pushes_it_down():
    for gradient, expected in zip(derivatives(built(LOSSES, "began"), [0.3, 0.2], [0.1]), (1, -K, 1), strict=True):
        torch.testing.assert_close(gradient, torch.full_like(gradient, expected), rtol=1e-12, atol=0)


def test_minimax_vanishes_where_d_is_sure_and_non_saturating_does_not():
    outputs = [-20.0, -3.0, 0.0, 3.0, 20.0]
    *minimax_d, minimax = derivatives(built(LOSSES, "minimax"), REAL, outputs)
    *other_d, other = derivatives(built(LOSSES, "non_saturating"), REAL, outputs)
    torch.testing.assert_close(minimax, doubles([-sigmoid(x) for x in outputs]), rtol=1e-12, atol=0)
    torch.testing.assert_close(other, doubles([-sigmoid(-x) for x in outputs]), rtol=1e-12, atol=0)
    assert minimax[0].abs() < 3e-9
    assert other[0].abs() > 1 - 3e-9
    torch.testing.assert_close(minimax_d, other_d, rtol=0, atol=0)


def test_real_valued_least_squares_of_a_sigmoid_is_the_other_one():
    real_valued, squashed = built(LOSSES, "least_squares[real_valued=true]"), built(LOSSES, "least_squares")
    real, fake = doubles(REAL), doubles(FAKE)
    expected = real_valued.discriminator(real.sigmoid(), fake.sigmoid())
    assert squashed.discriminator(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)
    assert squashed.generator(fake).item() == pytest.approx(real_valued.generator(fake.sigmoid()).item(), rel=1e-12)


def test_hinge_has_no_slope_beyond_its_margins():
    by_real, by_fake, by_generator = derivatives(built(LOSSES, "hinge"), [0.9, 1.1, 5.0], [-0.9, -1.1, -5.0])
    assert by_real.tolist() == [-1, 0, 0]
    assert by_fake.tolist() == [1, 0, 0]
    assert by_generator.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_thresholds_are_where_the_loss_of_both_kinds_is_the_same(name):
    loss = built(LOSSES, name)
    assert loss.threshold == THRESHOLDS[name]
    if loss.threshold is not None:
        at = [loss.threshold]
        by_real, by_fake, _ = derivatives(loss, at, at)
        assert by_real.item() == pytest.approx(-by_fake.item(), rel=1e-12)
        real_side, fake_side = (sum(derivatives(loss, x, x)[:2]) for x in ([at[0] + 0.2], [at[0] - 0.2]))
        assert fake_side < 0 < real_side or name == "hinge"  # where the two just balance within the margins


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_only_began_keeps_a_scalar_and_it_starts_at_zero(name):
    loss = built(LOSSES, name)
    assert loss.state == ((0.0,) if name.startswith("began") else ())
    assert len(loss.advance(doubles(REAL), doubles(FAKE), *state(loss))) == len(loss.state)


@pytest.mark.parametrize(
    ("k", "real", "fake", "options", "expected"),
    [
        (0.0, 0.8, 0.2, {}, 0.001 * (0.75 * 0.8 - 0.2)),
        (0.3, 0.8, 0.2, {}, 0.3 + 0.001 * (0.75 * 0.8 - 0.2)),
        (0.3, 0.2, 0.8, {}, 0.3 + 0.001 * (0.75 * 0.2 - 0.8)),
        (0.3, 0.8, 0.2, {"began_gamma": 0.5, "began_lambda": 0.1}, 0.3 + 0.1 * (0.5 * 0.8 - 0.2)),
        (0.3, 0.8, 0.6, {}, 0.3),  # at the equilibrium
        (0.0, 0.2, 0.8, {}, 0.0),  # not below 0
        (1.0, 0.8, 0.2, {}, 1.0),  # not above 1
        (0.9, 0.8, 0.2, {"began_lambda": 10.0}, 1.0),
    ],
)
def test_k_moves_by_lambda_times_the_imbalance_and_stays_from_0_to_1(k, real, fake, options, expected):
    batches = doubles([real - 0.1, real + 0.1]), doubles([fake - 0.05, fake + 0.05])
    (moved,) = built(LOSSES, "began", **options).advance(*batches, doubles(k))
    assert moved.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("gamma", [0.3, 0.75])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_k_moves_until_gamma_times_the_real_error_is_the_fake_error(gamma, start):
    """With a toy D whose error on fakes grows with the weight that its loss gives them."""
    loss, k = built(LOSSES, "began", began_gamma=gamma, began_lambda=0.05), doubles(start)
    real = doubles([0.4])
    distances = []
    for _ in range(400):
        fake = 0.8 * k * torch.ones(1, dtype=torch.float64)
        distances.append(abs(gamma * 0.4 - fake.item()))
        (k,) = loss.advance(real, fake, k)
    assert all(after <= before for before, after in pairwise(distances))
    assert k.item() == pytest.approx(gamma / 2, rel=1e-6)
