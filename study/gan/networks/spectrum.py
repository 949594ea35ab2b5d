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
    """For every layer, a random unit vector v, and u = W v normalized to length 1."""
    vectors = {}
    for name in layer_weights(parameters):
        weight = matrix(parameters[name])
        right = unit(torch.randn(weight.shape[1], generator=rng, device=rng.device).to(weight))
        vectors[f"{name}.left"], vectors[f"{name}.right"] = unit(weight @ right), right
    return vectors


def advance_vectors(parameters: Parameters, vectors: SingularVectors, iterations: int) -> dict[str, Tensor]:
    """The vectors after `iterations` power iterations: u = W v, then v = W^T u, each normalized to length 1.

    The vector that persists is v, on the side of a layer's inputs, as in the released code of the study (compare_gan,
    gans/ops.py, where it is called u). Miyato et al. (2018, algorithm 1) keep the one on the side of the outputs.
    """
    advanced = {}
    for name in layer_weights(parameters) if iterations else ():
        weight, right = matrix(parameters[name]), vectors[f"{name}.right"]
        for _ in range(iterations):
            left = unit(weight @ right)
            right = unit(weight.T @ left)
        advanced[f"{name}.left"], advanced[f"{name}.right"] = left, right
    return advanced


def sigma(parameters: Parameters, vectors: SingularVectors, name: str) -> Tensor:
    """The current estimate u^T W v of the largest singular value of layer `name`, a scalar.

    Differentiable in W, with u and v constant, as in the released code of the study.
    """
    return vectors[f"{name}.left"] @ (matrix(parameters[name]) @ vectors[f"{name}.right"])
