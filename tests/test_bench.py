"""The plain loop of the benchmark trains the same networks as ours."""

import pytest
import torch

from study.bench import Speed, benchmark_trial, fill, measure, plain_discriminator, plain_generator
from study.gan.model import build, initial_state


def spread_out(parameters):
    rng = torch.Generator().manual_seed(1)
    return {name: p + 0.1 * torch.randn(p.shape, generator=rng) for name, p in parameters.items()}


def test_both_loops_compute_the_same_from_the_same_parameters():
    trial = benchmark_trial(width=2, batch_size=4, n_dis=1)
    gan = build(trial, 3, 32)
    state = initial_state(gan, torch.Generator().manual_seed(0))
    generator, discriminator = spread_out(state.generator), spread_out(state.discriminator)
    latents = torch.rand(4, 128, generator=torch.Generator().manual_seed(2)) * 2 - 1
    images, _ = gan.generate(generator, state.generator_buffers, latents)
    plain = fill(plain_generator(128, 2), generator)(latents)
    torch.testing.assert_close(plain, images, rtol=1e-4, atol=1e-5)
    assert images.std() > 0.05
    outputs = torch.func.functional_call(gan.discriminator, discriminator, images)
    torch.testing.assert_close(fill(plain_discriminator(2), discriminator)(images), outputs, rtol=1e-4, atol=1e-5)
    assert outputs.abs().min() > 1e-3


def test_every_measured_cycle_has_both_speeds():
    threads = torch.get_num_threads()
    speed = measure(2, width=1, batch_size=2, n_dis=2)
    torch.set_num_threads(threads)
    assert len(speed.plain) == len(speed.study) == len(speed.ratios) == 2
    assert min(*speed.plain, *speed.study) > 0


def test_the_ratio_is_taken_cycle_by_cycle():
    speed = Speed(plain=[1.0, 2.0, 4.0], study=[3.0, 4.0, 20.0])
    assert speed.ratios == pytest.approx([3, 2, 5])
    assert list(speed.lines())[2] == "ratio          3.00 over 3 pairs of cycles (from 2.00 to 5.00)"
