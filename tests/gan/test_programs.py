"""One step, four ways of running it: eagerly, traced, compiled, and for several trials at once."""

import threading
import time
from functools import partial

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from study.gan.methods.menu import MENUS
from study.gan.model import HyperparameterTensors
from study.gan.networks.layers import flat
from study.gan.program import CACHE, CHANGES, COMPILERS, TracedFunction, programs
from study.gan.step import discriminator_step, generator_step
from tests.conftest import quick_only
from tests.gan.menus import TRIPLES, covering_names

SEVERAL = [name for name in covering_names() if "+" in name]
"""Methods of several members that together are all members."""
COMPILED_WHOLE = SEVERAL[4]
"""By aot_eager before the slow tests too, which takes several times as long; the others stop at the captured graph."""
COMPILED_IN_QUICK_TESTS = "non_saturating+spectral_norm+gradient_penalty+weight_clipping"
TRACED = ("none", COMPILED_IN_QUICK_TESTS, "began")
"""In the quick tests: two updates with the usual state, one with singular vectors, one with a state of the loss."""


def both_steps(gan):
    """Two D updates and a G update as one function of what a step takes."""

    def run(state, settings, real, latents, noise):
        state, first = discriminator_step(gan, state, settings, real, latents, noise)
        state, second = discriminator_step(gan, state, settings, real.flip(0), latents, noise)
        state, generator_loss = generator_step(gan, state, settings, latents)
        return state, first, second, generator_loss

    return run


def one_of_each(gan):
    """A D update and a G update; half the time to compile."""

    def run(state, settings, real, latents, noise):
        state, metrics = discriminator_step(gan, state, settings, real, latents, noise)
        state, generator_loss = generator_step(gan, state, settings, latents)
        return state, metrics, generator_loss

    return run


def numbers(tensors):
    return torch.cat([flat(tensor) for tensor in tensors.values()])


def assert_close(got, expected, learning_rate, updates=2):
    """In float64 all but parameters to rounding, moments beside their largest.

    Parameters to 1e-4 of an update where their gradients are more than rounding (1e-9 of the largest); elsewhere, such
    as in biases before a batch norm, whose gradients are 0, Adam's early updates are the sign of noise, and all that
    holds is that two runs differ by no more than twice all updates.
    """
    (state, *losses), (wanted, *wanted_losses) = got, expected
    torch.testing.assert_close(losses, wanted_losses, rtol=1e-9, atol=1e-9)
    for part in ("generator_buffers", "vectors", "loss"):
        torch.testing.assert_close(getattr(state, part), getattr(wanted, part), rtol=1e-6, atol=1e-6)
    for part in ("generator", "discriminator"):
        moments, references = (getattr(trial, f"{part}_adam") for trial in (state, wanted))
        for moment, reference in zip(moments, references, strict=True):
            torch.testing.assert_close(moment, reference, rtol=1e-7, atol=1e-9 * reference.abs().max().item())
        off = (numbers(getattr(state, part)) - numbers(getattr(wanted, part))).abs()
        sizes = references.second.sqrt()
        counts = sizes > 1e-9 * sizes.max()
        assert counts.sum() > 0.5 * (sizes > 0).sum()
        assert off[counts].max() <= 1e-4 * learning_rate
        assert off.max() <= 2 * updates * learning_rate


def assert_close_in_float32(got, expected, learning_rate, updates=2):
    """Losses and moments to 1e-4 of the largest. Parameters as above; 98 % of them to 1 % of an update."""
    (state, *losses), (wanted, *wanted_losses) = got, expected
    torch.testing.assert_close(losses, wanted_losses, rtol=1e-4, atol=1e-6)
    assert [tensor.dtype for tensor in tree_leaves(state)] == [tensor.dtype for tensor in tree_leaves(wanted)]
    for part in ("generator", "discriminator"):
        moments, references = (getattr(trial, f"{part}_adam") for trial in (state, wanted))
        for moment, reference in zip(moments, references, strict=True):
            torch.testing.assert_close(moment, reference, rtol=1e-4, atol=1e-4 * reference.abs().max().item())
        off = (numbers(getattr(state, part)) - numbers(getattr(wanted, part))).abs()
        assert off.max() <= 2 * updates * learning_rate
        assert (off > 0.01 * learning_rate).float().mean() < 0.02


