"""Training from the first step to the last: what each step gets, what is yielded and when, and what stops it."""

import dataclasses
import re
from itertools import pairwise, zip_longest

import numpy as np
import pytest
import torch

import study.training.lockstep
import study.training.loop
from study.core.errors import InputError
from study.core.evaluation import Scores
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.data.dataset import SPLITS
from study.gan.architectures import ARCHITECTURES
from study.gan.methods.normalizations import NORMALIZATIONS
from study.gan.methods.penalties import PENALTIES
from study.gan.model import HyperparameterTensors, build, initial_state
from study.gan.program import EAGER, Programs
from study.gan.step import discriminator_step, generator_step
from study.metrics.scoring import ScoreResult
from study.training.batches import from_map
from study.training.draws import draw, stream
from study.training.lockstep import Diverged, Lockstep, LossTally, check_parameters
from study.training.loop import CHECK_EVERY, _diverged, train
from tests.conftest import quick_only

pytestmark = pytest.mark.usefixtures("one_thread")


def a_trial(*, steps=6, seed=0, normalizations=(), penalty=None, batch_size=8, data_seed=547, **hyperparameters):
    chosen = {"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.9, "n_dis": 1, **hyperparameters}
    chosen["penalty_weight"] = 1.0 if penalty else None
    return Trial(
        dataset="digits",
        method=Method(architecture="sndcgan", normalizations=normalizations, penalty=penalty),
        hyperparameters=Hyperparameters(**chosen),
        training=Training(discriminator_steps=steps, width=2, batch_size=batch_size, latent_dim=4, data_seed=data_seed),
        seed=seed,
    )


def checkpoints(trial, digits, scorer, every=3):
    return list(train(trial, digits, scorer, checkpoint_every=every))


def by_hand(trial, images, until):
    """The training loop of the study, written out; yields (step, state, metrics, G's loss or None)."""
    gan = build(trial, *images.train.shape[1:3])
    state = initial_state(gan, stream(trial.seed, "initial", 0))
    settings, batches = HyperparameterTensors.of(trial.hyperparameters), from_map(images, trial.training)
    for step in range(1, until + 1):
        (real,) = batches(range(step, step + 1))
        latents, noise = draw(gan, trial, real.shape, step)
        state, metrics = discriminator_step(gan, state, settings, real, latents, noise)
        loss = None
        if step % trial.hyperparameters.n_dis == 1 % trial.hyperparameters.n_dis:
            state, loss = generator_step(gan, state, settings, latents)
        yield step, state, metrics, loss


EVERY_MEMBER = list(zip_longest(NORMALIZATIONS, PENALTIES))
"""Each normalisation and each penalty in at least one method."""


@pytest.mark.parametrize(
    ("normalization", "penalty"),
    quick_only([(None, None), *EVERY_MEMBER], [(None, None), ("spectral_norm", "gradient_penalty")]),
)
def test_training_twice_is_bit_identical_and_is_the_loop_written_out(digits, scorer, normalization, penalty):
    normalizations = (normalization,) if normalization else ()
    trial = a_trial(steps=5, n_dis=2, normalizations=normalizations, penalty=penalty)
    first, second = (checkpoints(trial, digits, scorer, every=2) for _ in range(2))
    assert [c.evaluation for c in first] == [c.evaluation for c in second]
    *_, (_, state, _, _) = by_hand(trial, digits, until=5)
    torch.testing.assert_close(first[-1].state, state, rtol=0, atol=0)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"data_seed": 548}, {"learning_rate": 2e-3}, {"beta2": 0.999}])
def test_a_different_trial_differs(digits, scorer, changed):
    base = {"steps": 6, "learning_rate": 0.05}  # fast enough to leave the start, where all losses are log 4
    one, other = (checkpoints(a_trial(**{**base, **fields}), digits, scorer)[-1].evaluation for fields in ({}, changed))
    assert one.discriminator_loss != other.discriminator_loss
    assert one.frechet_distance != other.frechet_distance
    assert one.trial_id != other.trial_id


@pytest.mark.full
def test_training_ignores_and_leaves_alone_the_global_random_numbers(digits, scorer):
    trial = a_trial(steps=2, penalty="gradient_penalty")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = checkpoints(trial, digits, scorer)[-1].evaluation
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert checkpoints(trial, digits, scorer)[-1].evaluation == first


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(6, 3, [3, 6]), (7, 3, [3, 6, 7]), (2, 5, [2]), (3, 1, [1, 2, 3]), (1, 1, [1])],
)
def test_checkpoints_are_at_their_steps_and_at_the_last_one(digits, scorer, steps, every, expected):
    trial = a_trial(steps=steps)
    got = checkpoints(trial, digits, scorer, every=every)
    assert [c.evaluation.discriminator_step for c in got] == expected
    assert {c.evaluation.trial_id for c in got} == {trial.id}
    assert {c.evaluation.protocol_id for c in got} == {scorer.protocol.id}
    for kind in ("training_seconds", "scoring_seconds"):
        seconds = [getattr(c, kind) for c in got]
        assert seconds == sorted(seconds)
        assert seconds[0] > 0


