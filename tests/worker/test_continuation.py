"""Longer trials: planned on the shorter ones' states, gone on from them, and the same rows as from the start."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import search_spaces
from study.cli.terminal import plan_lines
from study.core.errors import InputError
from study.driver.cost.estimate import estimate
from study.driver.planning.plan import make_plan, pending
from study.driver.resources import Slots
from study.storage.layout import generator_path, state_path
from study.storage.parts import part_path, read_part
from study.storage.tables import compact, read_table
from study.training import loop
from study.training.lockstep import Diverged
from study.worker.checkpoint import load_generator, load_state
from study.worker.execute import execute
from study.worker.resume import continuation
from tests.conftest import quick_only, study_process
from tests.requests import make_request

LONG = search_spaces.get("long-training")
BASE = search_spaces.get("regularization")
OWN = {"source", "started_at", "finished_at", "training_seconds", "scoring_seconds", "images_per_second"}
"""Columns of a trial's row that differ between two runs of it."""


@pytest.fixture
def ask(tmp_path):
    def ask(**how):
        defaults = {"datasets": ["digits"], "results": tmp_path / "results", "data_dir": tmp_path / "data"}
        narrow = {"methods": "gradient_penalty", "settings": 1, "seeds": 1, "discriminator_steps": 4}
        return make_request(**{**defaults, **narrow, **how})

    return ask


def plan(request, space=LONG):
    return make_plan(request, space)


def with_rate(planned, rate):
    """The same trial and parent at another learning rate."""
    trials = (planned.trial, planned.parent) if planned.parent else (planned.trial,)
    new = [replace(t, hyperparameters=replace(t.hyperparameters, learning_rate=rate)) for t in trials]
    return replace(planned, trial=new[0], parent=new[1] if planned.parent else None)


def scored_every(planned, every):
    return replace(planned, context=replace(planned.context, checkpoint_every=every))


def run(planned):
    """Execute what is planned; its row, its evaluations' rows."""
    context = planned.context
    execute(planned.trial, context, parent=planned.parent)
    return read_part(part_path(context.results, planned.trial.id, context.protocol.id))


def shorter_and_longer(ask, rate=2e-4, every=4, **how):
    """A shorter trial that is run and keeps its state, and the longer one that is planned on it."""
    (short,) = plan(ask(keep_states=True, **how), BASE)
    (long,) = plan(ask(**how))
    short, long = (with_rate(scored_every(p, every), rate) for p in (short, long))
    assert short.trial == long.parent
    run(short)
    return short, long


def afresh(long, tmp_path):
    """The rows and the generator of the longer trial, trained from the start in a folder of its own."""
    other = replace(long, context=replace(long.context, results=tmp_path / "afresh"), parent=None)
    return *run(other), load_generator(generator_path(other.context.results, other.trial.id))


def test_a_longer_trial_is_the_trial_with_more_steps(ask):
    (short,), (long,) = plan(ask(), BASE), plan(ask())
    assert long.parent == short.trial
    assert long.trial == replace(short.trial, training=replace(short.trial.training, discriminator_steps=8))
    assert long.context == short.context
    assert long.rest.training.discriminator_steps == 4
    assert replace(long, parent=None).rest == long.trial
    (asked,) = plan(ask(discriminator_steps=8), BASE)
    assert asked.trial.id == long.trial.id
    assert short.parent is None


@pytest.mark.parametrize(
    ("rate", "best", "keep"),
    quick_only([(2e-4, 8, "best"), (0.3, 2, "best"), (0.3, 2, "none")], [(0.3, 2, "best")]),
)
def test_the_rows_are_those_of_training_from_the_start(ask, tmp_path, rate, best, keep):
    """Both where the best generator is of the rest and where it is of before the shorter trial's last checkpoint.

    The shorter trial's generator is not asked for: the state has it.
    """
    short, long = shorter_and_longer(ask, rate, every=2, keep=keep)
    long = replace(long, context=replace(long.context, keep="best"))
    row, evaluations = run(long)
    fresh_row, fresh_evaluations, fresh_generator = afresh(long, tmp_path)
    assert evaluations == fresh_evaluations
    assert {e["trial_id"] for e in evaluations} == {long.trial.id}
    assert [e["discriminator_step"] for e in evaluations] == [2, 4, 6, 8]
    assert {k: v for k, v in row.items() if k not in OWN} == {k: v for k, v in fresh_row.items() if k not in OWN}
    assert (row["source"], fresh_row["source"]) == (f"continued from {short.trial.id}", "training")
    assert row["best_step"] == best
    generator = load_generator(generator_path(long.context.results, long.trial.id))
    assert (generator.trial, generator.step) == (long.trial, row["best_step"])
    torch.testing.assert_close(generator.parameters, fresh_generator.parameters, rtol=0, atol=0)
    torch.testing.assert_close(generator.buffers, fresh_generator.buffers, rtol=0, atol=0)


