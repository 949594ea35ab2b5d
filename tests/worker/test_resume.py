"""Interrupted trials: wherever they stop, they go on to the same rows, and leave nothing when they have ended."""

import os
import pickle
import random
import signal
import time
from dataclasses import replace
from itertools import product

import pytest
import torch

import study.training.loop
import study.worker.execute
import study.worker.resume
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.storage.layout import generator_at, generator_path, state_path, unfinished_path
from study.storage.parts import part_path, read_part
from study.storage.tables import compact, forget_ended, read_table
from study.worker import checkpoint
from study.worker.checkpoint import load_generator, load_state
from study.worker.execute import execute
from study.worker.outcome import PartialResult, partial_result, record_stopped
from study.worker.record import now
from study.worker.resume import StateFile
from study.worker.snapshot import Snapshot
from tests.conftest import quick_only, study_process
from tests.parts import OWN
from tests.requests import make_request

METHODS = {
    "none": {},
    "spectral_norm+gradient_penalty": {"normalizations": ("spectral_norm",), "penalty": "gradient_penalty"},
    "layer_norm": {"normalizations": ("layer_norm",)},
    "began": {"loss": "began"},
    "batch_norm": {"normalizations": ("batch_norm",)},
}
QUICK = (("batch_norm", 5),)
STEPS, EVERY, CHECK = 9, 4, 2
"""Checkpoints at 4, 8 and 9; states also at 2 and 6."""


class Killed(BaseException):
    """What no code catches, as a signal."""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """States are written wherever they can be."""
    monkeypatch.setattr(study.training.loop, "CHECK_EVERY", CHECK)
    monkeypatch.setattr(study.worker.resume, "SAVE_EVERY", -1.0)


@pytest.fixture
def plan(tmp_path):
    def plan(folder="results", *, n_dis=1, rate=1e-3, **how):
        method = {"architecture": "sndcgan", **how.pop("method", {})}
        small = {"discriminator_steps": STEPS, "n_real": 64, "n_fake": 64}
        asked = {"data_dir": tmp_path / "data", "results": tmp_path / folder, **small, **how}
        penalty_weight = 1.0 if "penalty" in method else None
        hyperparameters = Hyperparameters(
            learning_rate=rate, beta1=0.5, beta2=0.9, n_dis=n_dis, penalty_weight=penalty_weight
        )
        planned = plan_trial(make_request(datasets=["digits"], **asked), Method(**method), hyperparameters, 0)
        return planned.trial, replace(planned.context, checkpoint_every=EVERY)

    return plan


def stop_at(monkeypatch, step, error=Killed):
    """Raise when the batch of a step is asked for."""
    whole = study.training.loop.real_batches

    def batches(*arguments):
        batch = whole(*arguments)

        def one(asked):
            if step in asked:
                raise error(f"at step {step}")
            return batch(asked)

        return one

    monkeypatch.setattr(study.training.loop, "real_batches", batches)


def spoil(monkeypatch, step):
    """The batch of a step is not finite, nor are the losses from there on."""
    whole = study.training.loop.real_batches

    def batches(*arguments):
        batch = whole(*arguments)
        return lambda asked: batch(asked) * (float("nan") if step in asked else 1.0)

    monkeypatch.setattr(study.training.loop, "real_batches", batches)


