"""The speed of the step, beside a plain PyTorch loop of the same networks in the same run.

The plain loop is what one would write from the layer table: separate passes for real and generated images, G's graph
kept in D's step, unpooling and pooling as layers of their own, PyTorch's own layout, spectral norm and Adam. Both train
ResNet-CIFAR at the study's sizes with spectral norm and the non-saturating loss, in float32 on one CPU thread.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from study.gan.model import Gan, Settings, State, build, initial_state
from study.gan.program import programs
from study.trial import Hyperparameters, Method, Training, Trial

CHANNELS, RESOLUTION = 3, 32


def benchmark_trial(width: int, batch_size: int, n_dis: int) -> Trial:
    """The trial that both loops train."""
    return Trial(
        dataset="noise",
        method=Method(architecture="resnet_cifar", normalizations=("spectral_norm",)),
        hyperparameters=Hyperparameters(learning_rate=2e-4, beta1=0.5, beta2=0.999, n_dis=n_dis),
        training=Training(discriminator_steps=n_dis, width=width, batch_size=batch_size),
    )


@dataclass(frozen=True)
class Speed:
    """Real images per CPU-second of each measured cycle, of the plain loop and of ours, taken in turns."""

    plain: Sequence[float]
    study: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Ours over the plain loop's, cycle by cycle."""
        return [ours / theirs for ours, theirs in zip(self.study, self.plain, strict=True)]

    def lines(self) -> Iterator[str]:
        """The figures as text: medians, and the range over cycles."""
        for name, figures, unit in (
            ("plain loop", self.plain, "real images per CPU-second"),
            ("study", self.study, "real images per CPU-second"),
            ("ratio", self.ratios, f"over {len(self.plain)} pairs of cycles"),
        ):
            middle = statistics.median(figures)
            yield f"{name:10} {middle:8.2f} {unit} (from {min(figures):.2f} to {max(figures):.2f})"


def measure(cycles: int, width: int = 64, batch_size: int = 64, n_dis: int = 5) -> Speed:
    """Both loops in turns, a cycle being `n_dis` D updates and one of G; one update of each first is not counted."""
    torch.set_num_threads(1)
    trial = benchmark_trial(width, batch_size, n_dis)
    gan = build(trial, CHANNELS, RESOLUTION)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        state = initial_state(gan, rng)
    plain = PlainLoop(gan, state, trial)
    ours = StudyLoop(gan, state, trial)
    speeds: dict[object, list[float]] = {plain: [], ours: []}
    for cycle in range(cycles + 1):
        updates = n_dis if cycle else 1
        real = torch.rand(updates, batch_size, CHANNELS, RESOLUTION, RESOLUTION, generator=rng)
        latents = torch.rand(updates, batch_size, trial.training.latent_dim, generator=rng) * 2 - 1
        for loop, measured in speeds.items():
            start = time.process_time()
            loop.run(real, latents)
            seconds = time.process_time() - start
            if cycle:
                measured.append(updates * batch_size / seconds)
    return Speed(speeds[plain], speeds[ours])


class StudyLoop:
    """The step as trials run it."""

    def __init__(self, gan: Gan, state: State, trial: Trial) -> None:
        self.steps, self.state = programs(gan), state
        self.settings = Settings.of(trial.hyperparameters)

    def run(self, real: Tensor, latents: Tensor) -> None:
        """One cycle on real images [updates, N, C, H, W] and latents [updates, N, latent_dim]."""
        noise = torch.empty(0)
        with torch.no_grad():
            for step, (images, z) in enumerate(zip(real, latents, strict=True)):
                self.state, _ = self.steps.discriminator(self.state, self.settings, images, z, noise)
                if step == 0:
                    self.state, _ = self.steps.generator(self.state, self.settings, z)


class PlainLoop:
    """What one would write from the layer table."""

    def __init__(self, gan: Gan, state: State, trial: Trial) -> None:
        width = trial.training.width
        self.generator = fill(plain_generator(trial.training.latent_dim, width), state.generator)
        self.discriminator = fill(plain_discriminator(width), state.discriminator)
        for module in self.discriminator.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                spectral_norm(module)
        settings = trial.hyperparameters
        betas = (settings.beta1, settings.beta2)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), settings.learning_rate, betas)
            for network in (self.generator, self.discriminator)
        )

    def run(self, real: Tensor, latents: Tensor) -> None:
        """One cycle on real images [updates, N, C, H, W] and latents [updates, N, latent_dim]."""
        for step, (images, z) in enumerate(zip(real, latents, strict=True)):
            fake = self.generator(z)
            loss = softplus(-self.discriminator(images)).mean() + softplus(self.discriminator(fake)).mean()
            self.adam_d.zero_grad()
            loss.backward()
            self.adam_d.step()
            if step == 0:
                loss = softplus(-self.discriminator(self.generator(z))).mean()
                self.adam_g.zero_grad()
                loss.backward()
                self.adam_g.step()


class Residual(nn.Module):
    """The sum of two paths."""

    def __init__(self, shortcut: nn.Module, main: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.main = shortcut, main

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.main(maps)


class Unpool(nn.Module):
    """Twice the size: each value at an even row and column, zeros elsewhere."""

    def forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        larger = maps.new_zeros(n, channels, 2 * height, 2 * width)
        larger[:, :, ::2, ::2] = maps
        return larger


def conv(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def plain_generator(latent_dim: int, width: int) -> nn.Module:
    """G of ResNet-CIFAR, as the table reads."""
    channels, size = 4 * width, RESOLUTION // 8

    def block() -> nn.Module:
        norm, again = (nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1) for _ in range(2))
        up, same = nn.Sequential(Unpool(), conv(channels, channels)), conv(channels, channels)
        shortcut = nn.Sequential(Unpool(), conv(channels, channels))
        return Residual(shortcut, nn.Sequential(norm, nn.ReLU(), up, again, nn.ReLU(), same))

    return nn.Sequential(
        nn.Linear(latent_dim, channels * size * size),
        nn.Unflatten(1, (channels, size, size)),
        *(block() for _ in range(3)),
        nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1),
        nn.ReLU(),
        conv(channels, CHANNELS),
        nn.Sigmoid(),
    )


def plain_discriminator(width: int) -> nn.Module:
    """D of ResNet-CIFAR, as the table reads."""
    outputs = 2 * width

    def block(inputs: int, *, down: bool) -> nn.Module:
        pool = (nn.AvgPool2d(2),) if down else ()
        main = nn.Sequential(nn.ReLU(), conv(inputs, outputs), nn.ReLU(), conv(outputs, outputs), *pool)
        return Residual(nn.Sequential(conv(inputs, outputs), *pool), main)

    return nn.Sequential(
        block(CHANNELS, down=True),
        block(outputs, down=True),
        block(outputs, down=False),
        block(outputs, down=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(outputs, 1),
        nn.Flatten(0),
    )


def fill(network: nn.Module, values: dict[str, Tensor]) -> nn.Module:
    """The plain network with the values of ours: both name their parameters in the same order."""
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values.values(), strict=True):
            parameter.copy_(value)
    return network
