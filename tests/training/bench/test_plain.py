"""The plain loop trains the same networks as ours, in the same way."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._pytree import tree_map

from study.core.errors import InputError
from study.gan.architectures import ARCHITECTURES
from study.gan.model import HyperparameterTensors
from study.gan.networks.layers import flat, shaped
from study.gan.networks.spectrum import advance_vectors
from study.gan.step import discriminator_step, generator_step
from study.training.bench.cases import Case
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.bench.networks import NETWORKS
from study.training.bench.plain import PlainLoop, check_supported

SIZES = {"sndcgan": 16, "dcgan": 16, "resnet_cifar": 16, "resnet19": 64}
METHODS = ("spectral_norm+gradient_penalty", "layer_norm+dragan", "batch_norm+l2")
MORE_METHODS = ("none", "spectral_norm", "hinge+gradient_penalty", "wasserstein+layer_norm+l2")


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """For all tests here."""


def to_double(tree):
    return tree_map(lambda each: each.double(), tree)


def setting(architecture, method):
    """(case, state, inputs) in float64: parameters spread out, singular vectors converged, one update's inputs."""
    case = Case(
        architecture=architecture, method=method, resolution=SIZES[architecture], width=2, batch_size=3, n_dis=1
    )
    rng = torch.Generator().manual_seed(2)
    state = to_double(fresh_state(case))

    def spread(parameters):
        return {name: p + 0.2 * torch.randn(p.shape, generator=rng, dtype=p.dtype) for name, p in parameters.items()}

    discriminator = spread(state.discriminator)
    vectors = advance_vectors(discriminator, state.vectors, 2000) if case.gan.power_iterations else {}
    state = state._replace(generator=spread(state.generator), discriminator=discriminator, vectors=vectors)
    return case, state, to_double(Inputs.draw(case, 1, rng))


def channels_first(vector, weight):
    """A right singular vector in the order of torch's spectral norm."""
    return shaped(vector, weight[:1]).flatten()


def plain_loop(case, state):
    loop = PlainLoop(case.trial, (case.channels, case.resolution), state)
    ours = list(state.vectors.values())
    theirs = [buffer for name, buffer in loop.discriminator.named_buffers() if name.endswith(("._u", "._v"))]
    weights = [weight for weight in state.discriminator.values() if weight.ndim >= 2 and ours for _ in ("u", "v")]
    for buffer, value, weight in zip(theirs, ours, weights, strict=True):
        buffer.copy_(value if value.shape == weight.shape[:1] else channels_first(value, weight))
    return loop


def gradients(network):
    """As one vector in the order of ours: torch's spectral norm puts a weight behind its bias."""
    raw = [
        parameter
        for module in network.modules()
        if isinstance(getattr(module, "bias", None), nn.Parameter)
        for parameter in (
            module.parametrizations.weight.original if is_parametrized(module) else module.weight,
            module.bias,
        )
    ]
    return torch.cat([flat(parameter.grad) for parameter in raw])


def moment(case, adam):
    """The gradient of the first update, from the first moment that it left."""
    return adam.first / (1 - case.trial.hyperparameters.beta1)


def close(actual, expected):
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("architecture", "method"),
    [*product(SIZES, METHODS), *(("sndcgan", method) for method in MORE_METHODS)],
)
def test_an_update_of_each_network_has_the_same_loss_and_gradients(architecture, method):
    case, state, (real, latents, noise) = setting(architecture, method)
    settings = HyperparameterTensors.of(case.trial.hyperparameters)

    loop = plain_loop(case, state)
    after, metrics = discriminator_step(case.gan, state, settings, real[0], latents[0], noise[0])
    close(
        loop.update_discriminator(real[0], latents[0], noise[0]),
        metrics.loss + settings.penalty_weight * metrics.penalty,
    )
    close(gradients(loop.discriminator), moment(case, after.discriminator_adam))
    assert all(parameter.grad is None for parameter in loop.generator.parameters())  # the fakes are detached

    loop = plain_loop(case, state)
    after, loss = generator_step(case.gan, state, settings, latents[0])
    close(loop.update_generator(latents[0]), loss)
    close(gradients(loop.generator), moment(case, after.generator_adam))
    for plain, ours in zip(loop.generator.parameters(), after.generator.values(), strict=True):
        torch.testing.assert_close(plain.detach(), ours, rtol=1e-6, atol=1e-9)


def test_every_architecture_has_its_plain_networks():
    assert set(NETWORKS) == set(ARCHITECTURES) == set(SIZES)


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("frobenius_norm", "frobenius_norm"),
        ("began", "began"),
        ("weight_clipping", "weight_clipping"),
        ("gradient_norm+gradient_penalty", "gradient_norm"),
        ("spectral_norm[power_iterations=2]", "power_iterations"),
    ],
)
def test_what_the_plain_loop_lacks_is_said(method, word):
    with pytest.raises(InputError, match=rf"--method .*no plain loop with {word} "):
        check_supported(Case(method=method).trial.method)


@pytest.mark.full
def test_a_cycle_is_so_many_updates_of_d_and_one_of_g():
    case = Case(architecture="sndcgan", resolution=8, width=2, batch_size=2, n_dis=3, channels=1)
    state = fresh_state(case)
    plain, ours = PlainLoop(case.trial, (1, 8), state), StudyLoop(case, state, "cpu")
    inputs = Inputs.draw(case, 3, torch.Generator().manual_seed(0))
    for loop in (plain, ours):
        loop.run(*inputs)
    after = ours.lockstep.state(0)
    assert (after.discriminator_adam.updates, after.generator_adam.updates) == (3, 1)
    steps = [{int(state["step"]) for state in adam.state.values()} for adam in (plain.adam_d, plain.adam_g)]
    assert steps == [{3}, {1}]


@pytest.mark.full
def test_a_pack_trains_each_of_its_trials_as_if_alone():
    case = Case(architecture="sndcgan", resolution=8, width=2, batch_size=2, n_dis=1, method="gradient_penalty")
    state = fresh_state(case)
    inputs = Inputs.draw(case, 1, torch.Generator().manual_seed(0))
    alone, pack = StudyLoop(case, state, "cpu"), StudyLoop(replace(case, pack=3), state, "cpu")
    for loop in (alone, pack):
        loop.run(*inputs)
    expected = alone.lockstep.state(0)
    for slot in range(3):
        moments = pack.lockstep.state(slot).discriminator_adam.first
        torch.testing.assert_close(moments, expected.discriminator_adam.first, rtol=1e-3, atol=1e-6)
