"""What a step does and what it leaves alone, for every method."""

import pytest
import torch
from torch.utils._pytree import tree_map

from study.gan.methods.constraints import unchanged
from study.gan.methods.penalties import PENALTIES
from study.gan.model import initial_state
from study.gan.networks.autoencoder import AutoEncoder
from study.gan.networks.discriminator import Discriminator
from study.gan.networks.layers import flat
from study.gan.networks.spectrum import advance_vectors
from study.gan.optimizers import adam
from study.gan.step import discriminator_step, generator_step


def copied(tree):
    return tree_map(torch.clone, tree)


def assert_same(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def slopes_below_one(name):
    """Whether a one-sided penalty has nothing to say: for a piecewise linear D gradient_norm bounds its slope by 1."""
    return "one_sided" in name and ("gradient_norm" in name or "frobenius_norm" in name)


def test_d_step_minimises_the_loss_plus_the_weighted_penalty_on_these_fakes(setup, method_name):
    gan, state, settings, real, latents, noise = setup(method_name)
    after, metrics = discriminator_step(gan, state, settings, real, latents, noise)
    fake, buffers = gan.generate(state.generator, state.generator_buffers, latents)
    vectors = gan.advance(state.discriminator, state.vectors)

    def terms(parameters):
        critic = gan.critic(parameters, vectors)
        loss = gan.loss.discriminator(critic(real), critic(fake), *state.loss)  # two passes, always
        if gan.penalty is None:
            return loss, loss * 0
        return loss, gan.penalty.value(Discriminator(critic, parameters, vectors), real, fake, noise)

    tight = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(tuple(metrics), terms(state.discriminator), **tight)
    gradients = torch.func.grad(lambda p: terms(p)[0] + 3.0 * terms(p)[1])(state.discriminator)
    gradients = gan.constraint.gradients(gradients)
    whole = torch.cat([flat(gradients[name]) for name in state.discriminator])
    torch.testing.assert_close(after.discriminator_adam.first, 0.5 * whole, **tight)
    torch.testing.assert_close(after.discriminator_adam.second, 0.1 * whole**2, rtol=1e-9, atol=1e-12)
    moved, _ = adam(state.discriminator, gradients, state.discriminator_adam, *settings[:3])
    torch.testing.assert_close(after.discriminator, gan.constraint.parameters(moved), rtol=1e-7, atol=1e-9)
    assert_same(after.generator_buffers, buffers)
    assert_same(after.vectors, vectors)
    critic = gan.critic(state.discriminator, vectors)
    kept = gan.loss.advance(critic(real), critic(fake), *state.loss)  # by the loss of this update
    torch.testing.assert_close(after.loss, kept, **tight)


def test_d_step_leaves_the_generator_alone_and_moves_its_averages(setup, method_name):
    _, before, *_ = arguments = setup(method_name)
    after, _ = discriminator_step(*arguments)
    assert_same((after.generator, after.generator_adam), (before.generator, before.generator_adam))
    assert after.discriminator_adam.updates == before.discriminator_adam.updates + 1
    still = [name for name, p in after.discriminator.items() if torch.equal(p, before.discriminator[name])]
    indifferent = method_name.startswith(("wasserstein", "hinge"))  # to a shift of D: its last bias stays
    assert set(still) <= set(list(before.discriminator)[-1:] if indifferent else [])
    assert len(after.loss) == len(before.loss)
    assert not any(torch.equal(*pair) for pair in zip(after.loss, before.loss, strict=True))
    for name, buffer in before.generator_buffers.items():
        assert not torch.equal(buffer, after.generator_buffers[name])


def test_g_step_minimises_its_loss_with_batch_statistics_and_leaves_d_alone(setup, method_name):
    gan, state, settings, real, latents, noise = setup(method_name)
    state, _ = discriminator_step(gan, state, settings, real, latents, noise)
    after, loss = generator_step(gan, state, settings, latents)

    def objective(parameters):
        fake, _ = gan.generate(parameters, state.generator_buffers, latents)
        return gan.loss.generator(gan.critic(state.discriminator, state.vectors)(fake))

    torch.testing.assert_close(loss, objective(state.generator), rtol=1e-10, atol=1e-12)
    gradients = torch.func.grad(objective)(state.generator)
    whole = torch.cat([flat(gradients[name]) for name in state.generator])
    torch.testing.assert_close(after.generator_adam.first, 0.5 * whole, rtol=1e-9, atol=1e-12)
    assert whole.norm() > 0
    parts = ("discriminator", "discriminator_adam", "vectors", "loss")
    assert_same([getattr(after, part) for part in parts], [getattr(state, part) for part in parts])
    assert after.generator_adam.updates == 1
    buffers = gan.generate(state.generator, state.generator_buffers, latents)[1]
    assert_same(after.generator_buffers, buffers)
    assert not all(torch.equal(p, state.generator[name]) for name, p in after.generator.items())


def test_steps_change_nothing_that_they_are_given(setup, method_name):
    gan, *arguments = setup(method_name)
    before = copied(arguments)
    discriminator_step(gan, *arguments)
    assert_same(arguments, before)
    state, settings, _, latents, _ = arguments
    generator_step(gan, state, settings, latents)
    assert_same(arguments, before)


def test_steps_are_deterministic_and_draw_nothing_themselves(setup, method_name):
    arguments = setup(method_name)
    rng = torch.get_rng_state()
    first = discriminator_step(*arguments)
    assert torch.equal(rng, torch.get_rng_state())
    torch.manual_seed(99)
    assert_same(first, discriminator_step(*arguments))


def test_real_and_fake_pass_apart_only_where_samples_are_coupled(setup, normalization_name):
    gan, state, settings, real, latents, noise = setup(normalization_name, dtype=torch.float32)
    seen = []
    forward = gan.discriminator.forward

    def spy(images):
        seen.append(len(images))
        return forward(images)

    gan.discriminator.forward = spy
    try:
        _, metrics = discriminator_step(gan, state, settings, real, latents, noise)
    finally:
        del gan.discriminator.forward
    assert seen == ([4, 4] if gan.couples_samples else [8])
    fake, _ = gan.generate(state.generator, state.generator_buffers, latents)
    vectors = gan.advance(state.discriminator, state.vectors)
    critic = gan.critic(state.discriminator, vectors)
    apart = gan.loss.discriminator(critic(real), critic(fake))
    together = gan.loss.discriminator(*critic(torch.cat([real, fake])).chunk(2))
    torch.testing.assert_close(metrics.loss, apart, rtol=2e-6, atol=0)
    assert gan.couples_samples == (not torch.allclose(apart, together, rtol=1e-4))


def test_the_penalty_weight_counts_and_a_method_without_a_penalty_reports_zero(setup, method_name):
    gan, state, settings, *batch = setup(method_name, beta1=0.0)
    doubled = settings._replace(penalty_weight=settings.penalty_weight * 2)
    (one, metrics), (two, same) = (discriminator_step(gan, state, s, *batch) for s in (settings, doubled))
    assert_same(metrics, same)
    if gan.penalty is None:
        assert metrics.penalty == 0
        assert_same(one, two)
    elif slopes_below_one(method_name):
        assert metrics.penalty == 0
    else:
        assert metrics.penalty > 0
        assert not torch.allclose(one.discriminator_adam.first, two.discriminator_adam.first, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        ("none", 0),
        ("frobenius_norm+l2", 0),
        ("spectral_norm", 1),
        ("spectral_norm[power_iterations=3]", 3),
        ("spectral_norm+gradient_penalty", 1),  # which evaluates D once more
        ("spectral_regularization", 1),
        ("spectral_norm+spectral_regularization", 1),  # the vectors are shared
        ("spectral_norm+spectral_regularization[power_iterations=2]", 2),
    ],
)
def test_vectors_iterate_in_d_steps_and_not_in_g_steps(setup, name, iterations):
    gan, state, settings, *batch = setup(name)
    assert gan.power_iterations == iterations
    first, _ = discriminator_step(gan, state, settings, *batch)
    assert_same(first.vectors, advance_vectors(state.discriminator, state.vectors, iterations))
    second, _ = generator_step(gan, first, settings, batch[1])
    assert_same(second.vectors, first.vectors)
    assert bool(state.vectors) == bool(iterations)
    assert not any(torch.equal(first.vectors[k], v) for k, v in state.vectors.items() if v.numel() > 1)