@pytest.mark.full
def test_seconds_are_of_the_whole(ask):
    short, long = shorter_and_longer(ask)
    path = state_path(short.context.results, short.trial.id)
    content = torch.load(path, weights_only=True)
    seconds = {"training_seconds": 500.0, "scoring_seconds": 700.0}
    torch.save({**content, "position": {**content["position"], **seconds}}, path)
    row, _ = run(long)
    assert 500 < row["training_seconds"] < 600
    assert 700 < row["scoring_seconds"] < 800
    assert row["images_per_second"] == pytest.approx(8 * 64 / row["training_seconds"])


@pytest.mark.full
def test_states_are_kept_only_where_asked_for_and_of_what_finished(ask):
    (short,) = plan(ask(), BASE)
    path = state_path(short.context.results, short.trial.id)
    run(short)
    assert not path.exists()
    diverging = with_rate(plan(ask(keep_states=True), BASE)[0], 1e9)
    row, _ = run(diverging)
    assert row["status"] == "diverged"
    assert not state_path(short.context.results, diverging.trial.id).exists()
    (long,) = plan(ask(keep_states=True))
    run(long)
    kept = load_state(state_path(short.context.results, long.trial.id))
    assert (kept.trial, len(kept.evaluations), kept.position.step) == (long.trial, 2, 8)
    assert kept.conditions == long.context.conditions


@pytest.mark.full
def test_where_the_rest_diverges_the_row_has_the_shorter_trials_part(ask, monkeypatch):
    short, long = shorter_and_longer(ask)
    monkeypatch.setattr(loop, "_diverged", lambda *_, **__: {0: Diverged("made so")})
    row, evaluations = run(long)
    assert (row["status"], row["reason"]) == ("diverged", "made so")
    assert [e["discriminator_step"] for e in evaluations] == [4]
    kept = load_state(state_path(short.context.results, short.trial.id))
    assert row["training_seconds"] == kept.position.training_seconds
    assert not generator_path(long.context.results, long.trial.id).exists()


def cut(short):
    path = state_path(short.context.results, short.trial.id)
    path.write_bytes(path.read_bytes()[:-100])


def exchange(short):
    """Put another trial's state in its place."""
    other = with_rate(short, 1e-3)
    run(other)
    state_path(short.context.results, other.trial.id).rename(state_path(short.context.results, short.trial.id))


def exchange_best(short):
    """Say that the best generator was kept at another step."""
    path = state_path(short.context.results, short.trial.id)
    content = torch.load(path, weights_only=True)
    state = content["position"]["state"]
    best = {"step": 3, "parameters": state["generator"], "buffers": state["generator_buffers"]}
    torch.save({**content, "best": best}, path)


UNUSABLE = {
    cut: "state.pt: not a readable state (",
    exchange: "state.pt: holds the state of trial ",
    exchange_best: "state.pt: not a readable state (its best generator does not match its evaluations)",
}


@pytest.mark.parametrize("damage", quick_only(UNUSABLE, [exchange_best]))
def test_what_cannot_be_used_is_told_and_the_trial_is_trained_from_the_start(ask, tmp_path, capsys, damage):
    short, long = shorter_and_longer(ask)
    damage(short)
    capsys.readouterr()
    (todo,) = pending([long], long.context.results)
    told = capsys.readouterr().err
    assert todo.parent is None
    assert told.startswith("trials trained from the start: 1 (") and told.count("\n") == 1
    assert UNUSABLE[damage] in told
    row, evaluations = run(long)  # as a worker does that finds it damaged after the plan was made
    assert row["source"] == "training"
    told = capsys.readouterr().err
    assert told.startswith(f"trial {long.trial.id} is trained from the start: ") and told.count("\n") == 1
    assert evaluations == afresh(long, tmp_path)[1]


OTHERWISE = {
    "protocol_id": {"n_fake": 100},
    "metrics": {"metrics": "none"},
    "operator_norms": {"operator_norms": True},
}


@pytest.mark.parametrize("condition", quick_only(OTHERWISE, ["metrics"]))
def test_what_was_scored_otherwise_is_not_gone_on_from(ask, capsys, condition):
    shorter_and_longer(ask)
    (long,) = plan(ask(**OTHERWISE[condition]))
    (todo,) = pending([long], long.context.results)
    assert todo.parent is None
    assert f"the shorter trials were scored under other conditions ({condition})" in capsys.readouterr().err
    row, _ = run(long)
    assert row["source"] == "training"


