"""Our step beside the reference's: from a method to the largest difference of each tensor of the state."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.reference.layers import rectify, smooth
from tests.reference.ours import N_DIS
from tests.reference.step import Recipe, train

NETWORKS = ("generator", "discriminator")
TOLERANCE, ROUNDING = 1e-9, 1e-12


def recipe(run, **changes):
    """The method and the hyperparameters of a run of ours, in the reference's terms; `changes` replace some."""
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
        "clip_norm": options.get("clip_norm", 1.0),
        "stopped_moments": options.get("stopped_moments", False),
        "epsilon": options.get("adam_epsilon", "torch"),
        "rectify": smooth if run.smooth else rectify,
    }
    return Recipe(**{**given, **changes})


def reference(run, **changes):
    """The reference's state after all cycles from the state of `run`, and the sums of its losses."""
    start = run.translated(run.state)
    reals, noise = run.reals.permute(0, 1, 3, 4, 2).numpy(), run.noise.numpy()
    if noise.ndim == 5:
        noise = noise.transpose(0, 1, 3, 4, 2)
    start = jax.tree.map(jnp.asarray, start)
    return train(recipe(run, **changes), start, N_DIS, reals, run.latents.numpy(), noise)


def distances(ours, theirs):
    """The largest difference of each tensor, beside its largest value or a thousandth of that of its group.

    Without parameters whose gradients are nothing but rounding (a bias before batch norm, for instance): Adam makes
    steps as large as any other of them.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
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
    """Asserts that our state after all cycles is the reference's, and so are the sums of the losses."""
    state, sums = run.train()
    expected, expected_sums = reference(run, **changes)
    np.testing.assert_allclose(sums.numpy(), expected_sums, rtol=TOLERANCE)
    found = distances(run.translated(state), expected)
    assert {name: distance for name, distance in found.items() if not distance <= TOLERANCE} == {}
