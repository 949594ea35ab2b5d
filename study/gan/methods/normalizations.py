"""Normalisations of the discriminator: of its weights, of its layers' activations, or of its output.

They compose without flags: a weight normalisation maps the parameters, a layer normalisation is a module that an
architecture places by (channels, size), an output normalisation maps D as a function. At most one of each acts in a
method. To add one, write it here and list it in NORMALIZATIONS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from study.gan.member import Member, Option
from study.gan.networks.discriminator import Critic, Parameters, SingularVectors, image_gradients, layer_weights
from study.gan.networks.spectrum import sigma


@dataclass(frozen=True)
class WeightNormalization:
    """Maps D's parameters to those that it computes with.

    Attributes:
        apply: (parameters, singular vectors) -> parameters; differentiable in the parameters.
        power_iterations: per D update, before it, on D's singular vectors; 0 where it reads none.
    """

    apply: Callable[[Parameters, SingularVectors], Parameters]
    power_iterations: int = 0


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


@dataclass(frozen=True)
class OutputNormalization:
    """Maps D as a function of images, in all its uses: both losses, the penalty and the diagnostics.

    Attributes:
        wrap: critic -> critic.
        cost: passes of D, forward and back, for one of the critic without it; for estimates of time.
    """

    wrap: Callable[[Critic], Critic]
    cost: int = 1


Normalization = WeightNormalization | LayerNormalization | OutputNormalization


def spectral_norm(power_iterations: int) -> WeightNormalization:
    """W / sigma(W) for every layer of D, sigma by persisted power iteration (Miyato et al., 2018, algorithm 1).

    Differs from the released code: it iterated at every evaluation of D in the graph that ran, two or three times per
    D update and once per G update. Here D's update iterates `power_iterations` times and G's update not at all.
    """

    def apply(parameters: Parameters, vectors: SingularVectors) -> Parameters:
        normalized = {
            name: parameters[name] * sigma(parameters, vectors, name).reciprocal() for name in layer_weights(parameters)
        }
        return {**parameters, **normalized}

    return WeightNormalization(apply, power_iterations)


def frobenius_norm(frobenius_clip: bool, frobenius_radius: float) -> WeightNormalization:
    """W r / ||W||_F for every layer of D, or W min(1, r / ||W||_F), its projection into the ball of radius r.

    Stronger than needed for linear layers, since sigma(W) <= ||W||_F, and no bound for convolutions: a 3x3 kernel of
    entries 1/3 has ||W||_F = 1 and an operator norm near 3.
    """

    def scaled(weight: Tensor) -> Tensor:
        norm: Tensor = weight.norm()
        factor = frobenius_radius / norm.clamp_min(1e-12)
        return weight * (factor.clamp(max=1) if frobenius_clip else factor)

    def apply(parameters: Parameters, vectors: SingularVectors) -> Parameters:
        return {**parameters, **{name: scaled(parameters[name]) for name in layer_weights(parameters)}}

    return WeightNormalization(apply)


def gradient_norm() -> OutputNormalization:
    """f(x) / (||grad f(x)|| + |f(x)|), in [-1, 1] (Wu et al., 2021).

    For a piecewise linear f the gradient of f / ||grad f|| has norm 1.
    """

    def wrap(critic: Critic) -> Critic:
        def normalized(images: Tensor) -> Tensor:
            gradients, outputs = image_gradients(critic, images)
            norms = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
            values: Tensor = outputs / (norms + outputs.abs()).clamp_min(1e-12)
            return values

        return normalized

    return OutputNormalization(wrap, cost=3)


class LayerNorm(nn.Module):
    """Statistics over channels and pixels of each image, scale and offset per channel.

    torch.nn.GroupNorm(1, channels) in other words, which cannot be differentiated under vmap where maps are laid out
    channels last. Nor is it torch's layer_norm, whose third derivatives are wrong (it takes the statistics for
    constants there; pytorch issue 175754): those are what a gradient penalty on gradient_norm descends.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        wide = maps.float() if maps.dtype == torch.bfloat16 else maps
        centred = wide - wide.mean(dim=(1, 2, 3), keepdim=True)
        normalized = centred / torch.sqrt(centred.square().mean(dim=(1, 2, 3), keepdim=True) + self.eps)
        return (normalized * self.weight[:, None, None] + self.bias[:, None, None]).to(maps.dtype)


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
        description="weights over their largest singular value; Miyato et al. 2018; the study's section 2.2",
        options={"power_iterations": Option(default=1, description="per D update; the study's code made 2 to 3")},
    ),
    "frobenius_norm": Member(
        build=frobenius_norm,
        description="weights over their Frobenius norm, or clipped to a ball of it; not in the study",
        options={
            "frobenius_clip": Option(default=False, description="leave weights inside the ball as they are"),
            "frobenius_radius": Option(default=1.0, description="of the sphere or ball"),
        },
    ),
    "layer_norm": Member(
        build=layer_norm, description="activations of each image; Ba et al. 2016; the study's section 2.2"
    ),
    "batch_norm": Member(
        build=batch_norm, description="activations over the batch; Ioffe & Szegedy 2015; the study's section 2.2"
    ),
    "gradient_norm": Member(
        build=gradient_norm, description="D's output over the norm of its gradient; Wu et al. 2021; not in the study"
    ),
}
