"""Our training step against an independent one in JAX, in float64: three cycles of updates of D and G."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)

from tests.reference import layers  # noqa: E402  after the switch to float64
from tests.reference.ours import N_DIS, Run  # noqa: E402
from tests.reference.step import Recipe, train  # noqa: E402

pytestmark = pytest.mark.full
NETWORKS = ("generator", "discriminator")
TOLERANCE, ROUNDING = 1e-9, 1e-12
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
        "batch_norm+gradient_penalty[stopped_moments=true]",
        "frobenius_norm+gradient_clipping",
        "gradient_norm+spectral_regularization",
        "layer_norm+spectral_norm+gradient_penalty",
    ],
    "resnet19": [
        "minimax+dragan+weight_clipping",
        "least_squares+spectral_norm+l2",
        "layer_norm+gradient_penalty",
        "hinge+batch_norm+one_sided_gradient_penalty",
        "wasserstein+frobenius_norm+spectral_regularization",
        "gradient_norm+gradient_clipping",
    ],
}
"""Every normalisation, penalty, loss and constraint, and of those two first every one in every architecture."""


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


def recipe(run, **changes):
    method, settings = run.method, run.trial.hyperparameters
    options = dict(method.options)
    given = {
        "architecture": method.architecture,
        "size": run.size,
        "loss": method.loss,
        "normalizations": method.normalizations,
        "penalty": method.penalty,
        "constraint": method.constraint,
        "learning_rate": settings.learning_rate,
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "penalty_weight": settings.penalty_weight or 0.0,
        "stopped_moments": options.get("stopped_moments", False),
        "epsilon": options.get("adam_epsilon", "torch"),
    }
    return Recipe(**{**given, **changes})


def reference(run, **changes):
    """The reference's state after all cycles from the state of `run`, and the sums of its losses."""
    start = run.translated(run.state)
    reals, noise = run.reals.permute(0, 1, 3, 4, 2).numpy(), run.noise.numpy()
    if noise.ndim == 5:
        noise = noise.transpose(0, 1, 3, 4, 2)
    start = jax.tree.map(jax.numpy.asarray, start)
    return train(recipe(run, **changes), start, N_DIS, reals, run.latents.numpy(), noise)


def distances(ours, theirs):
    """The largest difference of each tensor, beside its largest value or a thousandth of that of its group.

    Without parameters whose gradients are nothing but rounding (a bias before batch norm, for instance): Adam makes
    steps as large as any other of them.
    """
    found = {}
    for group in ours:
        flat = jax.tree_util.tree_flatten_with_path(ours[group])[0]
        other = jax.tree_util.tree_leaves(theirs[group])
        scales = [float(np.abs(value).max()) for _, value in flat]
        floor = 1e-3 * max(scales, default=0.0)
        for (path, value), expected, scale in zip(flat, other, scales, strict=True):
            assert np.shape(value) == np.shape(expected)
            difference = np.abs(np.asarray(value) - np.asarray(expected))
            if group in NETWORKS:
                moving = [_moving(state[f"{group}_adam"]["second"], path[0].key) for state in (ours, theirs)]
                difference = np.where(moving[0] | moving[1], difference, 0.0)
            found[group + jax.tree_util.keystr(path)] = float(difference.max()) / (max(scale, floor) or 1.0)
    return found


def _moving(moments, name):
    """Where a gradient is more than rounding, beside the largest of its network."""
    largest = max(float(np.max(moment)) for moment in moments.values())
    return np.asarray(moments[name]) > ROUNDING**2 * largest


def check(run, **changes):
    state, sums = run.train()
    expected, expected_sums = reference(run, **changes)
    np.testing.assert_allclose(sums.numpy(), expected_sums, rtol=TOLERANCE)
    found = distances(run.translated(state), expected)
    assert {name: distance for name, distance in found.items() if not distance <= TOLERANCE} == {}


@pytest.mark.parametrize(("architecture", "name"), [(key, name) for key, names in CASES.items() for name in names])
def test_three_cycles(architecture, name):
    check(Run(architecture, name))


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 2)])
def test_both_convolutions_of_the_reference(size, kernel, stride):
    rng = np.random.default_rng(0)
    maps, weight = rng.normal(size=(2, size, size, 3)), rng.normal(size=(kernel, kernel, 3, 2))
    expected = layers.conv({"conv.kernel": weight, "conv.bias": 0.0}, "conv", maps, stride)
    np.testing.assert_allclose(layers.taps_conv(maps, weight, stride), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("architecture", "size"), [("sndcgan", 16), ("dcgan", 32), ("resnet_cifar", 16)])
def test_maps_of_more_than_one_pixel_where_they_are_flattened(architecture, size):
    check(Run(architecture, "spectral_norm", size=size))


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("sndcgan", "spectral_norm+gradient_penalty"),
        ("resnet_cifar", "batch_norm+gradient_penalty"),
        ("resnet19", "none"),
    ],
)
def test_without_kinks(architecture, name):
    check(Run(architecture, name, smooth=True), rectify=layers.smooth)