def test_the_vectors_of_an_update_belong_to_the_weights_before_it(setup):
    gan, state, settings, *batch = setup("spectral_norm", learning_rate=0.1)
    after, _ = discriminator_step(gan, state, settings, *batch)
    moved = gan.advance(after.discriminator, state.vectors)
    assert not any(torch.allclose(after.vectors[k], v, rtol=1e-6) for k, v in moved.items() if v.numel() > 1)


def test_options_reach_their_member(setup):
    gan, state, *_ = setup("spectral_norm", options=(("power_iterations", 4),))
    vectors, single = state.vectors, setup("spectral_norm").gan
    for _ in range(4):
        vectors = single.advance(state.discriminator, vectors)
    assert_same(gan.advance(state.discriminator, state.vectors), vectors)


def test_k_of_began_follows_the_balance_of_d_updates_over_training(setup):
    gan, state, settings, *batch = setup("began[began_gamma=0.5,began_lambda=0.1]")
    k = state.loss[0].item()
    for _ in range(4):
        before = state
        state, metrics = discriminator_step(gan, state, settings, *batch)
        critic = gan.critic(before.discriminator, {})
        fake, _ = gan.generate(before.generator, before.generator_buffers, batch[1])
        real_error, fake_error = critic(batch[0]).mean().item(), critic(fake).mean().item()
        assert metrics.loss.item() == pytest.approx(real_error - k * fake_error, rel=1e-10)  # by k before the update
        k = min(max(k + 0.1 * (0.5 * real_error - fake_error), 0), 1)
        assert state.loss[0].item() == pytest.approx(k, rel=1e-10)
        state, _ = generator_step(gan, state, settings, batch[1])
        assert state.loss[0].item() == pytest.approx(k, rel=1e-10)
    assert 0 < k < 0.28