@pytest.mark.full
def test_other_checkpoints_are_not_gone_on_from(ask, capsys):
    """Every 25 steps on the digits: a shorter trial of 30 ends between two checkpoints of the longer one."""
    _, long = shorter_and_longer(ask)
    assert pending([scored_every(long, 2)], long.context.results)[0].parent is None
    assert "(checkpoint_every)" in capsys.readouterr().err
    _, between = shorter_and_longer(ask, discriminator_steps=30, every=25)
    assert pending([between], long.context.results)[0].parent is None
    assert "end at step 30, but the longer ones are scored every 25" in capsys.readouterr().err
    row, evaluations = run(between)
    assert row["source"] == "training"
    assert [e["discriminator_step"] for e in evaluations] == [25, 50, 60]


def test_other_images_are_not_gone_on_from(ask):
    _, long = shorter_and_longer(ask)
    context = replace(long.context, dataset_sha256="0" * 64)
    with pytest.raises(InputError, match=r"scored under other conditions \(dataset_sha256\)"):
        continuation(long.trial, long.parent, context.results, context.conditions)


def test_a_plan_counts_what_goes_on_and_times_only_the_rest(ask, capsys):
    shorter_and_longer(ask)
    request = ask(seeds=3)
    compact(request.results)
    planned = plan(request)
    todo = pending(planned, request.results)
    assert capsys.readouterr().err == ""
    assert [p.parent is not None for p in todo] == [True, False, False]
    slots = Slots(concurrent=1, gpus_per_trial=0)
    estimated = estimate(planned, todo, request.results, slots)
    assert (estimated.total, estimated.continued, estimated.kept) == (3, 1, 0)
    (from_start,) = (estimate(planned, [replace(todo[0], parent=None)], request.results, slots).seconds,)
    assert estimated.seconds == pytest.approx(2.5 * from_start)
    assert math.isclose(estimate(planned, todo[:1], request.results, slots).seconds, from_start / 2)
    lines = plan_lines("long-training", planned, estimated)
    assert "1 continue from kept states, 2 train from the start" in lines
    plain = plan(request, BASE)
    left = estimate(plain, plain, request.results, slots)
    assert not any("continue" in line for line in plan_lines("regularization", plain, left))


def test_a_longer_trial_that_is_only_scored_again_does_not_go_on(ask):
    _, long = shorter_and_longer(ask)
    run(long)
    (again,) = plan(ask(n_fake=100))
    (todo,) = pending([again], long.context.results)
    assert (todo.kept, todo.parent) == (True, None)


def test_the_command_tells_and_takes_keep_states(study, tmp_path):
    options = ["--results", tmp_path / "results", "--data-dir", tmp_path / "data", "--discriminator-steps", 4]
    numbers = ["--penalty", "gradient_penalty", "--penalty-weight", 1, "--n-dis", 5, "--beta2", 0.9]
    assert study("train", *numbers, "--keep-states", *options).code == 0
    answer = study("run", "long-training", "--dry-run", "--settings", 1, "--seeds", 2, *options)
    assert (answer.code, answer.err) == (0, "")
    assert "long-training on digits: 2 trials, 0 done, 2 to run" in answer.out
    assert "1 continue from kept states, 1 train from the start" in answer.out


@pytest.mark.slow
def test_workers_go_on_from_each_others_states(tmp_path: Path) -> None:
    """Through Ray, in two studies, and in one from the start: the same rows."""
    narrow = ("--methods", "gradient_penalty", "--settings", "1", "--seeds", "1", "--discriminator-steps", "8")
    continued, fresh = tmp_path / "continued", tmp_path / "fresh"
    for command, folder in (
        (("regularization", "--keep-states"), continued),
        (("long-training",), continued),
        (("long-training",), fresh),
    ):
        process = study_process("run", *command, *narrow, "--results", folder)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        if command == ("long-training",):
            counts = "1 continue from kept states, 0" if folder == continued else "0 continue from kept states, 1"
            assert f"{counts} train from the start" in out
    rows = read_table(continued, "trials").to_pylist()
    (short,), (long,) = ([row for row in rows if row["discriminator_steps"] == steps] for steps in (8, 16))
    (alone,) = read_table(fresh, "trials").to_pylist()
    assert (long["source"], alone["source"]) == (f"continued from {short['trial_id']}", "training")
    assert {k: v for k, v in long.items() if k not in OWN} == {k: v for k, v in alone.items() if k not in OWN}
    evaluations = read_table(continued, "evaluations").to_pylist()
    mine = [e for e in evaluations if e["trial_id"] == long["trial_id"]]
    assert [e["discriminator_step"] for e in mine] == [8, 16]
    assert mine == read_table(fresh, "evaluations").to_pylist()
