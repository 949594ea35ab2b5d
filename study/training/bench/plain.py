"""The plain loop that the step is compared with: careful code written directly from the papers, without optimization.

Generated images are detached for D's update, real and generated images pass through D separately, gradient penalties
use `torch.autograd.grad` with a second derivative, spectral norm and Adam are PyTorch's. Nothing is rearranged, cached,
traced or compiled. It computes in float32; on a GPU without TF32 (PyTorch's default for convolutions) unless the
trial's precision is tf32.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from study.core.errors import InputError
from study.core.trial import Method, Trial
from study.gan.methods.menu import members
from study.gan.model import State
from study.training.bench.networks import NETWORKS, NORMS
from study.training.device import arithmetic

SPECTRAL_NORM = "spectral_norm"


def slope_penalty(network: nn.Module, images: Tensor) -> Tensor:
    """Mean of (slope - 1)^2; the slope of D at an image is defined in `study.gan.methods.penalties.slopes`."""
    images.requires_grad_()
    (gradients,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    slopes = torch.sqrt(1e-4 + gradients.square().sum(dim=(1, 2, 3)))
    return (slopes - 1).square().mean()


def gradient_penalty(network: nn.Module, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
    """Between real and generated images; the noise is U[0, 1), [N, 1, 1, 1]."""
    return slope_penalty(network, real + noise * (fake - real))


def dragan(network: nn.Module, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
    """Near real images; the noise is U[0, 1) per pixel."""
    return slope_penalty(network, (real + real.std(correction=0) * (noise - 0.5)).clamp(0, 1))


def l2(network: nn.Module, real: Tensor, fake: Tensor, noise: Tensor) -> Tensor:
    """Mean over layers of half the squared norm of the weights."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    return torch.stack([weight.square().sum() / 2 for weight in weights]).mean()


PENALTIES: Mapping[str, Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]] = {
    "gradient_penalty": gradient_penalty,
    "dragan": dragan,
    "l2": l2,
}


def check_supported(method: Method) -> None:
    """Raises InputError if the plain loop does not support the method."""
    parts = (method.architecture, *method.normalizations, *filter(None, (method.penalty, method.constraint)))
    known = [*NETWORKS, SPECTRAL_NORM, *NORMS, *PENALTIES]
    loss = members(method).loss
    unsupported = [part for part in parts if part not in known]
    unsupported += [method.loss] if loss.network or loss.state else []
    unsupported += [name for name, _ in method.options]
    if unsupported:
        raise InputError(
            f"--method {method.name}: there is no plain loop with {', '.join(unsupported)} to compare with; it supports"
            f" {', '.join(known)}, losses without a state, and default options."
        )


class PlainLoop:
    """Trains the networks of a trial that `check_supported` accepts, with the same initial parameters as `state`.

    Attributes:
        generator, discriminator: the networks.
    """

    def __init__(self, trial: Trial, shape: tuple[int, int], state: State) -> None:
        method, settings = trial.method, trial.hyperparameters
        channels, resolution = shape
        self.loss, self.precision = members(method).loss, trial.training.precision
        self.penalty, self.weight = PENALTIES.get(method.penalty or ""), settings.penalty_weight or 0.0
        make_generator, make_discriminator = NETWORKS[method.architecture]
        size = {"width": trial.training.width, "resolution": resolution, "channels": channels}
        norm = next((NORMS[name] for name in method.normalizations if name in NORMS), lambda channels: nn.Identity())
        self.generator = fill(make_generator(latent_dim=trial.training.latent_dim, **size), state.generator)
        self.discriminator = fill(make_discriminator(norm=norm, **size), state.discriminator)
        if SPECTRAL_NORM in method.normalizations:
            for module in list(self.discriminator.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), settings.learning_rate, (settings.beta1, settings.beta2))
            for network in (self.generator, self.discriminator)
        )

    def run(self, real: Tensor, latents: Tensor, noise: Tensor) -> None:
        """One cycle on real images [updates, N, C, H, W], latents [updates, N, latent_dim] and noise of the penalty."""
        with arithmetic(self.precision):
            for step in range(len(real)):
                self.update_discriminator(real[step], latents[step], noise[step])
                if step == 0:
                    self.update_generator(latents[step])

    def update_discriminator(self, real: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
        """One update of D; returns its loss with the penalty, a scalar."""
        with torch.no_grad():
            fake = self.generator(latents)
        loss = self.loss.discriminator(self.discriminator(real), self.discriminator(fake))
        if self.penalty:
            loss = loss + self.weight * self.penalty(self.discriminator, real, fake, noise)
        return minimize(self.adam_d, loss)

    def update_generator(self, latents: Tensor) -> Tensor:
        """One update of G; returns its loss, a scalar."""
        return minimize(self.adam_g, self.loss.generator(self.discriminator(self.generator(latents))))


def minimize(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """One update; returns the loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def fill(network: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    """The plain network with the parameters of the study's network; both have the same order of parameters."""
    network.to(next(iter(values.values())))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values.values(), strict=True):
            parameter.copy_(value)
    return network
