"""Normalizations of the discriminator: of its weights, of the activations of its layers, or of its output.

A weight normalization maps the parameters, a layer normalization is a module that an architecture inserts for given
channels and size, and an output normalization maps D as a function. A method has at most one of each. To add one, write
it here and list it in NORMALIZATIONS.
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
    """Maps D's raw parameters to the parameters that D computes with.

    Attributes:
        apply: (parameters, singular vectors) -> parameters; differentiable in the parameters.
        power_iterations: number of power iterations on D's singular vectors before each D update; 0 if they are not
            used.
    """

    apply: Callable[[Parameters, SingularVectors], Parameters]
    power_iterations: int = 0


@dataclass(frozen=True)
class LayerNormalization:
    """Normalizes activations.

    Attributes:
        module: (channels, size) -> module on maps [N, channels, size, size].
        couples_samples: whether the output for an image depends on the rest of its batch; if so, real and generated
            images pass through D as separate batches.
    """

    module: Callable[[int, int], nn.Module]
    couples_samples: bool = False


@dataclass(frozen=True)
class OutputNormalization:
    """Maps D as a function of images wherever it is used: in both losses, the penalty and the diagnostics.

    Attributes:
        wrap: critic -> critic.
        cost: number of forward and backward passes of D per evaluation, relative to D without it; for time
            estimates.
    """

    wrap: Callable[[Critic], Critic]
    cost: int = 1


Normalization = WeightNormalization | LayerNormalization | OutputNormalization


def spectral_norm(power_iterations: int) -> WeightNormalization:
    """W / sigma(W) for every layer of D, sigma by persistent power iteration (Miyato et al., 2018, algorithm 1).

    Differs from the released code of the study, which iterated at every evaluation of D in the graph, two or three
    times per D update and once per G update: here a D update iterates `power_iterations` times, and a G update does
    not. The vector that persists is on the side of the inputs, as in that code.
    """

    def apply(parameters: Parameters, vectors: SingularVectors) -> Parameters:
        normalized = {
            name: parameters[name] * sigma(parameters, vectors, name).reciprocal() for name in layer_weights(parameters)
        }
        return {**parameters, **normalized}

    return WeightNormalization(apply, power_iterations)


def frobenius_norm(frobenius_clip: bool, frobenius_radius: float) -> WeightNormalization:
    """W r / ||W||_F for every layer of D; with `frobenius_clip` W min(1, r / ||W||_F), the projection to a ball.

    Stronger than necessary for linear layers, since sigma(W) <= ||W||_F, and not a bound for convolutions: a 3x3 kernel
    with all entries 1/3 has ||W||_F = 1 and an operator norm near 3.
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

    If f is piecewise linear, the gradient of f / ||grad f|| has norm 1.
    """

    def wrap(critic: Critic) -> Critic:
        def normalized(images: Tensor) -> Tensor:
            gradients, outputs = image_gradients(critic, images)
            norms = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
            values: Tensor = outputs / (norms + outputs.abs()).clamp_min(1e-12)
            return values

        return normalized

    return OutputNormalization(wrap, cost=3)


class MomentNorm(nn.Module):
    """Maps [N, C, H, W] minus their mean, divided by their standard deviation; scale and offset per channel.

    Args:
        channels: C.
        eps: added to the variance.
        dims: the dimensions that mean and variance are taken over: (1, 2, 3) for layer norm, (0, 2, 3) for batch norm.
        stopped_moments: whether the mean inside the variance counts as a constant in derivatives, as in
            TensorFlow's `tf.nn.moments`, which the study ran. First derivatives are the same, since the derivative of
            the variance with respect to the mean is 0; second derivatives, which penalties on D's gradient need, lack
            a term.

    With dims (1, 2, 3) equal to torch.nn.GroupNorm(1, channels), which cannot be differentiated under vmap for
    channels-last maps. torch's layer_norm cannot be used either: its third derivatives are wrong, because they treat
    the statistics as constants (pytorch issue 175754), and a gradient penalty on gradient_norm needs them.
    """

    def __init__(self, channels: int, eps: float, dims: tuple[int, ...], *, stopped_moments: bool) -> None:
        super().__init__()
        self.eps, self.dims, self.stopped_moments = eps, dims, stopped_moments
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        wide = maps.float() if maps.dtype == torch.bfloat16 else maps
        mean = wide.mean(dim=self.dims, keepdim=True)
        centred = wide - mean
        deviation = wide - mean.detach() if self.stopped_moments else centred
        normalized = centred / torch.sqrt(deviation.square().mean(dim=self.dims, keepdim=True) + self.eps)
        return (normalized * self.weight[:, None, None] + self.bias[:, None, None]).to(maps.dtype)


def layer_norm(stopped_moments: bool) -> LayerNormalization:
    """Layer normalization (Ba et al., 2016), eps 1e-12: the default of the library that the released code used.

    Differs from the study by default: its second derivatives lacked a term, as with `stopped_moments` (see MomentNorm).
    """
    return LayerNormalization(
        lambda channels, size: MomentNorm(channels, 1e-12, (1, 2, 3), stopped_moments=stopped_moments)
    )


def batch_norm(stopped_moments: bool) -> LayerNormalization:
    """Batch normalization (Ioffe & Szegedy, 2015), eps 1e-5; real and generated images are separate batches.

    D is always in training mode, as in the study, so it keeps no moving averages. Differs from the study by default:
    its second derivatives lacked a term, as with `stopped_moments` (see MomentNorm). With a gradient penalty that is up
    to a sixth of D's gradient.
    """

    def module(channels: int, size: int) -> nn.Module:
        if stopped_moments:
            return MomentNorm(channels, 1e-5, (0, 2, 3), stopped_moments=True)
        return nn.BatchNorm2d(channels, eps=1e-5, track_running_stats=False)

    return LayerNormalization(module, couples_samples=True)


STOPPED_MOMENTS = {
    "stopped_moments": Option(
        default=False,
        description="let gradient penalties treat the mean inside the variance as a constant, as the study's code did",
    )
}


NORMALIZATIONS: dict[str, Member[Normalization]] = {
    "spectral_norm": Member(
        build=spectral_norm,
        description="divide weights by their largest singular value; Miyato et al. 2018; section 2.2 of the study",
        options={
            "power_iterations": Option(
                default=1, description="number of power iterations per D update; the study's code made 2 to 3"
            )
        },
    ),
    "frobenius_norm": Member(
        build=frobenius_norm,
        description="scale weights to a given Frobenius norm, or limit the norm; not in the study",
        options={
            "frobenius_clip": Option(
                default=False, description="only scale weights whose norm exceeds frobenius_radius"
            ),
            "frobenius_radius": Option(
                default=1.0, description="target or maximum Frobenius norm of the weights of a layer"
            ),
        },
    ),
    "layer_norm": Member(
        build=layer_norm,
        description="normalize the activations of each image; Ba et al. 2016; section 2.2 of the study",
        options=STOPPED_MOMENTS,
    ),
    "batch_norm": Member(
        build=batch_norm,
        description="normalize activations over the batch; Ioffe & Szegedy 2015; section 2.2 of the study",
        options=STOPPED_MOMENTS,
    ),
    "gradient_norm": Member(
        build=gradient_norm,
        description="divide D's output by the norm of its gradient; Wu et al. 2021; not in the study",
    ),
}
