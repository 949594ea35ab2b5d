"""Packs: trials that are trained together come to what each comes to alone, whatever becomes of the others."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

import study.gan.program
import study.training.lockstep
from study.core.trial import Hyperparameters, Training, Trial
from study.gan.methods.menu import parse
from study.gan.networks.layers import flat
from study.gan.program import COMPILERS, EAGER, programs
from study.training.bench.cases import Case
from study.training.bench.loops import Inputs, StudyLoop, fresh_state
from study.training.lockstep import Diverged
from study.training.loop import train, train_pack
from tests.conftest import quick_only
from tests.gan.menus import covering_names

pytestmark = pytest.mark.usefixtures("one_thread")

PACKED = ("began",)
"""In the quick tests, in which `tests/gan/test_programs.py` packs the step of every member."""
SETTINGS = ((1e-3, 0.5, 0.9, 1.0), (2e-4, 0.0, 0.999, 10.0), (5e-4, 0.9, 0.999, 0.1))


def cell(name="none", *, n_dis=1, steps=6, rates=None, seeds=(0, 0, 0), precision="float32"):
    """Three trials of a method, each with its own numbers."""
    method = parse(name, "sndcgan")
    training = Training(discriminator_steps=steps, width=2, batch_size=8, latent_dim=4, precision=precision)
    return [
        Trial(
            dataset="digits",
            method=method,
            hyperparameters=Hyperparameters(
                learning_rate=rates[place] if rates else rate,
                beta1=beta1,
                beta2=beta2,
                n_dis=n_dis,
                penalty_weight=weight if method.penalty else None,
            ),
            training=training,
            seed=seed,
        )
        for place, ((rate, beta1, beta2, weight), seed) in enumerate(zip(SETTINGS, seeds, strict=True))
    ]


def trained(trials, digits, scorer, *, every=3, **how):
    """What each trial of a pack has reached, by its slot, in order."""
    reached = {place: [] for place in range(len(trials))}
    for place, one in train_pack(trials, digits, scorer, checkpoint_every=every, **how):
        reached[place].append(one)
    return reached


def same_bits(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert one.evaluation == other.evaluation
        torch.testing.assert_close(one.state, other.state, rtol=0, atol=0, check_stride=True)


def close(got, expected, learning_rate, updates):
    """Losses to 1e-4, moments to 1e-3 of the largest and the rounding of a sum of derivatives of order 1; parameters to
    1 % of an update, but for one in fifty.

    Where a network's gradients are nothing but rounding (below 1e-8) Adam moves parameters by their signs: there, two
    runs differ by at most twice all updates.
    """
    evaluation, wanted = got.evaluation, expected.evaluation
    for loss in ("discriminator_loss", "generator_loss", "penalty"):
        assert getattr(evaluation, loss) == pytest.approx(getattr(wanted, loss), rel=1e-4, abs=1e-6)
    assert [leaf.dtype for leaf in tree_leaves(got.state)] == [leaf.dtype for leaf in tree_leaves(expected.state)]
    for network in ("generator", "discriminator"):
        moments, references = (getattr(one.state, f"{network}_adam") for one in (got, expected))
        for moment, reference, rounding in zip(moments, references, (5e-7, 1e-13, 0), strict=True):
            largest = reference.abs().max().item()
            torch.testing.assert_close(moment, reference, rtol=1e-3, atol=1e-3 * largest + rounding)
        ours, theirs = (torch.cat([flat(p) for p in getattr(one.state, network).values()]) for one in (got, expected))
        off = (ours - theirs).abs()
        assert off.max() <= 2 * updates * learning_rate
        if references.second.max() > 1e-16:
            assert (off > 0.01 * learning_rate).float().mean() < 0.02


@pytest.mark.parametrize("name", quick_only(covering_names(), PACKED))
def test_a_packed_trial_comes_to_what_it_comes_to_alone(digits, scorer, name):
    trials = cell(name, n_dis=2, steps=3, seeds=(0, 1, 0))
    together = trained(trials, digits, scorer)
    for place, trial in enumerate(trials):
        (alone,) = train(trial, digits, scorer, checkpoint_every=3)
        (packed,) = together[place]
        assert packed.evaluation.trial_id == trial.id
        close(packed, alone, trial.hyperparameters.learning_rate, updates=3)


@pytest.mark.full
def test_what_is_left_of_a_pack_has_the_bits_of_the_whole(digits, scorer):
    trials = cell("spectral_norm+gradient_penalty", n_dis=2)
    whole = trained(trials, digits, scorer)
    for left in ([None, trials[1], None], [trials[0], None, trials[2]]):
        reached = trained(left, digits, scorer)
        for slot, trial in enumerate(left):
            same_bits(reached[slot], whole[slot] if trial else [])


@pytest.mark.full
@pytest.mark.parametrize("n_dis", [1, 2])
def test_members_that_were_stopped_at_different_steps_go_on_to_the_same_bits(digits, scorer, monkeypatch, n_dis):
    """One begins, one goes on from a checkpoint, one from between two: each waits until the others are as far."""
    monkeypatch.setattr("study.training.loop.CHECK_EVERY", 2)
    trials, seen = cell("spectral_norm", n_dis=n_dis, steps=9), {}

    def kept(place, seconds, position):
        now = position()
        assert now.training_seconds == seconds
        seen[place, now.step] = now

    whole = trained(trials, digits, scorer, every=3, on_position=kept)
    assert {(1, 2), (1, 4), (1, 8)} <= set(seen)
    starts = [None, whole[1][0].position, seen[2, 4]]
    resumed = trained(trials, digits, scorer, every=3, starts=starts)
    same_bits(resumed[0], whole[0])
    same_bits(resumed[1], whole[1][1:])
    same_bits(resumed[2], whole[2][1:])
    seconds = [checkpoint.training_seconds for checkpoint in resumed[2]]
    assert seen[2, 4].training_seconds < seconds[0] < seconds[1]


@pytest.mark.full
def test_one_that_is_at_its_end_is_not_trained(digits, scorer):
    trials = cell(steps=3)
    whole = trained(trials, digits, scorer)
    again = trained(trials, digits, scorer, starts=[whole[0][0].position, None, None])
    assert again[0] == []
    same_bits(again[1], whole[1])
    assert trained(trials, digits, scorer, starts=[whole[place][0].position for place in range(3)]) == {
        0: [],
        1: [],
        2: [],
    }


@pytest.mark.full
def test_one_that_diverges_is_told_and_disturbs_no_other(digits, scorer):
    good, bad = cell(steps=9), cell(steps=9, rates=(1e-3, 1e6, 5e-4))
    expected, reached = trained(good, digits, scorer), trained(bad, digits, scorer)
    *_, end = reached[1]
    assert isinstance(end, Diverged)
    with pytest.raises(Diverged) as alone:
        list(train(bad[1], digits, scorer, checkpoint_every=3))
    assert str(end) == str(alone.value)
    same_bits(reached[0], expected[0])
    same_bits(reached[2], expected[2])


@pytest.mark.full
def test_when_all_have_diverged_nothing_is_trained_any_more(digits, scorer, monkeypatch):
    monkeypatch.setattr("study.training.loop.CHECK_EVERY", 2)
    steps = []
    run = study.training.lockstep.Lockstep.run
    monkeypatch.setattr(study.training.lockstep.Lockstep, "run", lambda *a: (steps.append(a[1]), run(*a)))
    reached = trained(cell(steps=90, rates=(1e6, 1e7, 1e8)), digits, scorer, every=90)
    assert all(isinstance(end, Diverged) for (end,) in reached.values())
    assert 1 <= len(steps) < 20


def test_trials_of_two_cells_are_refused(digits, scorer):
    with pytest.raises(ValueError, match="2 cells"):
        trained([*cell()[:2], cell(n_dis=2)[2]], digits, scorer)


def test_seconds_are_shared(digits, scorer):
    reached = trained(cell(steps=3), digits, scorer)
    assert len({checkpoint.training_seconds for (checkpoint,) in reached.values()}) == 1


@pytest.fixture
def counting(monkeypatch):
    """A compiler that takes note of what it is asked to compile, and where asked to fails at it."""

    class Counting:
        def __init__(self):
            self.compiled, self.error = [], None

        def __call__(self, graph):
            self.compiled.append(graph)
            if self.error:
                raise self.error
            return graph.forward

    backend = Counting()
    monkeypatch.setattr(study.gan.program, "COMPILERS", {**COMPILERS, "counting": backend})
    programs.cache_clear()
    yield backend
    programs.cache_clear()


@pytest.mark.full
@pytest.mark.parametrize("packed", quick_only([False, True], [False]))
def test_the_second_trial_of_a_cell_compiles_nothing(digits, scorer, counting, packed):
    """Whatever its settings, seed and n_dis."""
    first, second, third = (
        cell("gradient_penalty"),
        cell("gradient_penalty", seeds=(7, 8, 9)),
        cell("gradient_penalty", n_dis=2),
    )
    many = 3 if packed else 1
    trained(first[:many], digits, scorer, compiler="counting")
    assert len(counting.compiled) == 2  # D's step and G's
    trained(second[-many:], digits, scorer, compiler="counting")
    trained(third[:many], digits, scorer, compiler="counting")
    assert len(counting.compiled) == 2
    trained(cell("spectral_norm")[:many], digits, scorer, compiler="counting")
    assert len(counting.compiled) == 4


@pytest.mark.full
def test_where_compiling_fails_the_step_runs_as_it_is_and_says_why(digits, scorer, counting):
    counting.error = RuntimeError("no C++ compiler\nis installed")
    trial = cell()[0]
    start = next(train(trial, digits, scorer, checkpoint_every=3)).position
    failed, plain = (
        list(train(trial, digits, scorer, checkpoint_every=3, start=start, compiler=compiler))
        for compiler in ("counting", EAGER)
    )
    same_bits(failed, plain)
    told = failed[0].lockstep
    assert (told.backend, told.refused) == (EAGER, "RuntimeError: no C++ compiler")


@pytest.mark.parametrize(
    ("many", "name"),
    quick_only(
        [(many, name) for many in (1, 3) for name in ("began", "spectral_norm+gradient_penalty+weight_clipping")],
        [(3, "began")],
    ),
)
def test_steps_that_overwrite_the_state_equal_those_that_make_a_new_one(digits, scorer, counting, many, name):
    """To the bit from equal strides on, also if a trial enters late; what was reached stays as it was meanwhile."""
    trials = cell(name, n_dis=2, steps=7)[:many]
    begun = trained(trials, digits, scorer, every=2)
    starts = [begun[slot][min(slot, 1)].position for slot in range(many)]
    overwriting, new = (
        trained(trials, digits, scorer, every=4, starts=starts, compiler=compiler) for compiler in ("counting", EAGER)
    )
    assert overwriting[0][0].lockstep.programs.in_place and not new[0][0].lockstep.programs.in_place
    for slot in range(many):
        same_bits(overwriting[slot], new[slot])


def test_want_of_memory_is_no_failure_of_the_compiler(digits, scorer, counting):
    counting.error = torch.OutOfMemoryError("out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        trained(cell(), digits, scorer, compiler="counting")


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    quick_only(
        ["none", "spectral_norm+gradient_penalty", "layer_norm", "batch_norm", "gradient_norm"],
        ["spectral_norm+gradient_penalty", "gradient_norm"],
    ),
)
def test_bfloat16_trains_near_float32_and_keeps_float32_states(digits, scorer, name):
    (exact,) = train(cell(name, steps=3)[0], digits, scorer, checkpoint_every=3)
    (coarse,) = train(cell(name, steps=3, precision="bfloat16")[0], digits, scorer, checkpoint_every=3)
    for one, other in zip(tree_leaves(exact.state), tree_leaves(coarse.state), strict=True):
        assert one.dtype == other.dtype
    for loss in ("discriminator_loss", "generator_loss"):
        fine, rough = (getattr(one.evaluation, loss) for one in (exact, coarse))
        assert rough == pytest.approx(fine, rel=0.05)
    assert not torch.equal(exact.state.discriminator_adam.first, coarse.state.discriminator_adam.first)


@pytest.mark.full
@pytest.mark.parametrize("name", quick_only(["spectral_norm+gradient_penalty", "batch_norm"], ["batch_norm"]))
def test_a_pack_in_bfloat16_comes_near_to_trials_alone(digits, scorer, name):
    """Batch norm is float32 there, which alone it is not: losses to 2 %, in which bfloat16 has three digits."""
    trials = cell(name, steps=3, precision="bfloat16")
    together = trained(trials, digits, scorer)
    for slot, trial in enumerate(trials):
        (alone,), (packed,) = train(trial, digits, scorer, checkpoint_every=3), together[slot]
        for loss in ("discriminator_loss", "generator_loss"):
            assert getattr(packed.evaluation, loss) == pytest.approx(getattr(alone.evaluation, loss), rel=0.02)
        assert [leaf.dtype for leaf in tree_leaves(packed.state)] == [leaf.dtype for leaf in tree_leaves(alone.state)]


@pytest.mark.parametrize("method", ["none", "spectral_norm"])
def test_networks_of_one_channel_are_traced(method):
    """Their kernels and gradients come in either memory layout, whatever the trace expects."""
    case = Case(architecture="sndcgan", method=method, resolution=8, width=1, batch_size=4, n_dis=1)
    inputs = Inputs.draw(case, 1, torch.Generator().manual_seed(0))
    loop = StudyLoop(case, fresh_state(case), "cpu")
    loop.run(*inputs)
    assert loop.lockstep.broken_networks() == [None]
