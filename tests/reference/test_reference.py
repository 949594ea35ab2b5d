"""Our training step against an independent one in JAX, in float64: three cycles of updates of D and G."""

import numpy as np
import pytest

from tests.reference.ours import Run

pytestmark = pytest.mark.full
CASES = {
    "sndcgan": [
        "none",
        "wasserstein+spectral_norm+gradient_penalty",
        "least_squares+layer_norm+dragan",
        "hinge+batch_norm+one_sided_gradient_penalty",
        "minimax+frobenius_norm+l2",
        "gradient_norm+spectral_regularization+gradient_clipping",
        "began",
    ],
    "dcgan": [
        "minimax+gradient_penalty+weight_clipping",
        "hinge+spectral_norm+dragan",
        "wasserstein+layer_norm+l2",
        "least_squares+batch_norm+one_sided_gradient_penalty",
        "frobenius_norm+spectral_regularization",
        "gradient_norm",
        "layer_norm+gradient_norm+gradient_penalty",
        "began+layer_norm+spectral_norm",
    ],
    "resnet_cifar": [
        "hinge+dragan",
        "least_squares+spectral_norm+l2",
        "minimax+layer_norm+one_sided_gradient_penalty[stopped_moments=true]",
        "wasserstein+batch_norm+gradient_penalty[adam_epsilon=tensorflow]",
        "frobenius_norm+gradient_clipping[clip_norm=0.1]",
        "gradient_norm+spectral_regularization",
        "layer_norm+spectral_norm+gradient_penalty",
    ],
    "resnet19": [
        "minimax+dragan+weight_clipping",
        "least_squares+spectral_norm+l2",
        "layer_norm+gradient_penalty",
        "hinge+batch_norm+one_sided_gradient_penalty",
        "wasserstein+frobenius_norm+spectral_regularization",
        "gradient_norm+gradient_clipping[clip_norm=0.1]",
    ],
}
"""Every normalisation, penalty, loss and constraint, and of those two first every one in every architecture."""


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


@pytest.fixture(scope="module")
def comparison():
    """JAX is imported here: the quick tests are collected without it."""
    pytest.importorskip("jax").config.update("jax_enable_x64", True)
    from tests.reference import comparison

    return comparison


@pytest.mark.parametrize(("architecture", "name"), [(key, name) for key, names in CASES.items() for name in names])
def test_three_cycles(comparison, architecture, name):
    comparison.check(Run(architecture, name))


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 2)])
def test_both_convolutions_of_the_reference(comparison, size, kernel, stride):
    from tests.reference import layers

    rng = np.random.default_rng(0)
    maps, weight = rng.normal(size=(2, size, size, 3)), rng.normal(size=(kernel, kernel, 3, 2))
    expected = layers.conv({"conv.kernel": weight, "conv.bias": 0.0}, "conv", maps, stride)
    np.testing.assert_allclose(layers.taps_conv(maps, weight, stride), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("architecture", "size"), [("sndcgan", 16), ("dcgan", 32)])
def test_maps_of_more_than_one_pixel_where_they_are_flattened(comparison, architecture, size):
    comparison.check(Run(architecture, "spectral_norm", size=size))


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("sndcgan", "spectral_norm+gradient_penalty"),
        ("resnet_cifar", "batch_norm+gradient_penalty[stopped_moments=true]"),
        ("resnet19", "none"),
    ],
)
def test_without_kinks(comparison, architecture, name):
    comparison.check(Run(architecture, name, smooth=True))