def test_samples_use_the_moving_averages_so_they_do_not_depend_on_their_batch(setup):
    gan, state, settings, *batch = setup("none", batch=6)
    state, _ = discriminator_step(gan, state, settings, *batch)
    latents = batch[1]
    sampled = gan.sample(state.generator, state.generator_buffers, latents)
    alone = torch.cat([gan.sample(state.generator, state.generator_buffers, z[None]) for z in latents])
    torch.testing.assert_close(sampled, alone, rtol=1e-12, atol=1e-12)
    in_training, _ = gan.generate(state.generator, state.generator_buffers, latents)
    assert not torch.allclose(sampled, in_training, rtol=1e-3, atol=1e-3)
    other = {name: b * 2 for name, b in state.generator_buffers.items()}
    assert not torch.allclose(sampled, gan.sample(state.generator, other, latents), rtol=1e-6, atol=1e-6)


def test_a_method_is_built_from_its_members(setup, method_name):
    gan, state, *_ = setup(method_name)
    parts = method_name.partition("[")[0].split("+")
    assert (gan.penalty is not None) == any(part in PENALTIES for part in parts)
    assert (gan.weight_norm is not None) == any(part in ("spectral_norm", "frobenius_norm") for part in parts)
    assert (gan.output_norm is not None) == ("gradient_norm" in parts)
    assert gan.couples_samples == ("batch_norm" in parts)
    assert (gan.constraint.parameters is not unchanged) == ("weight_clipping" in parts)
    assert (gan.constraint.gradients is not unchanged) == ("gradient_clipping" in parts)
    assert len(gan.loss.state) == len(state.loss) == ("began" in parts)
    assert isinstance(gan.discriminator, AutoEncoder) == ("began" in parts)


def test_the_state_starts_with_empty_moments_and_scalars_of_the_loss(setup):
    gan = setup("began+spectral_norm").gan
    state = initial_state(gan, torch.Generator().manual_seed(0))
    for moments, parameters in (
        (state.generator_adam, state.generator),
        (state.discriminator_adam, state.discriminator),
    ):
        assert moments.first.shape == moments.second.shape == (sum(p.numel() for p in parameters.values()),)
        assert not any(tensor.any() for tensor in moments)
    assert_same(state.loss, (torch.zeros(()),))
