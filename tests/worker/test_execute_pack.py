"""Packs in a worker: each trial has its own start, its own state and its own end, whatever befalls its neighbours."""

import importlib.metadata
from dataclasses import replace

import pytest
import torch

import study.training.loop
import study.worker.execute
import study.worker.resume
from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.storage.layout import generator_path, unfinished_path
from study.storage.parts import part_path, read_part
from study.worker import record
from study.worker.checkpoint import load_generator, load_state
from study.worker.execute import execute, execute_pack
from study.worker.trial_run import Task
from tests.conftest import quick_only
from tests.parts import OWN
from tests.requests import make_request

STEPS, EVERY, CHECK = 9, 4, 2
"""Checkpoints at 4, 8 and 9; states also at 2 and 6."""
RATES = (1e-3, 5e-4, 1e-4)
EXPLOSIVE = 1e30
"""A learning rate with which nothing is finite for long."""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """States are written wherever they can be."""
    monkeypatch.setattr(study.training.loop, "CHECK_EVERY", CHECK)
    monkeypatch.setattr(study.worker.resume, "SAVE_EVERY", -1.0)


class Study:
    """Trials of one cell that differ in their learning rates, in a folder of their own."""

    def __init__(self, folder, rates=RATES, steps=STEPS):
        asked = {"data_dir": folder.parent / "data", "results": folder, "n_real": 64, "n_fake": 64}
        self.trials = []
        for rate in rates:
            request = make_request(datasets=["digits"], discriminator_steps=steps, **asked)
            numbers = Hyperparameters(learning_rate=rate, beta1=0.5, beta2=0.9, n_dis=2)
            planned = plan_trial(request, Method(architecture="sndcgan"), numbers, 0)
            self.trials.append(planned.trial)
        self.context = replace(planned.context, checkpoint_every=EVERY)
        self.lines = []

    def run(self, *which, slots=3, last=True, **how):
        """The outcomes of these trials, or all, as one pack."""
        places = which or range(len(self.trials))
        tasks = [Task(trial=self.trials[place], last=last, place=place) for place in places]
        return list(execute_pack(tasks, self.context, slots=slots, say=self.lines.append, **how))

    def part(self, index):
        return read_part(part_path(self.context.results, self.trials[index].id, self.context.protocol.id))

    def rows(self, index):
        """What is the same whenever and wherever the trial is run."""
        row, evaluations = self.part(index)
        return {name: value for name, value in row.items() if name not in OWN}, evaluations

    def state(self, index):
        return unfinished_path(self.context.results, self.trials[index].id, self.context.protocol.id)

    def recorded(self):
        return [part_path(self.context.results, trial.id, self.context.protocol.id).exists() for trial in self.trials]


