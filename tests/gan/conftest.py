"""What the tests of this folder share: small GANs of every method on the menus, with all that a step takes."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from study.core.errors import InputError
from study.core.trial import Hyperparameters, Training, Trial
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.menu import parse
from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.model import Gan, HyperparameterTensors, State, build, initial_state
from tests.conftest import quick_only
from tests.gan.menus import covering_names, few_method_names, method_names


class Setup(NamedTuple):
    """A small GAN, its state, and what its next step takes."""

    gan: Gan
    state: State
    settings: HyperparameterTensors
    real: Tensor
    latents: Tensor
    noise: Tensor

    @property
    def step_arguments(self) -> tuple[State, HyperparameterTensors, Tensor, Tensor, Tensor]:
        return self[1:]


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


@pytest.fixture(params=quick_only(method_names(), few_method_names()))
def method_name(request) -> str:
    """Every method; in the quick tests a few that together have every member."""
    return request.param


@pytest.fixture(params=covering_names())
def covering_name(request) -> str:
    return request.param


@pytest.fixture(params=["none", *NORMALIZATIONS])
def normalization_name(request) -> str:
    return request.param


@pytest.fixture(params=ARCHITECTURES)
def architecture(request) -> str:
    return request.param


@pytest.fixture
def smallest_size() -> Callable[[str], int]:
    """(architecture) -> the smallest power of two that it takes."""

    def smallest(name: str) -> int:
        for size in (8, 16, 32, 64, 128):
            try:
                ARCHITECTURES[name].check_size(size)
            except InputError:
                continue
            return size
        raise AssertionError(f"{name} takes none of the usual sizes")

    return smallest


@pytest.fixture
def setup() -> Callable[..., Setup]:
    """(method's name, ...) -> Setup, in float64 by default: its rounding is below all tolerances of the tests.

    The parameters are the initial ones plus Normal(0, `spread`), so that no bias is 0, no scale is 1, and gradients
    are of the order of 1. Normalised weights have a mean of `lean` before, without which D would hardly slope: a
    kernel whose entries have one sign stretches images by more than its own norm. Losses that keep a scalar start from
    0.3, so that all terms count. `options` join those of the name, all other keywords go to the hyperparameters.
    """

    def make(
        name: str,
        *,
        architecture: str = "sndcgan",
        resolution: int = 8,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        spread: float = 0.25,
        lean: float = 0.3,
        batch: int = 4,
        options: tuple = (),
        **hyperparameters,
    ) -> Setup:
        method = parse(name, architecture)
        method = dataclasses.replace(method, options=(*method.options, *options))
        chosen = {
            "learning_rate": 1e-3,
            "beta1": 0.5,
            "beta2": 0.9,
            "n_dis": 1,
            "penalty_weight": 3.0,
            **hyperparameters,
        }
        if method.penalty is None:
            chosen["penalty_weight"] = None
        trial = Trial(
            dataset="digits",
            method=method,
            hyperparameters=Hyperparameters(**chosen),
            training=Training(discriminator_steps=1, width=2, batch_size=batch, latent_dim=3),
        )
        gan = build(trial, channels=1, resolution=resolution)
        rng = torch.Generator().manual_seed(seed)
        state = initial_state(gan, rng)

        def spread_out(parameters, mean=0.0):
            return {
                name: p + spread * torch.randn(p.shape, generator=rng) + mean * (p.ndim >= 2)
                for name, p in parameters.items()
            }

        state = state._replace(
            generator=spread_out(state.generator),
            discriminator=spread_out(state.discriminator, lean if gan.weight_norm else 0.0),
            loss=tuple(torch.full_like(value, 0.3) for value in state.loss),
        )
        for _ in range(5):  # vectors that fit the spread-out weights
            state = state._replace(vectors=gan.advance(state.discriminator, state.vectors))
        real = torch.rand(batch, 1, resolution, resolution, generator=rng)
        latents = torch.rand(batch, 3, generator=rng) * 2 - 1
        noise = gan.penalty.draw_noise(real.shape, rng) if gan.penalty else torch.empty(0)
        tensors = tree_map(lambda t: t.to(dtype) if t.is_floating_point() else t, (state, real, latents, noise))
        state, *rest = tensors
        return Setup(gan, state, HyperparameterTensors.of(trial.hyperparameters), *rest)

    return make
