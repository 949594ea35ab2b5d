"""Largest singular values of D's layers, by power iteration with vectors that persist between updates.

Kernels are flattened in memory order to [out, h * w * in]. Each layer has two vectors: `left`, u [out], and `right`, v
[h * w * in].
"""

import torch
from torch import Tensor

from study.gan.networks.discriminator import Parameters, SingularVectors, layer_weights
from study.gan.networks.layers import to_channels_last


def unit(vector: Tensor) -> Tensor:
    """The vector divided by its norm; a zero vector stays zero."""
    length: Tensor = vector.norm()
    return vector / length.clamp_min(1e-12)


def matrix(weight: Tensor) -> Tensor:
    """A weight [out, in], or a kernel [out, in, h, w] as a matrix [out, h * w * in]."""
    return to_channels_last(weight).flatten(1)


def initial_vectors(parameters: Parameters, rng: torch.Generator) -> dict[str, Tensor]:
    """For every layer, a random unit vector u, and v = W^T u normalized to length 1."""
    vectors = {}
    for name in layer_weights(parameters):
        weight = matrix(parameters[name])
        vectors[f"{name}.left"] = unit(torch.randn(weight.shape[0], generator=rng, device=rng.device).to(weight))
        vectors[f"{name}.right"] = unit(weight.T @ vectors[f"{name}.left"])
    return vectors


def advance_vectors(parameters: Parameters, vectors: SingularVectors, iterations: int) -> dict[str, Tensor]:
    """The vectors after `iterations` power iterations: v = W^T u, then u = W v, each normalized to length 1."""
    advanced = {}
    for name in layer_weights(parameters) if iterations else ():
        weight, left = matrix(parameters[name]), vectors[f"{name}.left"]
        for _ in range(iterations):
            right = unit(weight.T @ left)
            left = unit(weight @ right)
        advanced[f"{name}.left"], advanced[f"{name}.right"] = left, right
    return advanced


def sigma(parameters: Parameters, vectors: SingularVectors, name: str) -> Tensor:
    """The current estimate u^T W v of the largest singular value of layer `name`, a scalar.

    Differentiable in W, with u and v constant, as in the released code of the study.
    """
    return vectors[f"{name}.left"] @ (matrix(parameters[name]) @ vectors[f"{name}.right"])
