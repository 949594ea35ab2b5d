"""Penalties against closed forms, on discriminators whose gradients are known."""

import math

import pytest
import torch

from study.core.trial import Hyperparameters, Method, Training, Trial
from study.gan.methods.penalties import PENALTIES
from study.gan.model import build
from study.gan.networks.discriminator import Discriminator
from study.gan.networks.spectrum import advance_vectors, initial_vectors, matrix
from tests.gan.menus import built, variants

SHAPE = torch.Size((5, 2, 4, 4))
WEIGHTS = {
    "a.weight": torch.diag(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)).view(3, 3, 1, 1),
    "b.weight": torch.full((1, 4), -1.0, dtype=torch.float64),
}
REST = {"a.bias": torch.full((3,), 100.0), "norm.weight": torch.full((3,), 100.0)}


def two_sided(norm):
    return (math.sqrt(1e-4 + norm**2) - 1) ** 2


def one_sided(norm):
    return max(math.sqrt(1e-4 + norm**2) - 1, 0) ** 2


CLOSED_FORMS = {
    "gradient_penalty": two_sided,
    "one_sided_gradient_penalty": one_sided,
    "dragan": two_sided,
    "dragan[dragan_noise=gaussian]": two_sided,
    "l2": lambda norm: ((9 + 1 + 4) / 2 + 4 / 2) / 2,
    "spectral_regularization": lambda norm: 3**2 + 4,
}
"""Of D(x) = <w, x> with ||w|| = norm, made of the weights above."""

NOISE = {
    "gradient_penalty": ("uniform", (1, 1, 1)),
    "one_sided_gradient_penalty": ("uniform", (1, 1, 1)),
    "dragan": ("uniform", (1, 2, 2)),
    "dragan[dragan_noise=gaussian]": ("normal", (1, 2, 2)),
    "l2": (None, ()),
    "spectral_regularization": (None, ()),
}
"""Law and shape per image of 1 channel and 2 px."""

OF_SLOPES = [name for name in CLOSED_FORMS if built(PENALTIES, name).passes]
BETWEEN = ["gradient_penalty", "one_sided_gradient_penalty"]
NORMS = [0.0, 0.01, 0.5, 0.9, 1.0, 1.1, 3.0]


def batches(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(SHAPE, generator=rng, dtype=torch.float64) for _ in range(2))


