"""Normalisations of the discriminator: of its weights, of its layers' activations, or of its output.

They compose without flags: a weight normalisation maps the parameters, a layer normalisation is a module that an
architecture places by (channels, size), an output normalisation maps D as a function. At most one of each acts in a
method. To add one, write it here and list it in NORMALIZATIONS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from study.gan.member import Member
from study.gan.penalties import Parameters, layer_weights
from study.names import InputError

Vectors = dict[str, Tensor]
"""State of a weight normalisation: tensors by name."""


@dataclass(frozen=True)
class WeightNormalization:
    """Maps D's parameters to those that it computes with.

    Attributes:
        initial: (parameters, rng) -> state.
        advance: (parameters, state) -> state; once per D update, before it, and never in G's update.
        apply: (parameters, state) -> parameters; differentiable in the parameters, the state held constant.
    """

    initial: Callable[[Parameters, torch.Generator], Vectors]
    advance: Callable[[Parameters, Vectors], Vectors]
    apply: Callable[[Parameters, Vectors], Parameters]


@dataclass(frozen=True)
class LayerNormalization:
    """Normalises activations.

    Attributes:
        module: (channels, size) -> module on [N, channels, size, size].
        couples_samples: whether an image's output depends on the rest of its batch; real and fake images then pass
            through D as separate batches.
    """

    module: Callable[[int, int], nn.Module]
    couples_samples: bool = False


Normalization = WeightNormalization | LayerNormalization


def unit(vector: Tensor) -> Tensor:
    """The vector at length 1; a zero vector stays zero."""
    return vector / vector.norm().clamp_min(1e-12)


def spectral_norm(power_iterations: int) -> WeightNormalization:
    """W / sigma(W) for every layer of D, sigma by persisted power iteration (Miyato et al., 2018, algorithm 1).

    Kernels are flattened to [out, in * h * w]. State: `left` u [out] and `right` v [in * h * w] of each layer;
    sigma = u^T W v, differentiated with u and v held constant.

    Differs from the released code: it iterated at every evaluation of D in the graph that ran, two or three times per
    D update and once per G update. Here D's update iterates `power_iterations` times and G's update not at all.
    """
    if not isinstance(power_iterations, int) or power_iterations < 1:
        raise InputError(f"option power_iterations {power_iterations}: must be a whole number, 1 or more.")

    def initial(parameters: Parameters, rng: torch.Generator) -> Vectors:
        state = {}
        for name in layer_weights(parameters):
            weight = parameters[name].flatten(1)
            state[f"{name}.left"] = unit(torch.randn(weight.shape[0], generator=rng, device=rng.device).to(weight))
            state[f"{name}.right"] = unit(weight.T @ state[f"{name}.left"])
        return state

    def advance(parameters: Parameters, state: Vectors) -> Vectors:
        new = {}
        for name in layer_weights(parameters):
            weight, left = parameters[name].flatten(1), state[f"{name}.left"]
            for _ in range(power_iterations):
                right = unit(weight.T @ left)
                left = unit(weight @ right)
            new[f"{name}.left"], new[f"{name}.right"] = left, right
        return new

    def apply(parameters: Parameters, state: Vectors) -> Parameters:
        normalized = {name: parameters[name] / sigma(parameters, state, name) for name in layer_weights(parameters)}
        return {**parameters, **normalized}

    return WeightNormalization(initial, advance, apply)


def sigma(parameters: Parameters, state: Vectors, name: str) -> Tensor:
    """The current estimate u^T W v of the largest singular value of layer `name`, a scalar."""
    return state[f"{name}.left"] @ (parameters[name].flatten(1) @ state[f"{name}.right"])


class LayerNorm(nn.Module):
    """Statistics over channels and pixels of each image, scale and offset per channel.

    torch.nn.GroupNorm(1, channels) in other words, which cannot be differentiated under vmap where maps are laid out
    channels last.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        normalized = torch.nn.functional.layer_norm(maps, maps.shape[1:], eps=self.eps)
        return normalized * self.weight[:, None, None] + self.bias[:, None, None]


def layer_norm() -> LayerNormalization:
    """Layer normalisation (Ba et al., 2016) with eps 1e-12, the default of the library that the released code used."""
    return LayerNormalization(lambda channels, size: LayerNorm(channels, eps=1e-12))


def batch_norm() -> LayerNormalization:
    """Statistics over the batch and pixels (Ioffe & Szegedy, 2015), eps 1e-5; real and fake are separate batches.

    D is only ever used in training mode, as in the study, so it keeps no moving averages.
    """
    return LayerNormalization(
        lambda channels, size: nn.BatchNorm2d(channels, eps=1e-5, track_running_stats=False), couples_samples=True
    )


NORMALIZATIONS: dict[str, Member[Normalization]] = {
    "spectral_norm": Member(
        build=spectral_norm,
        description="weights over their largest singular value; Miyato et al. 2018",
        options={"power_iterations": 1},
    ),
    "layer_norm": Member(build=layer_norm, description="activations of each image; Ba et al. 2016"),
    "batch_norm": Member(build=batch_norm, description="activations over the batch; Ioffe & Szegedy 2015"),
}