def two_trials(setup, name, dtype):
    """Two trials of a method with their own seeds and settings."""
    return (
        setup(name, seed=1, dtype=dtype, learning_rate=1e-3, beta1=0.5, beta2=0.9, penalty_weight=1),
        setup(name, seed=2, dtype=dtype, learning_rate=2e-4, beta1=0.0, beta2=0.999, penalty_weight=10),
    )


def packed(trials):
    return tree_map(lambda *tensors: torch.stack(tensors), *(trial.step_arguments for trial in trials))


def check_packed(setup, name):
    trials = two_trials(setup, name, torch.float64)
    together = torch.vmap(both_steps(trials[0].gan))(*packed(trials))
    for i, trial in enumerate(trials):
        alone = both_steps(trial.gan)(*trial.step_arguments)
        assert_close(tree_map(lambda t, i=i: t[i], together), alone, trial.settings.learning_rate.item())


def test_packed_trials_equal_single_ones(setup, covering_name):
    check_packed(setup, covering_name)


@pytest.mark.parametrize("name", quick_only(covering_names(), TRACED))
def test_a_step_changes_the_fields_that_it_names_and_no_other(setup, name):
    trial = setup(name, dtype=torch.float64)
    state, settings, real, latents, noise = trial.step_arguments
    after = (
        discriminator_step(trial.gan, state, settings, real, latents, noise)[0],
        generator_step(trial.gan, state, settings, latents)[0],
    )
    for new, changes in zip(after, CHANGES, strict=True):
        for field in state._fields:
            if field not in changes:
                assert getattr(new, field) is getattr(state, field)
            elif leaves := tree_leaves(getattr(state, field)):
                assert not any(a is b for a, b in zip(tree_leaves(getattr(new, field)), leaves, strict=True))


@pytest.mark.slow
def test_packed_trials_equal_single_ones_for_every_method(setup, method_name):
    check_packed(setup, method_name)


def test_packed_trials_keep_float32_beside_settings_in_float64(setup, normalization_name):
    trials = two_trials(setup, normalization_name, torch.float32)
    together = torch.vmap(both_steps(trials[0].gan))(*packed(trials))
    for i, trial in enumerate(trials):
        alone = both_steps(trial.gan)(*trial.step_arguments)
        one = tree_map(lambda t, i=i: t[i], together)
        assert_close_in_float32(one, alone, trial.settings.learning_rate.item())


