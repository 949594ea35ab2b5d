"""Penalties: terms of D's loss, multiplied by the trial's penalty weight.

Gradients are derivatives of D's output with respect to the image in [0, 1], as in the released code of the study
(compare_gan, gans/gans_with_penalty.py). To add a penalty, write it here and list it in PENALTIES.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.gan.member import Member, Option
from study.gan.networks.discriminator import Critic, Discriminator, image_gradients, layer_weights
from study.gan.networks.spectrum import sigma

Noise = Callable[[torch.Size, torch.Generator], Tensor]


def no_noise(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """An empty tensor, for penalties without random numbers."""
    return torch.empty(0, device=rng.device)


@dataclass(frozen=True)
class Penalty:
    """A term of D's loss.

    Attributes:
        value: (discriminator, real images, generated images, noise) -> scalar.
        draw_noise: (shape of a batch of images, rng) -> the random numbers for one evaluation of `value`; an empty
            tensor if it needs none.
        passes: cost in forward passes of D over one batch of images, for time estimates.
        power_iterations: number of power iterations per D update on D's singular vectors; 0 if they are not used.
    """

    value: Callable[[Discriminator, Tensor, Tensor, Tensor], Tensor]
    draw_noise: Noise = no_noise
    passes: int = 0
    power_iterations: int = 0


TWICE_DIFFERENTIATED = 4
"""Passes of a gradient penalty: forward, backward to the image, and backward through both (counted as two).

Normalizations of layers and of the output have a second derivative and need two more.
"""


def one_number_per_image(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """U[0, 1), [N, 1, 1, 1]."""
    return torch.rand(shape[0], 1, 1, 1, generator=rng, device=rng.device)


def normal_per_pixel(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """N(0, 1), [N, C, H, W]."""
    return torch.randn(shape, generator=rng, device=rng.device)


def one_number_per_pixel(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """U[0, 1), [N, C, H, W]."""
    return torch.rand(shape, generator=rng, device=rng.device)


def slopes(critic: Critic, images: Tensor) -> Tensor:
    """Norm of D's gradient at each image, [N], as sqrt(1e-4 + sum of squares).

    Differs from the paper: the 1e-4 under the root is from the released code; it keeps the root differentiable at 0.
    """
    gradients, _ = image_gradients(critic, images)
    return torch.sqrt(1e-4 + gradients.square().sum(dim=(1, 2, 3)))


def interpolate(real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
    """x + alpha (x^ - x), with alpha [N, 1, 1, 1] one number per image."""
    return real + noise * (fake - real)


def gradient_penalty() -> Penalty:
    """Mean of (slope - 1)^2 at random points between real and generated images (Gulrajani et al., 2017, equation 3).

    Two-sided. The noise is alpha ~ U[0, 1), one number per image; the generated images are those of the loss.
    """

    def value(discriminator: Discriminator, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        return (slopes(discriminator.critic, interpolate(real, fake, noise)) - 1).square().mean()

    return Penalty(value, one_number_per_image, TWICE_DIFFERENTIATED)


def one_sided_gradient_penalty() -> Penalty:
    """Mean of max(slope - 1, 0)^2 at the same points (Gulrajani et al., 2017, section 4, "two-sided penalty")."""

    def value(discriminator: Discriminator, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        return (slopes(discriminator.critic, interpolate(real, fake, noise)) - 1).relu().square().mean()

    return Penalty(value, one_number_per_image, TWICE_DIFFERENTIATED)


def dragan(dragan_noise: str) -> Penalty:
    """Mean of (slope - 1)^2 near real images (Kodali et al., 2017, equation 2).

    `uniform` is the version in the study's released code: clip(x + std (noise - 1/2), 0, 1), noise U[0, 1) per pixel,
    with one std for the whole batch. `gaussian` is the version in the paper: x + std noise, noise N(0, 1) per pixel;
    the paper gives no scale, so the same std is used.
    """

    def value(discriminator: Discriminator, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        std = real.std(correction=0)
        nearby = real + std * noise if dragan_noise == "gaussian" else (real + std * (noise - 0.5)).clamp(0, 1)
        return (slopes(discriminator.critic, nearby) - 1).square().mean()

    draw = normal_per_pixel if dragan_noise == "gaussian" else one_number_per_pixel
    return Penalty(value, draw, TWICE_DIFFERENTIATED)


def l2() -> Penalty:
    """Mean over D's layers of half the squared norm of the weights, without biases and normalization parameters.

    Differs from common weight decay: the released code divides by the number of layers, and adds the term to the loss,
    so that Adam rescales its gradient.
    """

    def value(discriminator: Discriminator, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        weights = discriminator.parameters
        return torch.stack([weights[name].square().sum() / 2 for name in layer_weights(weights)]).mean()

    return Penalty(value)


def spectral_regularization() -> Penalty:
    """Sum over D's layers of sigma(W)^2 (Yoshida & Miyato, 2017, who use half of it).

    Of the raw weights; sigma by one persistent power iteration per D update (their algorithm 1).
    """

    def value(discriminator: Discriminator, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
        _, weights, vectors = discriminator
        return torch.stack([sigma(weights, vectors, name).square() for name in layer_weights(weights)]).sum()

    return Penalty(value, power_iterations=1)


PENALTIES: dict[str, Member[Penalty]] = {
    "gradient_penalty": Member(
        build=gradient_penalty,
        description="two-sided, between real and generated images; Gulrajani et al. 2017; section 2.2 of the study",
    ),
    "one_sided_gradient_penalty": Member(
        build=one_sided_gradient_penalty,
        description="only gradient norms above 1, between real and generated; Gulrajani et al. 2017; not in the study",
    ),
    "dragan": Member(
        build=dragan,
        description="two-sided, near real images; Kodali et al. 2017; section 2.2 of the study",
        options={
            "dragan_noise": Option(
                default="uniform",
                choices=("uniform", "gaussian"),
                description="uniform with clipping, as in the study's code, or gaussian, as in the DRAGAN paper",
            )
        },
    ),
    "l2": Member(
        build=l2, description="half the squared norm of the weights, mean over layers; section 2.2 of the study"
    ),
    "spectral_regularization": Member(
        build=spectral_regularization,
        description="squared largest singular value, sum over layers; Yoshida & Miyato 2017; not in the study",
    ),
}