def interrupt(trial, context, step):
    """Run a trial until it is to make a step."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Killed):
            execute(trial, context)


def rows(trial, context):
    return read_part(part_path(context.results, trial.id, context.protocol.id))


def path_of(trial, context):
    return unfinished_path(context.results, trial.id, context.protocol.id)


def generator(trial, context):
    return load_generator(generator_path(context.results, trial.id))


def left(context):
    """Names of all files of states, also of those half written."""
    return sorted(path.name for path in (context.results / "unfinished").glob("*"))


def same(one, other):
    (row, evaluations), (other_row, other_evaluations) = one, other
    assert evaluations == other_evaluations
    assert {k: v for k, v in row.items() if k not in OWN} == {k: v for k, v in other_row.items() if k not in OWN}


@pytest.mark.parametrize(("method", "n_dis"), quick_only(product(METHODS, [1, 5]), QUICK))
def test_wherever_it_stops_it_ends_in_the_same_rows_and_generator(plan, method, n_dis):
    """Before any state, right after one between two checkpoints, within a span, at a checkpoint, before the last step.

    Each time it goes on from the time before, but for the one in which it came to no state: that does not count.
    """
    trial, whole = plan("whole", method=METHODS[method], n_dis=n_dis, rate=1e-2)
    execute(trial, whole)
    trial, context = plan("stopped", method=METHODS[method], n_dis=n_dis, rate=1e-2)
    for step in (2, 3, 4, 5, 8, 9):
        interrupt(trial, context, step)
        assert left(context) == ([path_of(trial, context).name] if step > 2 else [])
    study.training.lockstep.programs.cache_clear()  # a new process has never seen a first step
    execute(trial, context)
    same(rows(trial, context), rows(trial, whole))
    assert [e["discriminator_step"] for e in rows(trial, context)[1]] == [4, 8, 9]
    (kept, afresh) = generator(trial, context), generator(trial, whole)
    assert (kept.trial, kept.step) == (afresh.trial, afresh.step)
    torch.testing.assert_close(kept.parameters, afresh.parameters, rtol=0, atol=0, check_stride=True)
    torch.testing.assert_close(kept.buffers, afresh.buffers, rtol=0, atol=0)
    assert (rows(trial, whole)[0]["resumptions"], rows(trial, context)[0]["resumptions"]) == (0, 4)
    assert left(context) == left(whole) == []


@pytest.mark.parametrize(("step", "reached"), [(3, 2), (4, 2), (5, 4), (6, 4), (7, 6), (9, 8)])
def test_the_latest_state_is_that_of_the_last_check(plan, step, reached):
    trial, context = plan()
    interrupt(trial, context, step)
    kept = load_state(path_of(trial, context))
    assert (kept.position.step, len(kept.evaluations)) == (reached, reached // EVERY)
    assert kept.position.tally.steps == reached % EVERY
    assert kept.conditions == context.conditions


def test_between_checkpoints_a_state_is_written_only_when_it_is_due(plan, monkeypatch):
    """Seconds of training count from the last state, whichever wrote it; checkpoints always write one."""
    trial, context = plan()
    written = []
    monkeypatch.setattr(
        study.worker.resume, "save_state", lambda _, snapshot, __: written.append(snapshot.position.step)
    )
    monkeypatch.setattr(study.worker.resume, "SAVE_EVERY", 300.0)
    execute(trial, context)
    assert written == [4, 8]
    written.clear()
    so_far = Snapshot(trial, context.conditions)
    kept = StateFile(context.results, so_far, print)
    for step, seconds in ((1, 299.0), (2, 301.0), (3, 600.0), (4, 602.0)):
        position = study.training.lockstep.Position(
            step, None, study.training.lockstep.LossTally.empty("cpu"), seconds, 0.0
        )
        if kept.due(seconds):
            kept.write(so_far._replace(position=position), (1, 8))
    assert written == [2, 4]


@pytest.fixture
def ever_worse(monkeypatch):
    """The first checkpoint is the best one."""
    whole = study.training.loop.make_evaluation
    monkeypatch.setattr(
        study.training.loop,
        "make_evaluation",
        lambda trial, step, *rest: replace(whole(trial, step, *rest), frechet_distance=float(step)),
    )


@pytest.mark.full
@pytest.mark.usefixtures("ever_worse")
def test_the_best_generator_of_before_the_interruption_is_kept(plan):
    trial, whole = plan("whole")
    execute(trial, whole)
    trial, context = plan()
    interrupt(trial, context, 9)
    kept = load_state(path_of(trial, context))
    assert (kept.best.step, kept.position.step) == (4, 8)
    execute(trial, context)
    assert rows(trial, context)[0]["best_step"] == 4
    assert generator(trial, context).step == 4
    for part in ("parameters", "buffers"):
        expected = getattr(generator(trial, whole), part)
        torch.testing.assert_close(getattr(generator(trial, context), part), expected, rtol=0, atol=0)


@pytest.mark.full
def test_seconds_are_those_of_the_steps_that_count(plan):
    trial, context = plan()
    interrupt(trial, context, 7)
    path = path_of(trial, context)
    content = torch.load(path, weights_only=True)
    assert content["position"]["step"] == 6
    position = {**content["position"], "training_seconds": 500.0, "scoring_seconds": 700.0}
    torch.save({**content, "position": position}, path)
    execute(trial, context)
    row, _ = rows(trial, context)
    assert 500 < row["training_seconds"] < 600
    assert 700 < row["scoring_seconds"] < 800
    assert row["images_per_second"] == pytest.approx(STEPS * 64 / row["training_seconds"])


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    tensor = load_state(path).position.state.discriminator_adam.first.numpy().tobytes()
    content[bytes(content).find(tensor) + len(tensor) // 2] ^= 1
    path.write_bytes(content)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def bomb(path):
    torch.save({"trial": Malicious(path.with_name("ran"))}, path)


def change(**what):
    def changed(path):
        torch.save({**torch.load(path, weights_only=True), **what}, path)

    return changed


def of_another_seed(path):
    """A whole state, but of another trial."""
    content = torch.load(path, weights_only=True)
    trial = checkpoint.Trial.from_dict({**content["trial"], "seed": 1})
    evaluations = [{**each, "trial_id": trial.id} for each in content["evaluations"]]
    torch.save({**content, "trial": trial.to_dict(), "trial_id": trial.id, "evaluations": evaluations}, path)


USELESS = {
    "cut short": (cut, "not a readable state ("),
    "a wrong bit": (flip, "not a readable state (wrong checksum of "),
    "malicious": (bomb, "not a readable state ("),
    "empty": (lambda path: path.write_bytes(b""), "not a readable state ("),
    "other semantics": (
        change(trial_id="0" * 16),
        "not a readable state (it was written under other semantics)",
    ),
    "another trial": (of_another_seed, "holds the state of trial "),
}


@pytest.mark.parametrize("damage", quick_only(USELESS, ["cut short", "malicious", "another trial"]))
def test_what_is_of_no_use_is_told_in_a_line_and_the_trial_is_trained_from_the_start(plan, capsys, damage):
    trial, context = plan()
    interrupt(trial, context, 7)
    spoil, told = USELESS[damage]
    spoil(path_of(trial, context))
    capsys.readouterr()
    execute(trial, context)
    err = capsys.readouterr().err
    assert (
        err.startswith(f"trial {trial.id} is trained from the start, its state cannot be used: ")
        and err.count("\n") == 1
    )
    assert told in err
    row, evaluations = rows(trial, context)
    assert (row["status"], row["resumptions"], len(evaluations)) == ("finished", 0, 3)
    assert not path_of(trial, context).exists()
    assert not (context.results / "unfinished" / "ran").exists()


@pytest.mark.parametrize("when", [0, 2**34])
def test_the_time_of_its_file_means_nothing(plan, when):
    """A clock that jumped: it goes on from there, whenever that was."""
    trial, context = plan()
    interrupt(trial, context, 7)
    os.utime(path_of(trial, context), (when, when))
    execute(trial, context)
    assert rows(trial, context)[0]["resumptions"] == 1


OTHERWISE = {
    "checkpoint_every": {"checkpoint_every": 3},
    "operator_norms": {"operator_norms": True},
    "metrics": {"metrics": ()},
}


@pytest.mark.parametrize("condition", quick_only(OTHERWISE, ["metrics"]))
def test_under_other_conditions_it_is_trained_from_the_start(plan, capsys, condition):
    trial, context = plan()
    interrupt(trial, context, 7)
    context = replace(context, **OTHERWISE[condition])
    capsys.readouterr()
    execute(trial, context)
    assert f"was scored under other conditions ({condition})." in capsys.readouterr().err
    assert rows(trial, context)[0]["resumptions"] == 0


def test_other_images_are_other_conditions(plan, capsys):
    trial, context = plan()
    interrupt(trial, context, 7)
    other = replace(context, dataset_sha256="0" * 64)
    assert StateFile(context.results, Snapshot(trial, other.conditions), print).read() is None
    assert "was scored under other conditions (dataset_sha256)." in capsys.readouterr().out
    assert StateFile(context.results, Snapshot(trial, context.conditions), print).read().position.step == 6


def test_another_protocol_has_a_state_of_its_own(plan):
    trial, context = plan()
    _, other = plan(n_fake=100)
    interrupt(trial, context, 7)
    interrupt(trial, other, 5)
    assert {load_state(path_of(trial, c)).position.step for c in (context, other)} == {4, 6}
    execute(trial, other)
    assert left(context) == [path_of(trial, context).name]
    assert rows(trial, other)[0]["resumptions"] == 1


def test_a_failed_trial_keeps_its_state_and_goes_on_when_it_is_tried_again(plan, monkeypatch):
    trial, context = plan()
    with monkeypatch.context() as patch:
        stop_at(patch, 7, RuntimeError)
        assert execute(trial, context).status == "failed"
    part = part_path(context.results, trial.id, context.protocol.id)
    assert left(context) == [path_of(trial, context).name]
    compact(context.results)
    forget_ended(context.results)
    assert left(context) == [path_of(trial, context).name]
    execute(trial, context)
    row, evaluations = read_part(part)
    assert (row["status"], row["resumptions"], len(evaluations)) == ("finished", 1, 3)
    assert left(context) == []


def test_a_diverged_trial_keeps_no_state(plan, monkeypatch):
    trial, context = plan()
    interrupt(trial, context, 7)
    spoil(monkeypatch, 9)
    assert execute(trial, context).status == "diverged"
    row, evaluations = rows(trial, context)
    assert [e["discriminator_step"] for e in evaluations] == [4, 8]
    assert row["training_seconds"] > 0
    assert left(context) == []
    assert not generator_path(context.results, trial.id).exists()


def test_what_diverges_before_a_checkpoint_has_no_seconds_though_it_was_interrupted(plan, monkeypatch):
    trial, context = plan()
    interrupt(trial, context, 3)
    spoil(monkeypatch, 4)
    execute(trial, context)
    row, evaluations = rows(trial, context)
    assert (row["status"], row["training_seconds"], evaluations, row["resumptions"]) == ("diverged", None, [], 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_state_with_a_parameter_that_is_not_finite_is_never_written(plan, network, value):
    trial, context = plan()
    interrupt(trial, context, 7)
    before, kept = path_of(trial, context).read_bytes(), load_state(path_of(trial, context))
    name, parameter = list(getattr(kept.position.state, network).items())[-1]
    broken = {**getattr(kept.position.state, network), name: torch.full_like(parameter, value)}
    position = kept.position._replace(state=kept.position.state._replace(**{network: broken}))
    StateFile(context.results, Snapshot(trial, context.conditions), print).write(
        kept._replace(position=position), (1, 8)
    )
    assert path_of(trial, context).read_bytes() == before
    assert left(context) == [path_of(trial, context).name]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_trial_whose_state_cannot_be_written_goes_on_and_says_so_once(plan, monkeypatch, capsys, hidden):
    """Also where PyTorch hides what the system said behind an error of its own."""
    trial, context = plan()
    whole = torch.save

    def full(content, file):
        if "unfinished" in str(file.name):
            file.write(b"half")
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                if hidden:
                    raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904  as PyTorch does
                raise
        whole(content, file)

    monkeypatch.setattr(torch, "save", full)
    assert execute(trial, context).status == "finished"
    err = capsys.readouterr().err
    line = f"trial {trial.id} continues, but its state cannot be saved: [Errno 28] No space"
    assert err.startswith(line) and err.count("\n") == 1
    assert left(context) == []
    assert len(rows(trial, context)[1]) == 3


def kept_files(trial, context):
    return sorted(path.name for path in generator_path(context.results, trial.id).parent.glob("*.pt"))


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("none", []),
        ("best", ["generator.pt"]),
        ("all", ["generator-000004.pt", "generator-000008.pt", "generator-000009.pt", "generator.pt"]),
    ],
)
@pytest.mark.parametrize("interrupted", [False, True])
def test_which_generators_are_kept(plan, keep, expected, interrupted):
    trial, context = plan(keep=keep)
    if interrupted:
        interrupt(trial, context, 7)
    execute(trial, context)
    assert kept_files(trial, context) == expected
    for step in (4, 8, 9) if keep == "all" else ():
        assert load_generator(generator_at(context.results, trial.id, step)).step == step
    assert left(context) == []
    assert trial.id == plan(keep="best")[0].id


@pytest.mark.full
@pytest.mark.usefixtures("ever_worse")
def test_all_generators_are_those_of_their_steps(plan):
    trial, context = plan(keep="all", rate=1e-2)
    execute(trial, context)
    assert rows(trial, context)[0]["best_step"] == 4
    best, same_step = generator(trial, context), load_generator(generator_at(context.results, trial.id, 4))
    torch.testing.assert_close(best.parameters, same_step.parameters, rtol=0, atol=0)
    last = load_generator(generator_at(context.results, trial.id, 9))
    assert not torch.equal(next(iter(last.parameters.values())), next(iter(best.parameters.values())))


def test_a_state_that_is_asked_for_outlives_the_trial_and_the_tidying(plan):
    trial, context = plan(keep_states=True, keep="none")
    interrupt(trial, context, 7)
    execute(trial, context)
    assert kept_files(trial, context) == ["state.pt"]
    kept = load_state(state_path(context.results, trial.id))
    assert (kept.position.step, kept.resumptions, kept.best.step) == (9, 1, rows(trial, context)[0]["best_step"])
    compact(context.results)
    forget_ended(context.results)
    assert kept_files(trial, context) == ["state.pt"]
    assert left(context) == []


@pytest.mark.full
def test_what_a_killed_process_left_of_an_ended_trial_is_removed_when_the_folder_is_opened(plan, study):
    """And nothing of a trial that has not ended."""
    trial, context = plan()
    interrupt(trial, context, 7)
    path = path_of(trial, context)
    content = path.read_bytes()
    execute(trial, context)
    path.write_bytes(content)
    half = path.with_name(f".{path.name}.123-456.tmp")
    half.write_bytes(content[:100])
    other, _ = plan(n_dis=5)
    interrupt(other, context, 7)
    options = ["--results", context.results, "--discriminator-steps", 2]
    assert study("train", *options).code == 0
    assert left(context) == [path_of(other, context).name]


def test_a_stopped_trial_leaves_no_state_and_has_its_checkpoints_of_before_the_interruption(plan):
    """As in a worker: the driver stops it while it reports, and writes its row."""
    trial, context = plan()
    interrupt(trial, context, 7)
    told = []

    def report(checkpoint, so_far):
        compiled = checkpoint.lockstep.backend
        told.append(pickle.dumps(partial_result(context, so_far, started=now(), device="cpu", compiled=compiled)))
        raise Killed

    with pytest.raises(Killed):
        execute(trial, context, on_checkpoint=report)
    assert load_state(path_of(trial, context)).position.step == 6
    result = pickle.loads(told[-1])
    assert isinstance(result, PartialResult)
    record_stopped(trial, context, result)
    row, evaluations = rows(trial, context)
    assert (row["status"], row["resumptions"], row["best_step"]) == ("stopped", 1, None)
    assert [e["discriminator_step"] for e in evaluations] == [4, 8]
    assert left(context) == []


@pytest.mark.full
def test_two_processes_on_one_trial_end_in_the_same_rows(plan):
    """An orphan writes an earlier state while another one is ahead, then the other is interrupted."""
    trial, whole = plan("whole", rate=1e-2)
    execute(trial, whole)
    trial, context = plan(rate=1e-2)
    interrupt(trial, context, 3)
    earlier = path_of(trial, context).read_bytes()
    interrupt(trial, context, 9)
    path_of(trial, context).write_bytes(earlier)
    execute(trial, context)
    same(rows(trial, context), rows(trial, whole))
    path_of(trial, context).write_bytes(earlier)  # it writes once more after all is over, then ends as well
    execute(trial, context)
    same(rows(trial, context), rows(trial, whole))
    assert left(context) == []


@pytest.mark.full
def test_one_process_runs_trial_after_trial_without_mixing_them(plan):
    """As workers do: what is interrupted, whole and interrupted again share a process."""
    trials = [plan(n_dis=n_dis, rate=1e-2)[0] for n_dis in (1, 2)]
    _, whole = plan("whole")
    _, context = plan("mixed")
    for trial in trials:
        execute(trial, whole)
    for step in (4, 7):
        for trial in trials:
            interrupt(trial, context, step)
    for trial in trials:
        execute(trial, context)
        same(rows(trial, context), rows(trial, whole))


def test_keep_is_one_of_three():
    with pytest.raises(InputError, match=r"^--keep bets: unknown; did you mean best\? Known: all, best, none\.$"):
        make_request(datasets=["digits"], results=None, data_dir=None, keep="bets")


TRAIN = ("--normalization", "spectral_norm", "--penalty", "gradient_penalty", "--penalty-weight", 1, "--n-dis", 2)


def newest_state(folder):
    """The time of the newest file of a state; 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in (folder / "unfinished").glob("[!.]*.pt")), default=0)


