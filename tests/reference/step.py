"""The training step of the reference, in JAX: losses, penalties and updates as the study describes them.

Written from the paper (sections 2.1, 2.2 and 2.6) and from what is known of its released code, without any of ours.

A state is a dict: `generator`, `discriminator` (parameters by name), `averages` (of G's batch norms: mean and variance
by name), `vectors` ((u, v) of each layer of D), `balance` (of BEGAN), `generator_adam`, `discriminator_adam` (first and
second moments by name, and the number of updates).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus

from tests.reference.layers import DECAY, batch_norm, layer_norm, power_iteration, rectify, sigma
from tests.reference.networks import DISCRIMINATORS, GENERATORS, autoencoder


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method with its hyperparameters.

    Attributes:
        clip_norm: the largest norm of D's gradient with the constraint gradient_clipping.
        stopped_moments: see `layers.moments`; of D's batch norm and layer norm.
        epsilon: where Adam adds it, "torch" (after the bias correction, as in the paper of Adam) or "tensorflow".
        rectify: (maps, slope) -> maps, what stands for ReLU and leaky ReLU.
    """

    architecture: str
    size: int
    loss: str
    normalizations: tuple[str, ...]
    penalty: str | None
    constraint: str | None
    learning_rate: float
    beta1: float
    beta2: float
    penalty_weight: float
    clip_norm: float = 1.0
    stopped_moments: bool = False
    epsilon: str = "torch"
    rectify: Callable = rectify


