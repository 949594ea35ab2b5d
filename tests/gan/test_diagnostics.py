"""Diagnostics against linear algebra, finite differences and closed forms."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

from study.core.evaluation import Diagnostics
from study.core.trial import field_names
from study.gan.architectures import ARCHITECTURES
from study.gan.diagnostics import (
    DiagnosticBatches,
    accuracies,
    diagnose,
    flat_shares,
    layer_operator_norms,
    operator_norm,
    sigmas,
)
from study.gan.methods.losses import LOSSES
from study.gan.networks.layers import Conv2d, Conv3x3Pool, ConvTranspose2d
from tests.conftest import quick_only
from tests.gan.menus import built, variants

ONES = torch.ones(1, 1, 6, 6, dtype=torch.float64)


def dense(layer, shape):
    """The matrix of a linear map of images [1, *shape], column by column."""
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, 1, *shape)
    return torch.stack([layer(image).flatten() for image in basis], dim=1)


def largest(matrix):
    return torch.linalg.svdvals(matrix)[0].item()


def drawn(module, seed=0):
    """The module in float64 without a bias, its weight drawn."""
    module = module.double().requires_grad_(False)
    rng = torch.Generator().manual_seed(seed)
    module.weight.copy_(torch.randn(module.weight.shape, generator=rng, dtype=torch.float64))
    if module.bias is not None:
        module.bias.zero_()
    return module


def batches_for(setup):
    """What `diagnose` takes, from a Setup."""
    rng = torch.Generator().manual_seed(8)
    test = torch.rand(setup.real.shape, generator=rng, dtype=torch.float64)
    return DiagnosticBatches(
        setup.real, test, setup.latents, torch.rand(4, 1, 1, 1, generator=rng, dtype=torch.float64)
    )


def diagnosed(setup, **options):
    return diagnose(setup.gan, setup.state, batches_for(setup), **options)


def with_d(setup, **parameters):
    """The setup with all of D's parameters 0 but these, by their end."""
    zeros = {name: torch.zeros_like(p) for name, p in setup.state.discriminator.items()}
    for end, value in parameters.items():
        (name,) = [name for name in zeros if name.endswith(end.replace("_", "."))]
        zeros[name] = zeros[name] + value
    return setup._replace(state=setup.state._replace(discriminator=zeros))


@pytest.mark.parametrize("name", ["none", "layer_norm", "gradient_norm", "spectral_regularization", "began"])
def test_sigmas_are_the_largest_singular_values_of_the_layers_in_order(setup, name):
    trial = setup(name)
    weights = [p.flatten(1) for p in trial.state.discriminator.values() if p.ndim >= 2]
    got = diagnosed(trial)
    assert got.sigmas == pytest.approx([largest(weight) for weight in weights], rel=1e-9)
    assert got.sigma_product == pytest.approx(math.prod(got.sigmas), rel=1e-12)


def test_sigmas_under_spectral_norm_are_of_the_weights_that_d_computes_with(setup):
    trial = setup("spectral_norm")
    vectors = trial.state.vectors
    for _ in range(100):
        vectors = trial.gan.advance(trial.state.discriminator, vectors)
    got = diagnosed(trial._replace(state=trial.state._replace(vectors=vectors)))
    assert got.sigmas == pytest.approx([1.0] * 8, rel=0.01)
    assert got.sigma_product == pytest.approx(1, rel=0.05)
    assert max(sigmas(trial.state.discriminator)) > 2  # the raw ones


def test_sigmas_under_frobenius_norm_are_at_most_one(setup):
    trial = setup("frobenius_norm")
    weights = [p.flatten(1) for p in trial.state.discriminator.values() if p.ndim >= 2]
    got = diagnosed(trial).sigmas
    assert got == pytest.approx([largest(weight) / weight.norm().item() for weight in weights], rel=1e-9)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(7, 4), (7,)),
        (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 6)),
        (nn.Conv2d(2, 3, 4, stride=2, padding=1), (2, 6, 6)),
        (Conv2d(2, 3, 4, stride=2, padding=1), (2, 2, 2)),
        (Conv3x3Pool(2, 3), (2, 6, 6)),
        (ConvTranspose2d(3, 2, 4, stride=2, padding=1), (3, 3, 3)),
    ],
)
def test_operator_norm_is_the_largest_singular_value_of_the_map_as_a_matrix(layer, shape):
    layer = drawn(layer)
    exact = largest(dense(layer, shape))
    start = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert operator_norm(layer, start) == pytest.approx(exact, rel=1e-4)
    assert operator_norm(layer, start, tolerance=1e-12) == pytest.approx(exact, rel=1e-8)
    assert operator_norm(layer, start) != pytest.approx(largest(layer.weight.flatten(1)), rel=0.01) or len(shape) == 1


