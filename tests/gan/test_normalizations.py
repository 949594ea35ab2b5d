"""Normalisations against linear algebra, against torch, and against their own promises."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, layer_norm, linear
from torch.nn.utils.parametrizations import spectral_norm

from study.gan.methods.normalizations import NORMALIZATIONS, LayerNormalization, WeightNormalization
from study.gan.networks.spectrum import advance_vectors, initial_vectors, matrix, sigma, unit
from tests.gan.menus import built as built_from
from tests.gan.menus import variants


def built(name, **options):
    return built_from(NORMALIZATIONS, name, **options)


def of_kind(kind):
    return [name for name in (*NORMALIZATIONS, *variants(NORMALIZATIONS)) if isinstance(built(name), kind)]


LAYER_NORMS = of_kind(LayerNormalization)


def kernels(dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (6, 3, 4, 4), "linear.weight": (1, 20), "square.weight": (5, 5)}
    weights = {name: torch.randn(shape, generator=rng, dtype=dtype) for name, shape in shapes.items()}
    return {**weights, "conv.bias": torch.ones(6, dtype=dtype)}


def iterated(parameters, times):
    return advance_vectors(parameters, initial_vectors(parameters, torch.Generator().manual_seed(1)), times)


@pytest.mark.parametrize("name", ["conv.weight", "linear.weight", "square.weight"])
def test_sigma_becomes_the_largest_singular_value(name):
    parameters, norm = kernels(), built("spectral_norm")
    vectors = iterated(parameters, 300)
    largest = torch.linalg.svdvals(parameters[name].flatten(1))[0]
    assert sigma(parameters, vectors, name).item() == pytest.approx(largest.item(), rel=1e-5)
    normalised = norm.apply(parameters, vectors)
    assert torch.linalg.svdvals(normalised[name].flatten(1))[0].item() == pytest.approx(1, rel=1e-5)


def test_one_iteration_is_not_yet_the_singular_value_and_vectors_have_length_one():
    parameters = kernels()
    vectors = iterated(parameters, 1)
    largest = torch.linalg.svdvals(parameters["conv.weight"].flatten(1))[0].item()
    assert sigma(parameters, vectors, "conv.weight").item() < largest * (1 - 1e-3)
    assert all(vector.norm().item() == pytest.approx(1, rel=1e-12) for vector in vectors.values())
    lengths = {name: vector.shape for name, vector in vectors.items() if name.startswith("conv")}
    assert lengths == {"conv.weight.left": (6,), "conv.weight.right": (48,)}


def test_all_ones_three_to_four():
    ones, norm = {"weight": torch.ones(4, 3)}, built("spectral_norm")
    vectors = iterated(ones, 1)  # rank one: one iteration suffices
    assert sigma(ones, vectors, "weight").item() == pytest.approx(3.4641, abs=5e-5)
    out = linear(torch.ones(1, 3), norm.apply(ones, vectors)["weight"])
    torch.testing.assert_close(out, torch.full((1, 4), 0.8660), rtol=0, atol=5e-5)


def in_our_order(vector, weight):
    """A right singular vector of a weight that was flattened with the channels first."""
    return matrix(vector.view(1, *weight.shape[1:])).squeeze(0).clone()


@pytest.mark.parametrize(("layer", "name"), [(nn.Conv2d(3, 6, 4), "conv.weight"), (nn.Linear(20, 7), "linear.weight")])
def test_agrees_with_torch_given_the_same_vectors_and_in_how_they_advance(layer, name):
    layer = spectral_norm(layer.double(), n_power_iterations=1)
    theirs = layer.parametrizations.weight[0]
    parameters, norm = {name: layer.parametrizations.weight.original.detach()}, built("spectral_norm")
    ours = {f"{name}.left": theirs._u.clone(), f"{name}.right": in_our_order(theirs._v, parameters[name])}
    layer.eval()
    torch.testing.assert_close(norm.apply(parameters, ours)[name], layer.weight.detach(), rtol=1e-12, atol=1e-14)
    advanced = advance_vectors(parameters, ours, 1)
    layer.train()
    _ = layer.weight  # torch iterates here: u from the old v, then v from u
    torch.testing.assert_close(advanced[f"{name}.left"], theirs._u, rtol=1e-10, atol=1e-12)
    right = in_our_order(theirs._v, parameters[name])
    torch.testing.assert_close(advanced[f"{name}.right"], right, rtol=1e-10, atol=1e-12)


def test_gradient_of_sigma_is_the_outer_product_and_the_vectors_are_constants():
    parameters, norm = kernels(), built("spectral_norm")
    vectors = iterated(parameters, 1)  # far from converged: through the iteration the gradient would differ
    u, v = vectors["conv.weight.left"], vectors["conv.weight.right"]
    gradient = torch.func.grad(lambda p: sigma(p, vectors, "conv.weight"))(parameters)["conv.weight"]
    torch.testing.assert_close(matrix(gradient), torch.outer(u, v), rtol=1e-12, atol=1e-14)
    weight = matrix(parameters["conv.weight"])
    cotangent = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    of_normalised = torch.func.grad(lambda p: (matrix(norm.apply(p, vectors)["conv.weight"]) * cotangent).sum())(
        parameters
    )["conv.weight"]
    s = u @ weight @ v
    expected = cotangent / s - (cotangent * weight).sum() / s**2 * torch.outer(u, v)
    torch.testing.assert_close(matrix(of_normalised), expected, rtol=1e-11, atol=1e-13)


def test_power_iterations_are_repeated_single_ones():
    parameters = kernels()
    start = initial_vectors(parameters, torch.Generator().manual_seed(1))
    singly = start
    for _ in range(3):
        singly = advance_vectors(parameters, singly, 1)
    once = advance_vectors(parameters, start, 3)
    assert all(torch.equal(once[name], singly[name]) for name in start)
    assert not torch.equal(once["conv.weight.left"], advance_vectors(parameters, start, 1)["conv.weight.left"])
    assert built("spectral_norm").power_iterations == 1
    assert built("spectral_norm", power_iterations=3).power_iterations == 3


def test_the_first_vectors_are_of_length_one_and_a_pair():
    parameters = {name: weight.float() for name, weight in kernels().items()}
    vectors = initial_vectors(parameters, torch.Generator().manual_seed(1))
    for name in ("conv.weight", "linear.weight", "square.weight"):
        left, right = vectors[f"{name}.left"], vectors[f"{name}.right"]
        assert right.norm().item() == pytest.approx(1, rel=1e-6)
        torch.testing.assert_close(left, unit(matrix(parameters[name]) @ right), rtol=1e-6, atol=1e-7)
        assert left.dtype == torch.float32


@pytest.mark.parametrize(("iterations", "tolerance"), [(1, None), (20, 0.01), (25, 0.005)])
def test_twenty_odd_iterations_from_a_cold_start_are_all_but_exact_in_float32(iterations, tolerance):
    """Of a square random matrix, whose singular values lie close together: the hard case."""
    rng, errors = torch.Generator().manual_seed(7), []
    for _ in range(20):
        weights = {"weight": torch.randn(32, 32, generator=rng)}
        vectors = advance_vectors(weights, initial_vectors(weights, rng), iterations)
        exact = torch.linalg.svdvals(weights["weight"].double())[0].item()
        errors.append(1 - sigma(weights, vectors, "weight").item() / exact)
    assert min(errors) > -1e-5  # an estimate from below
    if tolerance:
        assert sum(errors) / len(errors) < tolerance
    else:
        assert sum(errors) / len(errors) > 0.1


@pytest.mark.parametrize("iterations", [20, 25])
def test_where_singular_values_are_apart_as_many_iterations_are_exact_to_float32(iterations):
    rng = torch.Generator().manual_seed(7)
    u, v = (torch.linalg.qr(torch.randn(24, 8, generator=rng, dtype=torch.float64))[0] for _ in range(2))
    weights = {"weight": (u @ torch.diag(2.0 * 0.6 ** torch.arange(8).double()) @ v.T).float()}
    vectors = advance_vectors(weights, initial_vectors(weights, rng), iterations)
    assert sigma(weights, vectors, "weight").item() == pytest.approx(2, rel=3e-7)


def test_spectral_norm_acts_on_all_convolutions_and_the_last_layer_and_on_nothing_else(setup):
    gan, state, *_ = setup("spectral_norm")
    vectors = gan.advance(state.discriminator, state.vectors)
    normalised = gan.weight_norm.apply(state.discriminator, vectors)
    weights = [name for name, p in state.discriminator.items() if p.ndim >= 2]
    assert len(weights) == 7 + 1
    assert weights[-1] == list(state.discriminator)[-2]  # the last linear layer
    assert set(vectors) == {f"{name}.{side}" for name in weights for side in ("left", "right")}
    assert list(normalised) == list(state.discriminator)
    for name, parameter in state.discriminator.items():
        if name in weights:
            s = sigma(state.discriminator, vectors, name)
            assert not math.isclose(s, 1, rel_tol=1e-3)
            torch.testing.assert_close(normalised[name] * s, parameter, rtol=1e-12, atol=1e-14)
        else:
            assert normalised[name] is parameter


@pytest.mark.parametrize("name", of_kind(WeightNormalization))
def test_weight_normalisations_change_nothing_in_place_and_keep_shapes(setup, name):
    gan, state, *_ = setup(name)
    given = (state.discriminator, state.vectors)
    before = [{key: tensor.clone() for key, tensor in tensors.items()} for tensors in given]
    advanced = gan.advance(state.discriminator, state.vectors)
    applied = gan.weight_norm.apply(state.discriminator, advanced)
    for old, new in zip(before, given, strict=True):
        assert all(torch.equal(old[key], new[key]) for key in old)
    assert {k: v.shape for k, v in advanced.items()} == {k: v.shape for k, v in state.vectors.items()}
    assert {k: p.shape for k, p in applied.items()} == {k: p.shape for k, p in state.discriminator.items()}
    for key, parameter in state.discriminator.items():
        assert (applied[key] is parameter) == (parameter.ndim < 2)


def test_frobenius_norm_divides_every_weight_by_its_norm():
    parameters = kernels()
    for radius in (1.0, 0.3, 5.0):
        applied = built("frobenius_norm", frobenius_radius=radius).apply(parameters, {})
        for name, weight in parameters.items():
            length = math.sqrt(sum(x**2 for x in weight.flatten().tolist()))
            expected = weight if name.endswith("bias") else weight * radius / length
            torch.testing.assert_close(applied[name], expected, rtol=1e-12, atol=0)


def test_frobenius_clipping_leaves_what_is_inside_the_ball_and_projects_what_is_not():
    inside, outside = torch.full((2, 2), 0.2, dtype=torch.float64), torch.full((2, 2), 3.0, dtype=torch.float64)
    weights = {"inside": inside, "on": torch.eye(2, dtype=torch.float64) * 0.5**0.5, "outside": outside}
    applied = built("frobenius_norm[frobenius_clip=true]").apply(weights, {})
    assert torch.equal(applied["inside"], inside)
    torch.testing.assert_close(applied["on"], weights["on"], rtol=1e-15, atol=0)
    torch.testing.assert_close(applied["outside"], outside / 6, rtol=1e-12, atol=0)
    wider = built("frobenius_norm", frobenius_clip=True, frobenius_radius=2.0).apply(weights, {})
    torch.testing.assert_close(wider["outside"], outside / 3, rtol=1e-12, atol=0)
    larger = built("frobenius_norm").apply(weights, {})  # without clipping, what is inside grows
    torch.testing.assert_close(larger["inside"], inside / 0.4, rtol=1e-12, atol=0)


def test_frobenius_norm_makes_a_linear_layer_1_lipschitz_and_more():
    weights = {name: weight for name, weight in kernels().items() if name in ("linear.weight", "square.weight")}
    applied = built("frobenius_norm").apply(weights, {})
    largest = {name: torch.linalg.svdvals(weight)[0].item() for name, weight in applied.items()}
    assert largest["linear.weight"] == pytest.approx(1, rel=1e-12)  # of rank one
    assert 1 / math.sqrt(5) < largest["square.weight"] < 0.9


def test_a_kernel_of_thirds_has_norm_and_sigma_one_and_stretches_images_threefold():
    kernel = {"weight": torch.full((1, 1, 3, 3), 1 / 3, dtype=torch.float64)}
    for name in ("frobenius_norm", "spectral_norm"):
        applied = built(name).apply(kernel, iterated(kernel, 2))
        torch.testing.assert_close(applied, kernel, rtol=1e-12, atol=0)
    assert torch.linalg.svdvals(kernel["weight"].flatten(1))[0].item() == pytest.approx(1, rel=1e-12)
    ones = torch.ones(1, 1, 40, 40, dtype=torch.float64)
    assert (conv2d(ones, kernel["weight"]).norm() / ones.norm()).item() == pytest.approx(3 * 38 / 40, rel=1e-12)


@pytest.mark.parametrize("name", of_kind(WeightNormalization))
def test_zero_weights_stay_finite_in_all_but_spectral_norm_which_is_not_defined_there(name):
    zero = {"weight": torch.zeros(3, 2)}
    vectors = iterated(zero, 2)
    assert all(vector.isfinite().all() for vector in vectors.values())
    assert torch.equal(unit(torch.zeros(3)), torch.zeros(3))
    if name.startswith("frobenius"):
        assert torch.equal(built(name).apply(zero, vectors)["weight"], zero["weight"])


def on(module, maps):
    """`module`, whose scale and offset differ by channel, applied to maps, and the two as [C, 1, 1]."""
    channels = maps.shape[1]
    scale, offset = torch.linspace(0.5, 2, channels).double(), torch.linspace(-1, 1, channels).double()
    module = module.double()
    module.load_state_dict({"weight": scale, "bias": offset})
    return module(maps).detach(), scale.view(-1, 1, 1), offset.view(-1, 1, 1)


@pytest.mark.parametrize("spread", [1.0, 1e-6])  # at 1e-6 the variance is as small as eps
def test_layer_norm_is_over_channels_and_pixels_with_eps_1e_12_and_scale_per_channel(spread):
    maps = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * spread + 0.1
    got, scale, offset = on(built("layer_norm").module(4, 5), maps)
    torch.testing.assert_close(got, layer_norm(maps, maps.shape[1:], eps=1e-12) * scale + offset, rtol=1e-8, atol=1e-9)
    mean, variance = maps.mean(dim=(1, 2, 3), keepdim=True), maps.var(dim=(1, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(got, (maps - mean) / (variance + 1e-12).sqrt() * scale + offset, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("spread", [1.0, 3e-3])  # at 3e-3 the variance is as small as eps
def test_batch_norm_is_over_batch_and_pixels_with_eps_1e_5_and_keeps_no_averages(spread):
    maps = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * spread + 0.1
    module = built("batch_norm").module(4, 5)
    assert not list(module.buffers())
    got, scale, offset = on(module, maps)
    mean, variance = maps.mean(dim=(0, 2, 3), keepdim=True), maps.var(dim=(0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(got, (maps - mean) / (variance + 1e-5).sqrt() * scale + offset, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "dims"), [("layer_norm", (1, 2, 3)), ("batch_norm", (0, 2, 3))])
def test_stopped_moments_have_the_second_derivatives_of_a_constant_mean_in_the_variance(name, dims):
    """As TensorFlow's moments; values and first derivatives stay, so that only a penalty on the gradient can tell.

    And only behind a layer, here a product: the slope of the norm itself has no part along its mean.
    """
    maps = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.randn(2, *maps.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact, stopped = (built(name, stopped_moments=stop).module(4, 5).double() for stop in (False, True))
    constant, eps = (maps * weights[1]).mean(dim=dims, keepdim=True), {"layer_norm": 1e-12, "batch_norm": 1e-5}[name]

    def by_hand(x):
        return (x - x.mean(dim=dims, keepdim=True)) / (
            (x - constant).square().mean(dim=dims, keepdim=True) + eps
        ).sqrt()

    def slope(module):
        return torch.func.grad(lambda x: (module(x * weights[1]).square() * weights[0]).sum())

    def slope_of_slope(module):
        return torch.func.grad(lambda x: (slope(module)(x).square().sum(dim=(1, 2, 3)) + 1e-4).sqrt().sum())(maps)

    torch.testing.assert_close(stopped(maps), exact(maps), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slope(stopped)(maps), slope(exact)(maps), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(slope_of_slope(stopped), slope_of_slope(by_hand), rtol=1e-9, atol=1e-11)
    assert (slope_of_slope(stopped) - slope_of_slope(exact)).norm() > 1e-3 * slope_of_slope(exact).norm()


@pytest.mark.parametrize("name", LAYER_NORMS)
def test_couples_samples_says_whether_an_image_sees_the_rest_of_its_batch(name):
    normalization = built(name)
    maps = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = torch.cat([maps[:2], maps[2:] * 3 + 1])
    outputs = [on(normalization.module(3, 2), batch)[0][:2] for batch in (maps, other)]
    assert normalization.couples_samples != torch.allclose(*outputs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LAYER_NORMS)
def test_layers_are_normalised_after_each_convolution_before_its_activation(setup, name):
    kinds = [type(layer).__name__ for layer in setup(name).gan.discriminator.layers]
    norm = type(built(name).module(1, 1)).__name__
    assert kinds == ["Conv2d", norm, "LeakyReLU"] * 7 + ["Flatten", "Linear"]