def test_how_often_a_trial_is_scored_changes_nothing_in_it(digits, scorer):
    often, rarely = (checkpoints(a_trial(steps=6), digits, scorer, every=every) for every in (1, 6))
    torch.testing.assert_close(often[-1].state, rarely[-1].state, rtol=0, atol=0)
    assert often[-1].evaluation.frechet_distance == rarely[-1].evaluation.frechet_distance


@pytest.mark.parametrize("n_dis", [1, 3])
def test_losses_are_means_since_the_last_checkpoint_and_those_of_g_over_its_own_updates(digits, scorer, n_dis):
    trial = a_trial(steps=7, n_dis=n_dis, penalty="gradient_penalty")
    history = list(by_hand(trial, digits, until=7))
    assert [step for step, _, _, loss in history if loss is not None] == list(range(1, 8, n_dis))
    start = 0
    for checkpoint in checkpoints(trial, digits, scorer, every=4):
        evaluation = checkpoint.evaluation
        part = history[start : evaluation.discriminator_step]
        start = evaluation.discriminator_step
        assert evaluation.discriminator_loss == pytest.approx(np.mean([m.loss for _, _, m, _ in part]), rel=1e-5)
        assert evaluation.penalty == pytest.approx(np.mean([m.penalty for _, _, m, _ in part]), rel=1e-5)
        of_g = [loss for *_, loss in part if loss is not None]
        assert evaluation.generator_loss == pytest.approx(np.mean(of_g), rel=1e-5)
    assert start == 7


def test_where_g_was_not_updated_it_has_no_loss_and_without_a_penalty_it_is_zero(digits, scorer):
    first, second, third = checkpoints(a_trial(steps=3, n_dis=2), digits, scorer, every=1)
    assert second.evaluation.generator_loss is None
    assert first.evaluation.generator_loss > 0
    assert third.evaluation.generator_loss > 0
    assert first.evaluation.penalty == 0


def test_scores_are_of_the_moving_averages_at_that_step(digits, scorer):
    for checkpoint in checkpoints(a_trial(steps=4), digits, scorer, every=2):
        gan, state = checkpoint.gan, checkpoint.state
        networks = (state.generator, state.generator_buffers)
        score = scorer.frechet(lambda z, g=gan, n=networks: g.sample(*n, z), 4)
        assert checkpoint.evaluation.frechet_distance == score
        in_training = scorer.frechet(lambda z, g=gan, n=networks: g.generate(*n, z)[0], 4)
        assert abs(in_training - score) > 1e-6 * score


def test_every_d_step_gets_a_fresh_batch_and_g_reuses_its_latents(digits, scorer, monkeypatch):
    """Seen from inside: what the two updates were called with, in order."""
    calls = []

    def recorded(gan, compiler, packed, in_place):
        class Step:
            def __init__(self, step):
                self.step = step

            def __call__(self, *arguments):
                return self.step(*arguments)

            def prepare(self, *arguments):
                pass

        def discriminator(state, settings, real, latents, noise):
            calls.append(("D", real, latents, noise))
            return discriminator_step(gan, state, settings, real, latents, noise)

        def generator(state, settings, latents):
            calls.append(("G", None, latents, None))
            return generator_step(gan, state, settings, latents)

        return Programs(Step(discriminator), Step(generator), compiler)

    monkeypatch.setattr(study.training.lockstep, "programs", recorded)
    trial = a_trial(steps=5, n_dis=2, penalty="gradient_penalty", seed=3)
    checkpoints(trial, digits, scorer, every=5)
    assert "".join(kind for kind, *_ in calls) == "DGDDGDDG"
    updates = [call for call in calls if call[0] == "D"]
    for before, call in pairwise(calls):
        if call[0] == "G":
            assert torch.equal(call[2], before[2])
    gan = build(trial, 1, 8)
    for step, (_, real, latents, noise) in enumerate(updates, start=1):
        assert torch.equal(real, from_map(digits, trial.training)(range(step, step + 1))[0])
        expected = draw(gan, trial, real.shape, step)
        assert torch.equal(latents, expected[0])
        assert torch.equal(noise, expected[1])
    for column in (1, 2, 3):
        drawn = [call[column] for call in updates]
        assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("every", [1000, 7])
def test_a_diverging_trial_stops_and_names_the_first_bad_step(digits, scorer, every):
    trial = a_trial(steps=3 * CHECK_EVERY, learning_rate=1e6)
    bad = None
    for step, _, metrics, loss in by_hand(trial, digits, until=CHECK_EVERY):
        if not all(value is None or value.isfinite() for value in (*metrics, loss)):
            bad = step
            break
    assert bad is not None
    with pytest.raises(Diverged, match=rf"^a loss is not finite at step {bad}$"):
        checkpoints(trial, digits, scorer, every=every)