def check_traced(setup, name):
    gan, state, settings, *batch = setup(name, dtype=torch.float32)
    traced = programs(gan)
    eager, (other, _) = state, two_trials(setup, name, torch.float32)
    for _ in range(3):  # the first call traces, the next ones replay
        state, metrics = traced.discriminator(state, settings, *batch)
        state, loss = traced.generator(state, settings, batch[1])
        eager, wanted = discriminator_step(gan, eager, settings, *batch)
        eager, wanted_loss = generator_step(gan, eager, settings, batch[1])
        torch.testing.assert_close((state, metrics, loss), (eager, wanted, wanted_loss), rtol=0, atol=0)
    # another trial of the method, with other settings, by the same program
    torch.testing.assert_close(
        traced.discriminator(*other.step_arguments), discriminator_step(gan, *other.step_arguments), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", quick_only(covering_names(), TRACED))
def test_traced_steps_give_the_same_numbers_to_the_last_bit(setup, name):
    check_traced(setup, name)


@pytest.mark.slow
def test_traced_steps_give_the_same_numbers_for_every_method(setup, method_name):
    check_traced(setup, method_name)


@pytest.mark.parametrize("name", quick_only(covering_names(), TRACED))
def test_traced_steps_change_nothing_that_they_are_given(setup, name):
    gan, *arguments = setup(name, dtype=torch.float32)
    before = tree_map(torch.clone, arguments)
    for _ in range(2):
        programs(gan).discriminator(*arguments)
        programs(gan).generator(*arguments[:2], arguments[3])
    torch.testing.assert_close(arguments, before, rtol=0, atol=0)


def test_a_program_is_traced_once_for_a_shape_and_shared_by_the_trials_of_a_method(setup):
    calls = []

    def double(tree):
        calls.append(tree)
        return {"double": tree["x"] * 2}

    traced = TracedFunction(double)
    for x in (torch.ones(2), torch.zeros(2), torch.ones(3), torch.ones(2, dtype=torch.float64)):
        assert torch.equal(traced({"x": x})["double"], x * 2)
    assert len(calls) == 3
    first, second = two_trials(setup, "none", torch.float32)
    assert programs(first.gan) is programs(second.gan)
    assert programs(first.gan) is not programs(setup("layer_norm").gan)


def test_every_member_is_in_one_of_the_methods_that_are_traced():
    parts = {part.partition("[")[0] for name in covering_names() for part in name.split("+")}
    assert parts >= {name for menu in MENUS.values() for name in menu}


def check_compiled(setup, name, backend):
    torch._dynamo.reset()
    trial = setup(name)
    with torch.no_grad():
        compiled = torch.compile(one_of_each(trial.gan), backend=backend, fullgraph=True)
        assert_close(compiled(*trial.step_arguments), one_of_each(trial.gan)(*trial.step_arguments), 1e-3)
        # Other numbers, same program: nothing was specialised on the values of the settings.
        arguments = (trial.state, HyperparameterTensors(*(s * 0.5 for s in trial.settings)), *trial.step_arguments[2:])
        with torch.compiler.set_stance("fail_on_recompile"):
            assert_close(compiled(*arguments), one_of_each(trial.gan)(*arguments), 5e-4)


@pytest.mark.full
@pytest.mark.parametrize("name", quick_only(SEVERAL, [COMPILED_IN_QUICK_TESTS]))
def test_steps_are_one_graph_and_compiled_equal_eager(setup, name):
    check_compiled(setup, name, "aot_eager" if name == COMPILED_WHOLE else "eager")


@pytest.mark.slow
def test_compiled_steps_equal_eager_for_every_method(setup, method_name):
    check_compiled(setup, method_name, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", *SEVERAL, *TRIPLES])
def test_inductor_equals_eager(setup, name, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))  # a killed run leaves half files in the usual one
    check_compiled(setup, name, "inductor")


@pytest.mark.parametrize("architecture", quick_only(["sndcgan", "resnet_cifar", "dcgan"], ["dcgan"]))
def test_a_gradient_penalty_takes_no_pass_back_of_zeros(setup, architecture):
    """Through each layer of D two passes back: of the loss, and of the slope; what follows of the slope is forward."""
    passes = {}
    for name in ("none", "gradient_penalty"):
        size = 16 if architecture == "dcgan" else 8
        gan, *arguments = setup(name, architecture=architecture, dtype=torch.float32, resolution=size)
        graph, _ = TracedFunction(partial(discriminator_step, gan)).trace(*tree_flatten(tuple(arguments)))
        kinds = [str(node.target) for node in graph.graph.nodes]
        passes[name] = kinds.count("aten.convolution_backward.default")
        assert not any(kind.startswith("aten.zeros_like") and name != "none" for kind in kinds)
    assert passes["gradient_penalty"] == 2 * passes["none"] > 0


@pytest.mark.parametrize("names", ["aa", "ab"], ids=["the same program", "two programs"])
def test_those_that_start_together_compile_a_program_one_after_another(names, tmp_path, monkeypatch):
    """Each has a lock of its own, as a process has; the second one then finds the program in the compiler's cache."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    counting, both = threading.Lock(), threading.Barrier(len(set(names)))
    at_work, most = set(), []

    def slow(graph):
        def program(*tensors):
            with counting:
                at_work.add(threading.current_thread())
                most.append(len(at_work))
            both.wait(60)  # two programs are compiled at the same time
            time.sleep(0.3)  # the same one would be now, without the lock
            at_work.remove(threading.current_thread())
            return graph.forward(*tensors)

        return program

    monkeypatch.setitem(COMPILERS, "slow", slow)
    functions = {"a": torch.sin, "b": torch.cos}
    traced = [TracedFunction(functions[name], "slow") for name in names]
    graphs = [one.trace([torch.ones(2)], tree_flatten((torch.ones(2),))[1])[0] for one in traced]
    threads = [
        threading.Thread(target=one._compiled, args=(graph, [torch.ones(2)]))
        for one, graph in zip(traced, graphs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.refused for one in traced] == [None, None]
    assert most == ([1, 1] if names == "aa" else [1, 2])


@pytest.mark.parametrize("folder", ["a file", None])
def test_where_no_file_can_be_locked_programs_are_compiled_all_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.delenv(CACHE, raising=False)
    if folder:
        (tmp_path / folder).touch()
        monkeypatch.setenv(CACHE, str(tmp_path / folder))
    monkeypatch.setitem(COMPILERS, "other", lambda graph: graph.forward)
    traced = TracedFunction(torch.sin, "other")
    assert traced(torch.zeros(1)) == 0
    assert traced.refused is None
