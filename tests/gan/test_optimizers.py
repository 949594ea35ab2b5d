"""Adam against torch's."""

import pytest
import torch

from study.gan.networks.layers import flat
from study.gan.optimizers import TENSORFLOW, TORCH, adam, adam_state
from study.gan.step import discriminator_step, generator_step

SHAPES = {"kernel": (4, 3, 3, 3), "matrix": (5, 7), "bias": (4,)}


def parameters(dtype):
    rng = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(shape, generator=rng, dtype=dtype) for name, shape in SHAPES.items()}
    drawn["kernel"] = drawn["kernel"].to(memory_format=torch.channels_last)
    return drawn


def scalars(*values):
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(
    ("learning_rate", "beta1", "beta2"),
    [(2e-4, 0.5, 0.9), (1e-4, 0.5, 0.999), (1e-3, 0.9, 0.999), (1e-2, 0.0, 0.9), (1e-3, 0.9, 0.0), (1e-3, 0.0, 0.0)],
)
def test_a_hundred_updates_equal_torch(learning_rate, beta1, beta2, dtype, tolerance):
    ours = parameters(dtype)
    theirs = {name: p.clone().requires_grad_() for name, p in ours.items()}
    optimizer = torch.optim.Adam(theirs.values(), lr=learning_rate, betas=(beta1, beta2), eps=1e-8)
    state, rng = adam_state(ours), torch.Generator().manual_seed(1)
    for _ in range(100):
        # Scales from 1e-8 to 1: where a gradient is as small as epsilon, epsilon counts.
        gradients = {
            name: torch.randn(p.shape, generator=rng, dtype=dtype)
            * 10 ** (-8 * torch.rand(p.shape, generator=torch.Generator().manual_seed(2), dtype=dtype))
            for name, p in ours.items()
        }
        for name, parameter in theirs.items():
            parameter.grad = gradients[name].clone()
        optimizer.step()
        ours, state = adam(ours, gradients, state, *scalars(learning_rate, beta1, beta2))
    start = parameters(dtype)
    assert state.updates.item() == 100
    for name, p in ours.items():
        assert p.dtype == dtype
        moved = (theirs[name].detach() - start[name]).abs().max().item()
        assert moved > 0.5 * learning_rate
        torch.testing.assert_close(p, theirs[name].detach(), rtol=tolerance, atol=tolerance)
        assert (p - theirs[name].detach()).abs().max() < max(3e-7, 1e-3 * moved)
    moments = [torch.cat([flat(optimizer.state[p][key]) for p in theirs.values()]) for key in ("exp_avg", "exp_avg_sq")]
    torch.testing.assert_close([state.first, state.second], moments, rtol=10 * tolerance, atol=tolerance * 1e-3)


def test_the_first_update_is_the_learning_rate_times_the_sign():
    ones = {"weight": torch.zeros(4, dtype=torch.float64)}
    gradients = {"weight": torch.tensor([3.0, -0.01, 1e-8, 0.0], dtype=torch.float64)}
    moved, _ = adam(ones, gradients, adam_state(ones), *scalars(0.1, 0.5, 0.9))
    expected = torch.tensor([-0.1, 0.1, -0.05, 0.0], dtype=torch.float64)  # at 1e-8, epsilon halves it
    torch.testing.assert_close(moved["weight"], expected, rtol=2e-6, atol=0)


def test_tensorflows_epsilon_is_added_before_the_bias_correction():
    """theta - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + 1e-8), where gradients are as small as epsilon."""
    rng, rate, beta1, beta2 = torch.Generator().manual_seed(3), 0.1, 0.5, 0.999
    theta = torch.zeros(5, dtype=torch.float64)
    ours, state, m, v = {"weight": theta}, adam_state({"weight": theta}), 0 * theta, 0 * theta
    for t in range(1, 6):
        gradient = torch.randn(5, generator=rng, dtype=torch.float64) * torch.logspace(-9, 0, 5).double()
        ours, state = adam(ours, {"weight": gradient}, state, *scalars(rate, beta1, beta2), TENSORFLOW)
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        theta = theta - rate * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (v.sqrt() + 1e-8)
    torch.testing.assert_close(ours["weight"], theta, rtol=1e-12, atol=1e-15)
    assert theta[0].abs() < 0.01 < theta[-1].abs()  # PyTorch's epsilon would let the first move thirty times as far


def test_a_method_says_which_epsilon_its_steps_use(setup):
    results = {}
    for name in ("none", "none[adam_epsilon=tensorflow]"):
        gan, state, settings, *batch = setup(name, beta2=0.999)
        assert gan.adam_epsilon == (TENSORFLOW if "tensorflow" in name else TORCH)
        results[name], _ = generator_step(gan, discriminator_step(gan, state, settings, *batch)[0], settings, batch[1])
    for network in ("discriminator", "generator"):
        one, other = (torch.cat([flat(p) for p in getattr(state, network).values()]) for state in results.values())
        assert 0 < (one - other).abs().max() < 1e-3


def test_gradients_are_taken_by_name_not_by_position():
    start = parameters(torch.float64)
    gradients = {name: torch.full(shape, float(i)) for i, (name, shape) in enumerate(SHAPES.items())}
    turned = dict(reversed(gradients.items()))
    settings = scalars(0.1, 0.5, 0.9)
    torch.testing.assert_close(
        adam(start, gradients, adam_state(start), *settings),
        adam(start, turned, adam_state(start), *settings),
        rtol=0,
        atol=0,
    )


def test_nothing_is_changed_in_place():
    start = parameters(torch.float32)
    state = adam_state(start)
    gradients = {name: torch.ones_like(p) for name, p in start.items()}
    adam(start, gradients, state, *scalars(0.1, 0.5, 0.9))
    assert all(torch.equal(p, start[name]) for name, p in parameters(torch.float32).items())
    assert all((g == 1).all() for g in gradients.values())
    assert not any(tensor.any() for tensor in state)