def test_a_diverging_trial_is_noticed_between_checkpoints(digits, scorer, monkeypatch):
    seen = []

    def counted(*arguments):
        batches = from_map(*arguments)
        return lambda steps: seen.extend(steps) or batches(steps)

    monkeypatch.setattr(study.training.loop, "real_batches", counted)
    with pytest.raises(Diverged):
        checkpoints(a_trial(steps=10 * CHECK_EVERY, learning_rate=1e6), digits, scorer, every=10 * CHECK_EVERY)
    assert len(seen) == CHECK_EVERY


def test_images_that_are_not_finite_are_a_divergence(digits, scorer):
    class Blind:
        protocol = scorer.protocol

        def score_pack(self, *_):
            return [None]

    with pytest.raises(Diverged, match=r"images are not finite at step 2$"):
        list(train(a_trial(steps=4), digits, Blind(), checkpoint_every=2))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_parameters_that_are_not_finite_are_a_divergence(digits, network, value):
    *_, (_, state, _, _) = by_hand(a_trial(), digits, until=1)
    name, parameter = list(getattr(state, network).items())[-1]
    broken = state._replace(**{network: {**getattr(state, network), name: torch.full_like(parameter, value)}})
    check_parameters(state, 7)
    with pytest.raises(Diverged, match=f"parameter of the {network} is not finite at step 7"):
        check_parameters(broken, 7)
    lockstep = Lockstep(build(a_trial(), 1, 8), [a_trial()] * 3, EAGER, "cpu")
    for slot, entering in enumerate((state, broken, state)):
        lockstep.load(slot, entering, LossTally.empty("cpu"))
    assert lockstep.broken_networks() == [None, network, None]
    tallies = lockstep.tallies()
    diverged = _diverged(lockstep, tallies, (0, 1, 2), 7, parameters=True)
    assert {slot: str(error) for slot, error in diverged.items()} == {
        1: f"a parameter of the {network} is not finite at step 7"
    }
    assert not _diverged(lockstep, tallies, (0, 1, 2), 7, parameters=False)


def test_a_trial_that_does_not_fit_the_images_is_refused(digits, scorer):
    wide = dataclasses.replace(digits, train=np.zeros((10, 1, 12, 12), np.uint8))
    with pytest.raises(InputError, match="12 px does not fit"):
        next(train(a_trial(), wide, scorer, checkpoint_every=1))


@pytest.mark.full
def test_every_architecture_trains(digits, scorer):
    class Always:
        protocol = scorer.protocol

        def score_pack(self, generate, latent_dim, _):
            images = generate(torch.zeros(2, latent_dim))
            assert images.isfinite().all()
            return [ScoreResult(float(images.mean()), Scores())]

    for name, architecture in ARCHITECTURES.items():
        for size in (8, 16, 32, 64):
            try:
                architecture.check_size(size)
                break
            except InputError:
                continue
        trial = a_trial(steps=2, batch_size=2)
        trial = dataclasses.replace(trial, method=Method(architecture=name))
        large = {split: np.kron(getattr(digits, split)[:8], np.ones((size // 8,) * 2, np.uint8)) for split in SPLITS}
        (checkpoint,) = train(trial, dataclasses.replace(digits, **large), Always(), checkpoint_every=2)
        assert 0 < checkpoint.evaluation.frechet_distance < 1


def test_streams_are_keyed_by_seed_purpose_and_step():
    keys = [
        (seed, purpose, step) for seed in (0, 1, 11) for purpose in ("latents", "penalty") for step in (0, 1, 2, 12)
    ]
    drawn = {key: torch.rand(1000, generator=stream(*key)) for key in keys}
    for key, numbers in drawn.items():
        assert torch.equal(numbers, torch.rand(1000, generator=stream(*key)))
    stacked = torch.stack(list(drawn.values()))
    related = torch.corrcoef(stacked) - torch.eye(len(keys))
    assert related.abs().max() < 5 / 1000**0.5


def test_latents_are_uniform_from_minus_one_to_one():
    trial = a_trial()
    latents, noise = draw(build(trial, 1, 8), trial, torch.Size((20_000, 1, 8, 8)), 1)
    assert latents.shape == (20_000, 4)
    assert noise.numel() == 0
    assert -1 <= latents.min() < -0.999
    assert 0.999 < latents.max() < 1
    n = latents.numel()
    assert latents.mean().item() == pytest.approx(0, abs=5 / (3 * n) ** 0.5)
    assert latents.square().mean().item() == pytest.approx(1 / 3, rel=5 * (4 / 5 / n) ** 0.5)


def test_latents_of_a_trial_do_not_depend_on_its_penalty():
    plain, penalised = a_trial(), a_trial(penalty="dragan")
    shape = torch.Size((8, 1, 8, 8))
    one, other = (draw(build(trial, 1, 8), trial, shape, 3)[0] for trial in (plain, penalised))
    assert torch.equal(one, other)


def test_the_message_of_a_divergence_is_one_line_for_the_row(digits, scorer):
    with pytest.raises(Diverged) as error:
        checkpoints(a_trial(steps=60, learning_rate=1e6), digits, scorer, every=60)
    assert re.fullmatch(r"[^\n]+ at step \d+", str(error.value))
