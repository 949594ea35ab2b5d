"""Every loss with every normalisation and penalty that make sense together: twenty steps to finite numbers, twice."""

from functools import lru_cache
from itertools import combinations as choose

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from study.gan.methods.losses import LOSSES
from study.gan.methods.menu import parse
from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.methods.penalties import PENALTIES
from study.gan.step import discriminator_step, generator_step
from tests.gan.menus import combinations, covering_names

STEPS, N_DIS = 20, 2


def parts(name):
    method = parse(name, "sndcgan")
    return method.loss, method.normalizations, method.penalty


def pairs(name):
    """What meets in a combination, two by two, with the places that they fill."""
    return set(choose(enumerate(parts(name)), 2))


@lru_cache
def pairwise():
    """Few combinations in which everything meets everything that it ever meets: greedily the one with most new."""
    left, missing, chosen = combinations(), set().union(*map(pairs, combinations())), []
    while missing:
        chosen.append(max(left, key=lambda name: len(pairs(name) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


def trained(setup, name):
    """The state after some steps in float32, and all losses and penalties on the way."""
    gan, state, settings, real, latents, noise = setup(
        name, dtype=torch.float32, spread=0.15, learning_rate=2e-4, n_dis=N_DIS, penalty_weight=1
    )
    rng, seen = torch.Generator().manual_seed(3), []
    for step in range(STEPS):
        real, latents = torch.rand(real.shape, generator=rng), torch.rand(latents.shape, generator=rng) * 2 - 1
        noise = gan.penalty.draw_noise(real.shape, rng) if gan.penalty else noise
        state, metrics = discriminator_step(gan, state, settings, real, latents, noise)
        seen += metrics
        if step % N_DIS == 0:
            state, loss = generator_step(gan, state, settings, latents)
            seen.append(loss)
    return state, torch.stack(seen)


def check(setup, name):
    start = setup(name, dtype=torch.float32, spread=0.15).state
    state, seen = trained(setup, name)
    assert len(seen) == 2 * STEPS + STEPS // N_DIS
    assert all(tensor.isfinite().all() for tensor in (seen, *tree_leaves(state)))
    for network in ("generator", "discriminator"):
        moved = tree_map(lambda a, b: (a - b).abs().max().item(), getattr(state, network), getattr(start, network))
        assert 1e-5 < max(moved.values()) < 2 * STEPS * 2e-4
    torch.testing.assert_close((state, seen), trained(setup, name), rtol=0, atol=0)


def test_combinations_are_all_that_make_sense():
    refused = len(PENALTIES) + 1  # began with gradient_norm
    assert len(combinations()) == len(LOSSES) * (len(NORMALIZATIONS) + 1) * (len(PENALTIES) + 1) - refused
    assert len(pairwise()) < len(combinations()) / 3
    assert set().union(*map(pairs, pairwise())) == set().union(*map(pairs, combinations()))


# Weight clipping moves weights farther than the bound on Adam's steps; `test_constraints` trains with it.
@pytest.mark.parametrize("name", [name for name in covering_names() if "weight_clipping" not in name])
def test_every_member_trains_to_finite_numbers_and_repeats_bit_for_bit(setup, name):
    check(setup, name)


@pytest.mark.full
@pytest.mark.parametrize("name", pairwise())
def test_pairs_of_members_train_to_finite_numbers_and_repeat_bit_for_bit(setup, name):
    check(setup, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", combinations())
def test_every_combination_trains_to_finite_numbers_and_repeats_bit_for_bit(setup, name):
    check(setup, name)