def test_a_kernel_of_thirds_stretches_images_nearly_threefold_though_its_sigma_is_one():
    layer = drawn(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    layer.weight.fill_(1 / 3)
    assert sigmas({"weight": layer.weight}).tolist() == pytest.approx([1.0], rel=1e-12)
    for size in (6, 12, 20):  # exactly: the matrix is the Kronecker square of a band of three diagonals of 3^-1/2
        exact = (1 + 2 * math.cos(math.pi / (size + 1))) ** 2 / 3
        assert operator_norm(layer, torch.ones(1, 1, size, size).double()) == pytest.approx(exact, rel=1e-6)
        if size < 20:
            assert largest(dense(layer, (1, size, size))) == pytest.approx(exact, rel=1e-12)
    assert exact == pytest.approx(2.95, abs=0.01)


def test_operator_norm_of_a_zero_map_is_zero_and_of_one_with_nan_is_not_finite():
    assert operator_norm(lambda image: image * 0, ONES) == 0
    assert math.isnan(operator_norm(lambda image: image * math.nan, ONES))


@pytest.mark.parametrize("name", ["none", "spectral_norm", "layer_norm", "gradient_norm"])
def test_operator_norms_of_the_layers_of_d_at_the_sizes_that_they_see(setup, name):
    trial = setup(name)
    assert diagnosed(trial).operator_norms is None
    got = diagnosed(trial, operator_norms=True).operator_norms
    norm = trial.gan.weight_norm
    weights = norm.apply(trial.state.discriminator, trial.state.vectors) if norm else trial.state.discriminator
    kernels = [p for p in weights.values() if p.ndim == 4]
    expected, size = [], 8
    for kernel in kernels:
        stride = 2 if kernel.shape[-1] == 4 else 1

        def plain(image, kernel=kernel, stride=stride):
            return nn.functional.conv2d(image, kernel, stride=stride, padding=1)

        expected.append(largest(dense(plain, (kernel.shape[1], size, size))))
        size //= stride
    last = list(weights.values())[-2]
    assert got == pytest.approx([*expected, last.norm().item()], rel=1e-3)
    assert len(got) == 8
    assert layer_operator_norms(trial.gan.discriminator, weights, trial.real[:1]) == pytest.approx(got, rel=1e-12)


@pytest.mark.parametrize("architecture", quick_only(ARCHITECTURES, ["sndcgan"]))
def test_operator_norms_exist_for_every_architecture_and_for_began(setup, architecture, smallest_size):
    for name in ("none", "began+spectral_norm"):
        trial = setup(name, architecture=architecture, resolution=smallest_size(architecture), batch=2)
        got = diagnosed_at(trial)
        assert len(got.operator_norms) == len(got.sigmas) > 4
        assert all(norm > 0 for norm in got.operator_norms)


def diagnosed_at(trial):
    batches = DiagnosticBatches(
        trial.real, trial.real.flip(0), trial.latents, torch.rand(len(trial.real), 1, 1, 1).double()
    )
    return diagnose(trial.gan, trial.state, batches, operator_norms=True)


def test_gradient_norms_against_finite_differences(setup):
    trial = setup("spectral_norm", spread=0.4)
    gan, state, batches = trial.gan, trial.state, batches_for(trial)
    fake, _ = gan.generate(state.generator, state.generator_buffers, batches.latents)
    critic, got = gan.critic(state.discriminator, state.vectors), diagnosed(trial)
    middle = (1 - batches.places) * batches.train + batches.places * fake
    for name, images in {"train": batches.train, "fake": fake, "between": middle}.items():
        norms = [slope(critic, image) for image in images]
        assert getattr(got, f"gradient_norm_{name}") == pytest.approx(sum(norms) / 4, rel=1e-5)
        assert getattr(got, f"gradient_norm_{name}_max") == pytest.approx(max(norms), rel=1e-5)
        assert max(norms) > sum(norms) / 4 * 1.001


def slope(critic, image, step=1e-6):
    """The norm of the gradient at an image by central differences."""
    moves = step * torch.eye(image.numel(), dtype=torch.float64).view(-1, *image.shape)
    return ((critic(image + moves) - critic(image - moves)) / (2 * step)).norm().item()


JUDGED = {"train": [1.0, 0.2, -0.1, 3.0], "test": [0.2, 0.6, 0.5, -2.0], "fake": [-1.0, 0.3, 0.7, -0.1]}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, (0.75, 0.75, 0.5)), (0.5, (0.5, 0.25, 0.75)), (None, (None, None, None))],
)
def test_accuracies_are_the_shares_on_the_right_side_of_the_threshold(threshold, expected):
    outputs = {name: torch.tensor(values) for name, values in JUDGED.items()}
    names = ("accuracy_train", "accuracy_test", "accuracy_fake")
    assert accuracies(threshold, outputs) == {n: e for n, e in zip(names, expected, strict=True) if e is not None}


