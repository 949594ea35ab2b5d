"""Penalties: terms that are added to D's loss, times the trial's penalty weight.

Gradients are those of D's output with respect to the image in [0, 1], as the released code of the study took them
(compare_gan, gans/gans_with_penalty.py). To add a penalty, write it here and list it in PENALTIES.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from study.gan.member import Member

Critic = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] in [0, 1] -> outputs [N], with parameters and normalisations bound."""

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Penalty:
    """A term of D's loss.

    Attributes:
        value: (discriminator, its raw parameters, real, fake, noise) -> scalar.
        draw_noise: (shape of a batch of images, rng) -> the random numbers that one evaluation of `value` needs;
            an empty tensor where it needs none.
        passes: what it costs, in forward passes of D over one batch of images, for estimates of time.
    """

    value: Callable[[Critic, Parameters, Tensor, Tensor, Tensor], Tensor]
    draw_noise: Callable[[torch.Size, torch.Generator], Tensor]
    passes: int = 0


TWICE_DIFFERENTIATED = 6
"""Passes of a gradient penalty: forward, back to the image, and backward through both."""


def no_noise(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """An empty tensor."""
    return torch.empty(0, device=rng.device)


def one_number_per_image(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """U[0, 1), [N, 1, 1, 1]."""
    return torch.rand(shape[0], 1, 1, 1, generator=rng, device=rng.device)


def one_number_per_pixel(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """U[0, 1), [N, C, H, W]."""
    return torch.rand(shape, generator=rng, device=rng.device)


def slopes(discriminator: Critic, images: Tensor) -> Tensor:
    """Norm of D's gradient at each image, [N], as sqrt(1e-4 + sum of squares).

    Differs from the paper: the 1e-4 under the root is the released code's; it keeps the root differentiable at 0.
    """
    gradient = torch.func.grad(lambda x: discriminator(x).sum())(images)
    return torch.sqrt(1e-4 + gradient.square().sum(dim=(1, 2, 3)))


def gradient_penalty() -> Penalty:
    """Mean of (slope - 1)^2 at random points between real and fake (Gulrajani et al., 2017, equation 3).

    Two-sided; noise is alpha ~ U[0, 1), one per image; the point is x + alpha (x^ - x), x^ the fakes of the loss.
    """

    def value(discriminator: Critic, parameters: Parameters, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        return (slopes(discriminator, real + noise * (fake - real)) - 1).square().mean()

    return Penalty(value, one_number_per_image, TWICE_DIFFERENTIATED)


def dragan() -> Penalty:
    """Mean of (slope - 1)^2 near real images (Kodali et al., 2017, equation 2).

    Noise is U[0, 1) per pixel; the point is clip(x + std (noise - 1/2), 0, 1), with one std for the whole batch.
    Differs from the paper: its noise is Gaussian and not clipped; this is what the study's released code ran.
    """

    def value(discriminator: Critic, parameters: Parameters, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        nearby = (real + real.std(correction=0) * (noise - 0.5)).clamp(0, 1)
        return (slopes(discriminator, nearby) - 1).square().mean()

    return Penalty(value, one_number_per_pixel, TWICE_DIFFERENTIATED)


def l2() -> Penalty:
    """Mean over D's layers of half the squared norm of the weights; no biases, no normalisation parameters.

    Differs from weight decay as usually meant: the released code divides by the number of layers, and adds the term
    to the loss, so that Adam rescales its gradient.
    """

    def value(discriminator: Critic, parameters: Parameters, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        return torch.stack([parameters[name].square().sum() / 2 for name in layer_weights(parameters)]).mean()

    return Penalty(value, no_noise)


def layer_weights(parameters: Parameters) -> list[str]:
    """The names of the convolution and linear weights: the parameters that are matrices or kernels."""
    return [name for name, parameter in parameters.items() if parameter.ndim >= 2]


PENALTIES: dict[str, Member[Penalty]] = {
    "gradient_penalty": Member(build=gradient_penalty, description="two-sided, between real and fake; Gulrajani 2017"),
    "dragan": Member(build=dragan, description="gradient penalty around real images; Kodali et al. 2017"),
    "l2": Member(build=l2, description="mean over layers of half squared weights; the study's section 2.2"),
}