LOSSES = {
    "non_saturating": (
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: softplus(-fake).mean(),
    ),
    "minimax": (
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: jnp.log(1 - sigmoid(fake)).mean(),
    ),
    "wasserstein": (lambda real, fake: -real.mean() + fake.mean(), lambda fake: -fake.mean()),
    "least_squares": (
        lambda real, fake: 0.5 * (((sigmoid(real) - 1) ** 2).mean() + (sigmoid(fake) ** 2).mean()),
        lambda fake: 0.5 * ((sigmoid(fake) - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda real, fake: rectify(1 - real).mean() + rectify(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
    "began": (None, lambda fake: fake.mean()),
}


def layers_of(parameters):
    """The names of D's convolutions and linear layers' weights."""
    return [name for name in parameters if name.endswith(".kernel")]


def critic(recipe, parameters, vectors):
    """D as a function of images in [0, 1]."""
    weights = dict(parameters)
    for name in layers_of(parameters):
        if "spectral_norm" in recipe.normalizations:
            weights[name] = parameters[name] / sigma(parameters[name], *vectors[name])
        if "frobenius_norm" in recipe.normalizations:
            weights[name] = parameters[name] / jnp.sqrt((parameters[name] ** 2).sum())

    def norm(maps, name):
        if "batch_norm" in recipe.normalizations:
            return batch_norm(weights, name, maps, 1e-5, stopped=recipe.stopped_moments)[0]
        if "layer_norm" in recipe.normalizations:
            return layer_norm(weights, name, maps, stopped=recipe.stopped_moments)
        return maps

    def plain(images):
        network = autoencoder if recipe.loss == "began" else DISCRIMINATORS[recipe.architecture]
        return network(weights, images, norm, recipe.rectify)

    def gradient_normalized(images):
        outputs = plain(images)
        norms = jnp.sqrt((image_gradients(plain, images) ** 2).sum(axis=(1, 2, 3)))
        return outputs / (norms + jnp.abs(outputs))

    return gradient_normalized if "gradient_norm" in recipe.normalizations else plain


def image_gradients(function, images):
    return jax.grad(lambda x: function(x).sum())(images)


def penalty(recipe, function, parameters, vectors, real, fake, noise):
    """Before its weight; 0 where the method has none."""
    layers = layers_of(parameters)

    def slopes(images):
        return jnp.sqrt(1e-4 + (image_gradients(function, images) ** 2).sum(axis=(1, 2, 3)))

    if recipe.penalty == "gradient_penalty":
        return ((slopes(real + noise * (fake - real)) - 1) ** 2).mean()
    if recipe.penalty == "one_sided_gradient_penalty":
        return (jnp.maximum(slopes(real + noise * (fake - real)) - 1, 0) ** 2).mean()
    if recipe.penalty == "dragan":
        deviation = jnp.sqrt(((real - real.mean()) ** 2).mean())
        return ((slopes(jnp.clip(real + deviation * (noise - 0.5), 0, 1)) - 1) ** 2).mean()
    if recipe.penalty == "l2":
        return sum(0.5 * (parameters[name] ** 2).sum() for name in layers) / len(layers)
    if recipe.penalty == "spectral_regularization":
        return sum(sigma(parameters[name], *vectors[name]) ** 2 for name in layers)
    return jnp.zeros(())


def adam(recipe, parameters, gradients, state):
    """One update; "tensorflow" is epsilon-hat of the paper, added to the root of the moment without correction."""
    t, beta1, beta2 = state["updates"] + 1, recipe.beta1, recipe.beta2
    first = {name: beta1 * state["first"][name] + (1 - beta1) * gradients[name] for name in parameters}
    second = {name: beta2 * state["second"][name] + (1 - beta2) * gradients[name] ** 2 for name in parameters}
    updated = {}
    for name, parameter in parameters.items():
        if recipe.epsilon == "tensorflow":
            rate = recipe.learning_rate * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
            updated[name] = parameter - rate * first[name] / (jnp.sqrt(second[name]) + 1e-8)
        else:
            mean, square = first[name] / (1 - beta1**t), second[name] / (1 - beta2**t)
            updated[name] = parameter - recipe.learning_rate * mean / (jnp.sqrt(square) + 1e-8)
    return updated, {"first": first, "second": second, "updates": t}


def generate(recipe, parameters, averages, latents):
    """Images with statistics of the batch, and the moved averages."""
    images, seen = GENERATORS[recipe.architecture](parameters, latents, recipe.size, recipe.rectify)
    moved = {
        name: tuple(DECAY * old + (1 - DECAY) * new for old, new in zip(averages[name], batch, strict=True))
        for name, batch in seen.items()
    }
    return images, moved


def discriminator_objective(recipe, parameters, vectors, balance, real, fake, noise):
    """Loss plus weighted penalty; beside it both terms, and D's mean outputs on real and generated images."""
    function = critic(recipe, parameters, vectors)
    outputs = function(real), function(fake)
    means = outputs[0].mean(), outputs[1].mean()
    loss = means[0] - balance * means[1] if recipe.loss == "began" else LOSSES[recipe.loss][0](*outputs)
    term = penalty(recipe, function, parameters, vectors, real, fake, noise)
    return loss + recipe.penalty_weight * term, (loss, term, means)


def generator_objective(recipe, parameters, state, latents):
    """G's loss, and the moved averages."""
    images, averages = generate(recipe, parameters, state["averages"], latents)
    function = critic(recipe, state["discriminator"], state["vectors"])
    return LOSSES[recipe.loss][1](function(images)), averages


compiled = partial(
    jax.jit,
    static_argnums=0,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    },
)
"""Compiled for few calls: here compiling takes longer than the arithmetic."""


@compiled
def discriminator_update(recipe, state, real, latents, noise):
    """The new state, D's loss and the penalty. One power iteration comes before it; it moves G's averages, too."""
    fake, averages = generate(recipe, state["generator"], state["averages"], latents)
    parameters = state["discriminator"]
    vectors = {name: power_iteration(parameters[name], u) for name, (u, _) in state["vectors"].items()}
    gradients, (loss, term, means) = jax.grad(discriminator_objective, argnums=1, has_aux=True)(
        recipe, parameters, vectors, state["balance"], real, fake, noise
    )
    if recipe.constraint == "gradient_clipping":
        norm = jnp.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        gradients = {name: gradient * jnp.minimum(1, recipe.clip_norm / norm) for name, gradient in gradients.items()}
    parameters, moments = adam(recipe, parameters, gradients, state["discriminator_adam"])
    if recipe.constraint == "weight_clipping":
        parameters = {name: jnp.clip(parameter, -0.01, 0.01) for name, parameter in parameters.items()}
    balance = jnp.clip(state["balance"] + 0.001 * (0.75 * means[0] - means[1]), 0, 1)
    changed = {
        "averages": averages,
        "discriminator": parameters,
        "vectors": vectors,
        "balance": balance if recipe.loss == "began" else state["balance"],
        "discriminator_adam": moments,
    }
    return state | changed, loss, term


@compiled
def generator_update(recipe, state, latents):
    """The new state and G's loss. D's vectors stay, as the update of D left them."""
    (loss, averages), gradients = jax.value_and_grad(generator_objective, argnums=1, has_aux=True)(
        recipe, state["generator"], state, latents
    )
    parameters, moments = adam(recipe, state["generator"], gradients, state["generator_adam"])
    return state | {"generator": parameters, "averages": averages, "generator_adam": moments}, loss


def train(recipe, state, n_dis, reals, latents, noise):
    """One D update for each batch; G is updated after D's updates 1, 1 + n_dis, ..., on the same latents.

    Returns the state, and the sums of D's loss, the penalty and G's loss.
    """
    sums = [0.0, 0.0, 0.0]
    for i, real in enumerate(reals):
        state, loss, term = discriminator_update(recipe, state, real, latents[i], noise[i])
        sums[0] += loss
        sums[1] += term
        if i % n_dis == 0:
            state, loss = generator_update(recipe, state, latents[i])
            sums[2] += loss
    return state, sums