def linear(norm):
    """D(x) = <w, x> with ||w|| = norm: its gradient is w everywhere."""
    weight = torch.randn(SHAPE[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight *= norm / weight.norm() if norm else 0
    return lambda images: (images * weight).sum(dim=(1, 2, 3))


def of_linear(name, norm):
    """The penalty of that D at converged singular vectors."""
    (real, fake), penalty = batches(), built(PENALTIES, name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    return penalty.value(Discriminator(linear(norm), {**WEIGHTS, **REST}, warm(WEIGHTS)), real, fake, noise)


def warm(weights, iterations=200):
    return advance_vectors(weights, initial_vectors(weights, torch.Generator().manual_seed(3)), iterations)


def with_cubic(name, real, fake, noise):
    """The penalty of D(x) = sum of x^3 / 3: its gradient, x^2, shows where the penalty takes it."""
    critic = Discriminator(lambda images: images.pow(3).sum(dim=(1, 2, 3)) / 3, {}, {})
    return built(PENALTIES, name).value(critic, real, fake, noise)


def cubic_penalty(points):
    slopes = (1e-4 + points.pow(4).sum(dim=(1, 2, 3))).sqrt()
    return ((slopes - 1) ** 2).mean()


def test_every_penalty_and_option_has_its_closed_form_here():
    assert set(CLOSED_FORMS) == set(NOISE) == {*PENALTIES, *variants(PENALTIES)}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_penalty_of_a_linear_discriminator(name, norm):
    value = of_linear(name, norm)
    assert value.shape == ()
    assert value.item() == pytest.approx(CLOSED_FORMS[name](norm), rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("name", [name for name in OF_SLOPES if "one_sided" not in name])
def test_the_only_zero_is_at_slope_one_and_it_is_two_sided(name):
    low, zero, high = (of_linear(name, norm).item() for norm in (0.9, math.sqrt(1 - 1e-4), 1.1))
    assert zero == pytest.approx(0, abs=1e-24)
    assert low == pytest.approx(0.01, rel=2e-3)
    assert high == pytest.approx(0.01, rel=2e-3)


@pytest.mark.parametrize("norm", NORMS)
def test_one_sided_is_zero_below_slope_one_and_two_sided_above(norm):
    one, two = (of_linear(name, norm).item() for name in BETWEEN[::-1])
    if norm < 1:
        assert one == 0 < two
    else:
        assert one == two > 0


@pytest.mark.parametrize("norm", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("name", OF_SLOPES)
def test_gradient_of_the_penalty_is_finite_where_the_slope_is_zero(name, norm):
    (real, fake), penalty = batches(), built(PENALTIES, name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    scale = torch.tensor(norm, dtype=torch.float64, requires_grad=True)
    base = linear(1.0)
    value = penalty.value(Discriminator(lambda x: scale * base(x), {}, {}), real, fake, noise)
    slope = math.sqrt(1e-4 + norm**2)
    counts = slope > 1 or name != "one_sided_gradient_penalty"
    expected = counts * 2 * (slope - 1) * norm / slope
    (gradient,) = torch.autograd.grad(value, scale)
    assert gradient.item() == pytest.approx(expected, rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize(("noise", "where"), [(0.0, "real"), (1.0, "fake")])
def test_gradient_penalties_at_the_ends_are_at_the_real_and_the_fake_images(noise, where, name):
    real, fake = (2 * batch for batch in batches())  # slopes above 1
    value = with_cubic(name, real, fake, torch.full((5, 1, 1, 1), noise, dtype=torch.float64))
    assert value.item() == pytest.approx(cubic_penalty({"real": real, "fake": fake}[where]).item(), rel=1e-12)


@pytest.mark.parametrize("name", BETWEEN)
def test_gradient_penalties_are_taken_between_real_and_fake_with_one_number_per_image(name):
    real, fake = (2 * batch for batch in batches())
    noise = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64).view(5, 1, 1, 1)
    points = torch.stack([(1 - a) * x + a * y for a, x, y in zip(noise.flatten(), real, fake, strict=True)])
    assert with_cubic(name, real, fake, noise).item() == pytest.approx(cubic_penalty(points).item(), rel=1e-12)


def noisy_reals():
    """Real and fake images, and their one population std for the whole batch, by hand."""
    real, fake = batches()
    real[0] = 0.0  # below 0 before it is clipped
    real[1] = 1.0
    std = (sum((x - real.mean().item()) ** 2 for x in real.flatten().tolist()) / real.numel()) ** 0.5
    return real, fake, std


def test_dragan_is_taken_around_real_images_by_one_population_std_and_clipped():
    real, fake, std = noisy_reals()
    noise = torch.rand(SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
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


def test_gaussian_dragan_is_taken_around_real_images_by_the_same_std_and_not_clipped():
    real, fake, std = noisy_reals()
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    points = real + std * noise
    assert points.min() < -0.5
    assert points.max() > 1.5
    expected = cubic_penalty(points).item()
    for other in (fake, 1 - fake):
        value = with_cubic("dragan[dragan_noise=gaussian]", real, other, noise)
        assert value.item() == pytest.approx(expected, rel=1e-12)
    assert with_cubic("dragan", real, fake, noise).item() != pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("name", NOISE)
def test_noise_has_its_law_and_shape_and_is_from_the_rng_alone(name):
    draw, (law, shape) = built(PENALTIES, name).draw_noise, NOISE[name]
    first, again, other = (draw(torch.Size((4000, 1, 2, 2)), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert tuple(first.shape) == ((4000, *shape) if law else (0,))
    if law is None:
        return
    assert not torch.equal(first, other)
    counted = 5 / first.numel() ** 0.5
    mean, std = {"uniform": (0.5, 12**-0.5), "normal": (0, 1)}[law]
    assert first.mean().item() == pytest.approx(mean, abs=std * counted)
    assert first.std().item() == pytest.approx(std, rel=counted)
    if law == "uniform":
        assert 0 <= first.min() < 0.01
        assert 0.99 < first.max() < 1
    else:
        assert (first.abs() > 1.959964).float().mean().item() == pytest.approx(0.05, abs=0.22 * counted)


def test_l2_is_the_mean_over_layers_of_half_the_squared_norm_of_the_weights():
    weights = {"a.weight": torch.full((2, 3, 2, 2), 2.0), "b.weight": torch.full((1, 4), 3.0)}
    rest = {"a.bias": torch.full((2,), 100.0), "norm.weight": torch.full((2,), 100.0)}
    value = built(PENALTIES, "l2").value(Discriminator(None, {**weights, **rest}, {}), None, None, None)
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
    value = gan.penalty.value(Discriminator(None, ones, {}), None, None, None)
    assert value.item() == pytest.approx(count / 2 / 8, rel=1e-6)


@pytest.mark.parametrize("name", ["spectral_regularization", "spectral_norm+spectral_regularization"])
def test_spectral_regularization_is_the_sum_of_squared_singular_values_of_the_raw_weights(setup, name):
    gan, state, *_ = setup(name)
    vectors = state.vectors
    for _ in range(300):
        vectors = gan.advance(state.discriminator, vectors)
    weights = {n: p for n, p in state.discriminator.items() if p.ndim >= 2}
    largest = [torch.linalg.svdvals(matrix(weight))[0].item() for weight in weights.values()]
    assert len(largest) == 8

    def value(parameters):
        return gan.penalty.value(Discriminator(None, parameters, vectors), None, None, None)

    assert value(state.discriminator).item() == pytest.approx(sum(s**2 for s in largest), rel=1e-5)
    gradients = torch.func.grad(value)(state.discriminator)
    for n, gradient in gradients.items():
        if n not in weights:
            assert not gradient.any()
            continue
        u, s, v = torch.linalg.svd(matrix(weights[n]), full_matrices=False)
        expected = 2 * s[0] * torch.outer(u[:, 0], v[0])
        assert (matrix(gradient) - expected).norm() < 0.01 * expected.norm()
    exact = {n: 2 * (vectors[f"{n}.left"] @ matrix(w) @ vectors[f"{n}.right"]) for n, w in weights.items()}
    for n, twice_sigma in exact.items():
        outer = torch.outer(vectors[f"{n}.left"], vectors[f"{n}.right"])
        torch.testing.assert_close(matrix(gradients[n]), twice_sigma * outer, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_value_does_not_change_what_it_is_given(name):
    (real, fake), penalty = batches(), built(PENALTIES, name)
    noise = penalty.draw_noise(SHAPE, torch.Generator().manual_seed(2)).double()
    vectors = warm(WEIGHTS)
    given = [real, fake, noise, *WEIGHTS.values(), *vectors.values()]
    before = [t.clone() for t in given]
    penalty.value(Discriminator(linear(1.0), WEIGHTS, vectors), real, fake, noise)
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