def faulty(monkeypatch, fault):
    """`fault(slots, told)` is called before anything is trained, and after each of what the pack yields."""
    whole = study.worker.execute.train_pack

    def train_pack(trials, *arguments, **how):
        fault(len(trials), 0)
        for told, each in enumerate(whole(trials, *arguments, **how), start=1):
            yield each
            fault(len(trials), told)

    monkeypatch.setattr(study.worker.execute, "train_pack", train_pack)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pack of three that nothing befell."""
    made = Study(tmp_path_factory.mktemp("whole") / "results")
    made.outcomes = made.run()
    return made


def close(evaluations, others):
    """Equal but for rounding."""
    for one, other in zip(evaluations, others, strict=True):
        assert one["discriminator_step"] == other["discriminator_step"]
        for name in ("frechet_distance", "discriminator_loss", "generator_loss"):
            assert one[name] == pytest.approx(other[name], rel=1e-4)


class Killed(BaseException):
    """What no code catches, as a signal."""


def test_each_trial_of_a_pack_ends_with_its_rows_and_its_generator(whole, tmp_path):
    alone = Study(tmp_path / "alone")
    assert [(one.trial_id, one.status) for one in whole.outcomes] == [(trial.id, "finished") for trial in whole.trials]
    for index, trial in enumerate(whole.trials):
        execute(trial, alone.context)
        (row, evaluations), (other, others) = whole.part(index), alone.part(index)
        assert (row["pack"], other["pack"]) == (3, 1)
        assert row["training_seconds"] > 0 and row["scoring_seconds"] > 0
        assert [each["discriminator_step"] for each in evaluations] == [4, 8, 9]
        close(evaluations, others)
        kept = load_generator(generator_path(whole.context.results, trial.id))
        assert (kept.trial, kept.step) == (trial, row["best_step"])
    scores = {whole.part(index)[0]["best_frechet_distance"] for index in range(3)}
    assert len(scores) == 3 and {one.best_frechet_distance for one in whole.outcomes} == scores
    assert not list((whole.context.results / "unfinished").glob("*")) and whole.lines == []


@pytest.mark.full
@pytest.mark.parametrize("told", quick_only([1, 2, 4, 7], [1]))
def test_wherever_a_pack_is_killed_it_ends_in_the_same_rows(whole, tmp_path, monkeypatch, told):
    killed = Study(tmp_path / "results")
    with monkeypatch.context() as patch:
        faulty(patch, lambda _, count: kill() if count == told else None)
        with pytest.raises(Killed):
            killed.run()
    left = [index for index, done in enumerate(killed.recorded()) if not done]
    assert len(left) == (2 if told == 7 else 3)
    kept = [killed.state(index).exists() for index in range(3)]
    assert all(kept[index] for index in left if index < told)
    killed.run(*left)
    for index in range(3):
        assert killed.rows(index) == whole.rows(index)
        assert killed.part(index)[0]["resumptions"] == kept[index]


def kill():
    raise Killed


def test_states_are_those_of_each_trial_at_its_own_step(tmp_path, monkeypatch):
    one = Study(tmp_path / "results")
    faulty(monkeypatch, lambda _, count: kill() if count == 4 else None)
    with pytest.raises(Killed):
        one.run()
    first, *others = kept = [load_state(one.state(index)) for index in range(3)]
    assert [state.trial for state in kept] == one.trials
    assert [len(state.evaluations) for state in kept] == [2, 1, 1]
    assert first.position.step == 8 and all(4 <= state.position.step < 8 for state in others)


def test_one_that_diverges_ends_at_once_and_disturbs_nobody(whole, tmp_path):
    wild = Study(tmp_path / "results", (RATES[0], EXPLOSIVE, RATES[2]))
    outcomes = wild.run()
    assert [one.status for one in outcomes] == ["diverged", "finished", "finished"]
    row, _ = wild.part(1)
    assert (row["status"], row["pack"]) == ("diverged", 3) and "not finite at step" in row["reason"]
    assert not wild.state(1).exists()
    for index in (0, 2):
        assert wild.rows(index) == whole.rows(index)


def test_an_error_is_one_of_all_that_have_not_ended(tmp_path, monkeypatch):
    one = Study(tmp_path / "results", (1e-3, EXPLOSIVE, 1e-4))
    with monkeypatch.context() as patch:
        faulty(patch, lambda _, count: fail() if count == 3 else None)
        diverged, *failed = one.run(last=False)
    assert (diverged.status, diverged.recorded) == ("diverged", True)
    assert [(each.status, each.reason, each.recorded) for each in failed] == [
        ("failed", "ValueError: made so", False)
    ] * 2
    assert one.recorded() == [False, True, False] and one.state(0).exists() and one.state(2).exists()
    tracebacks = tmp_path.glob("results/states/*/*/traceback.txt")
    assert sorted(path.parent.name for path in tracebacks) == sorted(one.trials[index].id for index in (0, 2))
    (again,) = one.run(0, slots=1)
    row, _ = one.part(0)
    assert (again.status, row["pack"], row["resumptions"]) == ("finished", 1, 1)


def fail():
    raise ValueError("made\nso")


def test_the_last_attempt_of_a_pack_that_fails_leaves_rows(tmp_path, monkeypatch):
    one = Study(tmp_path / "results")
    faulty(monkeypatch, lambda *_: fail())
    assert [outcome.recorded for outcome in one.run()] == [True] * 3
    assert [one.part(index)[0]["status"] for index in range(3)] == ["failed"] * 3


def no_memory_on_a_cpu():
    torch.empty(1 << 50, dtype=torch.uint8)


def no_memory_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory.")


def no_memory_in_python():
    raise MemoryError


@pytest.mark.full
@pytest.mark.parametrize(
    ("shortage", "told"),
    quick_only(
        [(no_memory_on_a_cpu, 0), (no_memory_on_a_gpu, 0), (no_memory_on_a_gpu, 5), (no_memory_in_python, 0)],
        [(no_memory_on_a_gpu, 5)],
    ),
)
def test_a_pack_that_does_not_fit_goes_on_in_halves(whole, tmp_path, monkeypatch, shortage, told):
    """From its latest checkpoints: told of five, one trial stands at 8 and three stand at 4."""
    short, tried = Study(tmp_path / "results", (*RATES, 2e-3)), []

    def fault(slots, count):
        tried.append(slots)
        if slots > 2 and count == told:
            shortage()

    faulty(monkeypatch, fault)
    assert [outcome.status for outcome in short.run(slots=4)] == ["finished"] * 4
    assert short.lines == ["a program for 4 trials of none with n_dis 2 does not fit in memory; trying half as many"]
    assert list(dict.fromkeys(tried)) == [4, 2]
    assert [short.part(index)[0]["pack"] for index in range(4)] == [2] * 4
    assert [short.part(index)[0]["resumptions"] for index in range(4)] == [0] * 4
    for index in range(3):
        close(short.part(index)[1], whole.part(index)[1])


def test_one_trial_that_does_not_fit_fails(tmp_path, monkeypatch):
    one = Study(tmp_path / "results")
    faulty(monkeypatch, lambda *_: no_memory_on_a_gpu())
    outcomes = one.run(slots=3)
    assert [outcome.reason for outcome in outcomes] == ["OutOfMemoryError: CUDA out of memory."] * 3
    assert len(one.lines) == 1 and one.part(0)[0]["pack"] == 1


def test_another_error_of_pytorchs_halves_nothing(tmp_path, monkeypatch):
    one = Study(tmp_path / "results")

    def fault(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    faulty(monkeypatch, fault)
    assert [outcome.status for outcome in one.run()] == ["failed"] * 3
    assert one.lines == []


def test_what_is_left_of_a_pack_goes_on_in_a_program_of_the_same_size(whole, tmp_path):
    part = Study(tmp_path / "results")
    part.run(2)
    assert part.rows(2) == whole.rows(2) and part.part(2)[0]["pack"] == 3


@pytest.mark.full
def test_trials_of_a_pack_continue_shorter_ones(whole, tmp_path):
    """Two that do, one whose shorter one was never trained."""
    folder = tmp_path / "results"
    short, long = Study(folder, steps=4), Study(folder)
    short.context = replace(short.context, keep_states=True)
    short.run(0, 1)
    parents = zip(long.trials, short.trials, strict=True)
    tasks = [Task(trial=trial, parent=parent, place=place) for place, (trial, parent) in enumerate(parents)]
    outcomes = list(execute_pack(tasks, long.context, slots=3))
    assert [outcome.status for outcome in outcomes] == ["finished"] * 3
    sources = [long.part(index)[0]["source"] for index in range(3)]
    assert sources == [f"continued from {short.trials[index].id}" for index in (0, 1)] + ["training"]
    for index in range(3):
        assert long.part(index)[1] == whole.part(index)[1]


@pytest.mark.full
def test_a_kept_generator_has_no_pack(tmp_path):
    one = Study(tmp_path / "results")
    one.run(0)
    one.context = replace(one.context, protocol=replace(one.context.protocol, n_fake=32))
    (outcome,) = execute_pack([Task(trial=one.trials[0], kept=True)], one.context)
    row, _ = one.part(0)
    assert (outcome.status, row["source"], row["pack"], row["compiled"]) == ("finished", "kept generator", None, None)


def test_files_without_an_installation_have_no_version(monkeypatch):
    assert record.study_version() == importlib.metadata.version("gan-study")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(record, "version", missing)
    assert record.study_version() == "not installed"