def wait_for_a_state_of_its_own(process, folder, before):
    """Until a process has written a state, or has ended; `before`: the newest of before it started."""
    deadline = time.monotonic() + 240
    while newest_state(folder) == before and process.poll() is None:
        assert time.monotonic() < deadline, "it makes no progress"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_kill_9_at_random_moments(tmp_path, attempt):
    """`study train`, killed again and again: its rows and generator are those of a run that nobody killed."""
    options = (*TRAIN, "--discriminator-steps", 250, "--learning-rate", 1e-3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert study_process("train", *options, "--results", whole).wait(300) == 0
    chance, kills = random.Random(attempt), 0
    for _ in range(4):
        before = newest_state(killed)
        process = study_process("train", *options, "--results", killed)
        wait_for_a_state_of_its_own(process, killed, before)
        time.sleep(chance.uniform(0, 1.5))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    process = study_process("train", *options, "--results", killed)
    assert process.wait(300) == 0, process.stderr.read()
    (row,), (afresh,) = (read_table(folder, "trials").to_pylist() for folder in (killed, whole))
    assert read_table(killed, "evaluations") == read_table(whole, "evaluations")
    assert {k: v for k, v in row.items() if k not in OWN} == {k: v for k, v in afresh.items() if k not in OWN}
    assert row["resumptions"] == kills > 1
    one, other = (load_generator(generator_path(folder, row["trial_id"])) for folder in (killed, whole))
    torch.testing.assert_close(one.parameters, other.parameters, rtol=0, atol=0)
    assert not list((killed / "unfinished").glob("*"))


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), torch.OutOfMemoryError("no room")], ids=type)
def test_a_state_that_cannot_be_read_now_is_kept_for_the_next_attempt(plan, monkeypatch, fault):
    trial, context = plan()
    interrupt(trial, context, 7)
    path = unfinished_path(context.results, trial.id, context.protocol.id)
    before = path.read_bytes()

    def refuse(*_, **__):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_load", refuse)
        outcome = execute(trial, context, last=False)
    assert (outcome.status, outcome.recorded) == ("failed", False)
    assert outcome.reason.startswith("Unreadable: ") and "cannot be read now" in outcome.reason
    assert path.read_bytes() == before
    assert execute(trial, context).status == "finished"
    row, _ = read_part(part_path(context.results, trial.id, context.protocol.id))
    assert row["resumptions"] == 1