@pytest.mark.parametrize(
    ("name", "bias", "expected"),
    [
        ("none", 0.3, (1.0, 1.0, 0.0)),
        ("none", -0.3, (0.0, 0.0, 1.0)),
        ("hinge", 0.3, (1.0, 1.0, 0.0)),
        ("least_squares", 0.3, (1.0, 1.0, 0.0)),
        ("least_squares[real_valued=true]", 0.3, (0.0, 0.0, 1.0)),
        ("least_squares[real_valued=true]", 0.7, (1.0, 1.0, 0.0)),
        ("wasserstein", 0.3, (None, None, None)),
        ("began", 0.3, (None, None, None)),
    ],
)
def test_accuracies_of_a_constant_d(setup, name, bias, expected):
    trial = setup(name)
    if name != "began":
        trial = with_d(trial, **{"22_bias": bias})
    got = diagnosed(trial)
    assert (got.accuracy_train, got.accuracy_test, got.accuracy_fake) == expected


def test_a_constant_d_has_no_slope_and_accuracies_of_each_kind_are_of_its_own_images(setup):
    got = diagnosed(with_d(setup("none"), **{"22_bias": 0.3}))
    assert got.gradient_norm_train == got.gradient_norm_fake_max == got.gradient_norm_between == 0
    assert got.sigmas == [0.0] * 8
    trial = setup("none", spread=0.4)
    batches = batches_for(trial)._replace(train=torch.ones_like(trial.real), test=torch.zeros_like(trial.real))
    critic = trial.gan.critic(trial.state.discriminator, {})
    got = diagnose(trial.gan, trial.state, batches)
    assert got.accuracy_train == (critic(batches.train) > 0).double().mean()
    assert got.accuracy_test == (critic(batches.test) > 0).double().mean()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


FLAT = {
    "non_saturating": (lambda x: sigmoid(-x), lambda x: sigmoid(x), lambda x: sigmoid(-x)),
    "minimax": (lambda x: sigmoid(-x), lambda x: sigmoid(x), lambda x: sigmoid(x)),
    "wasserstein": (lambda x: 1, lambda x: 1, lambda x: 1),
    "least_squares": (
        lambda x: sigmoid(-x) ** 2 * sigmoid(x),
        lambda x: sigmoid(x) ** 2 * sigmoid(-x),
        lambda x: sigmoid(-x) ** 2 * sigmoid(x),
    ),
    "least_squares[real_valued=true]": (lambda x: abs(x - 1), abs, lambda x: abs(x - 1)),
    "hinge": (lambda x: x < 1, lambda x: x > -1, lambda x: 1),
    **dict.fromkeys(
        ("began", "began[began_gamma=0.375]", "began[began_lambda=0.0005]"),
        (lambda x: 1, lambda x: 0.3, lambda x: 1),
    ),
}
"""Magnitudes of the derivatives of one image's term: D's on real and on fake, and G's."""

OUTPUTS = [-8.0, -5.0, -4.5, -1.5, -0.5, 0.004, 0.5, 0.992, 1.008, 1.5, 4.5, 5.0, 8.0]


@pytest.mark.parametrize("name", FLAT)
def test_flat_shares_count_the_outputs_where_each_images_own_term_has_no_slope(name):
    loss = built(LOSSES, name)
    train, fake = torch.tensor(OUTPUTS).double(), torch.tensor(OUTPUTS[:9]).double()  # batches of different size
    got = flat_shares(loss, tuple(torch.tensor(0.3).double() for _ in loss.state), {"train": train, "fake": fake})
    by_train, by_fake, by_generator = FLAT[name]
    expected = {
        "flat_train": sum(by_train(x) < 0.01 for x in OUTPUTS) / 13,
        "flat_fake": sum(by_fake(x) < 0.01 for x in OUTPUTS[:9]) / 9,
        "flat_generator": sum(by_generator(x) < 0.01 for x in OUTPUTS[:9]) / 9,
    }
    assert got == pytest.approx(expected, rel=1e-6)


def test_every_loss_and_option_has_its_slopes_here():
    assert set(FLAT) == {*LOSSES, *variants(LOSSES)}
    assert all(any(slope(x) < 0.01 for x in OUTPUTS) for slope in FLAT["non_saturating"])


@pytest.mark.parametrize(("k", "flat"), [(0.0, 1.0), (0.005, 1.0), (0.02, 0.0)])
def test_the_fakes_of_began_count_once_k_does(setup, k, flat):
    trial = setup("began")
    trial = trial._replace(state=trial.state._replace(loss=(torch.tensor(k, dtype=torch.float64),)))
    assert diagnosed(trial).flat_fake == flat


@pytest.mark.parametrize(("bias", "share"), [(0.0, 0.0), (100.0, 1.0), (-100.0, 1.0), (3.0, 0.0), (3.6, 1.0)])
def test_extreme_pixels_are_those_that_round_to_black_or_white(setup, bias, share):
    trial = setup("none")
    zeros = {name: torch.zeros_like(p) for name, p in trial.state.generator.items()}
    zeros[list(zeros)[-1]] += bias  # all pixels are (tanh(bias) + 1) / 2; 254.5 / 255 of it is at a bias of 3.116
    assert diagnosed(trial._replace(state=trial.state._replace(generator=zeros))).extreme_pixels == share


def test_values_that_are_not_finite_become_none(setup):
    trial = setup("none")
    broken = {name: p * math.nan for name, p in trial.state.discriminator.items()}
    got = diagnosed(trial._replace(state=trial.state._replace(discriminator=broken)), operator_norms=True)
    for name in ("sigmas", "sigma_product", "operator_norms", "gradient_norm_train", "gradient_norm_between_max"):
        assert getattr(got, name) is None
    assert 0 <= got.extreme_pixels < 1
    for value in (math.inf, 1e200):  # infinite in itself, and in the product
        large = {name: p * value for name, p in trial.state.discriminator.items()}
        got = diagnosed(trial._replace(state=trial.state._replace(discriminator=large)))
        assert (got.sigmas is None) == (value == math.inf)
        assert got.sigma_product is None


def test_diagnostics_exist_for_every_method_change_nothing_and_come_out_alike(setup, method_name):
    trial = setup(method_name)
    given = (trial.state, batches_for(trial))
    before = tree_map(torch.clone, given)
    rng = torch.get_rng_state()
    first = diagnose(trial.gan, *given)
    assert torch.equal(rng, torch.get_rng_state())
    torch.manual_seed(5)
    assert diagnose(trial.gan, *given) == first
    torch.testing.assert_close(given, before, rtol=0, atol=0)
    judged = trial.gan.loss.threshold is not None
    for name in field_names(Diagnostics):
        value = getattr(first, name)
        if name == "operator_norms" or (name.startswith("accuracy") and not judged):
            assert value is None, name
        elif isinstance(value, list):
            assert all(sigma > 0 for sigma in value), name
        else:
            assert isinstance(value, float) and value >= 0, name
    assert dataclasses.asdict(first)["flat_generator"] <= 1
    for kind in ("train", "fake", "between"):
        mean, highest = getattr(first, f"gradient_norm_{kind}"), getattr(first, f"gradient_norm_{kind}_max")
        assert 0 < mean <= highest
