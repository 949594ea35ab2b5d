"""Trials that fail, and workers that die, through a real Ray: what is tried again, from where, and how often."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.driver.planning.planned import Planned
from study.driver.resources import Slots
from study.driver.scheduler import launch, ray_cluster
from study.driver.scheduler.feed import Feed
from study.driver.scheduler.retries import LOSSES, Attempts
from study.driver.scheduler.work import FixedWork
from study.storage.layout import unfinished_path
from study.storage.tables import compact, read_table
from study.worker.execute import execute
from study.worker.outcome import Outcome, record_loss
from tests.requests import make_request

STEPS, EVERY = 20, 4


def planned(folder: Path, n_dis: int) -> Planned:
    """A short trial; its n_dis tells it from others."""
    asked = {"data_dir": folder / "data", "results": folder / "results", "n_real": 64, "n_fake": 64}
    hyperparameters = Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=n_dis)
    request = make_request(datasets=["digits"], discriminator_steps=STEPS, **asked)
    one = plan_trial(request, Method(architecture="sndcgan"), hyperparameters, 0)
    return replace(one, context=replace(one.context, checkpoint_every=EVERY))


FAULTS = {
    1: ("raise", [6, 6]),
    2: ("raise", [6, 6, 6, 6, 6]),
    3: ("diverge", [6]),
    4: ("die", [6, 6, 6, 6, 6]),
    5: ("die", [5, 9, 13]),
}
"""What befalls trials, by n_dis: at which step of each attempt."""


def sabotaged(faults: dict[int, tuple[str, list[int]]]):  # type: ignore[no-untyped-def]
    """`execute_pack` for workers, of packs of one, with faults; each attempt leaves a line."""

    def run(tasks, context, *arguments, **how):  # type: ignore[no-untyped-def]
        import os
        import signal

        import torch

        import study.training.loop
        from study.worker.execute import execute_pack

        (task,) = tasks
        trial = task.trial
        log = context.results / f"attempts-{trial.hyperparameters.n_dis}"
        log.parent.mkdir(exist_ok=True)
        number = len(log.read_text().splitlines()) if log.exists() else 0
        with log.open("a") as file:
            file.write(f"{task.last}\n")
        kind, steps = faults[trial.hyperparameters.n_dis]
        whole = study.training.loop.real_batches

        def batches(*given):  # type: ignore[no-untyped-def]
            batch = whole(*given)

            def one(asked):  # type: ignore[no-untyped-def]
                if number < len(steps) and steps[number] in asked:
                    if kind == "die":
                        os.kill(os.getpid(), signal.SIGKILL)
                    if kind == "raise":
                        raise ValueError("made\nso")
                    return batch(asked) * float("nan")
                return batch(asked)

            return one

        study.training.loop.real_batches = batches
        try:
            yield from execute_pack(tasks, context, *arguments, **how)
        finally:
            (context.results / "threads").write_text(str(torch.get_num_threads()))
            study.training.loop.real_batches = whole

    return run


class Ran:
    """A study of the sabotaged trials, by n_dis."""

    def __init__(self, folder: Path, *chosen: int) -> None:
        self.todo = {n_dis: planned(folder, n_dis) for n_dis in chosen}
        self.results = folder / "results"
        self.outcomes: Counter[str] = Counter()
        self.lines: list[str] = []
        with ray_cluster.connected(None):
            launch.launch(
                FixedWork([(one,) for one in self.todo.values()]),
                Slots(concurrent=2, gpus_per_trial=0),
                self.add,
                say=self.lines.append,
                max_failures=2,
                run=sabotaged(FAULTS),
            )
        compact(self.results)
        self.rows = {row["trial_id"]: row for row in read_table(self.results, "trials").to_pylist()}

    def add(self, planned: Planned, outcome: Outcome) -> None:
        self.outcomes[planned.trial.id] += 1

    def row(self, n_dis: int) -> dict[str, object]:
        return self.rows[self.todo[n_dis].trial.id]

    def said(self, n_dis: int) -> list[str]:
        trial_id = self.todo[n_dis].trial.id
        return [line.removeprefix(f"{trial_id}: ") for line in self.lines if trial_id in line]

    def attempts(self, n_dis: int) -> list[bool]:
        """Whether each was told to be the last."""
        return [line == "True" for line in (self.results / f"attempts-{n_dis}").read_text().splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("attempts"), 1, 2, 3)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("attempts"), 4, 5)


@pytest.mark.full
def test_each_trial_ends_once(ran: Ran) -> None:
    assert ran.outcomes == {one.trial.id: 1 for one in ran.todo.values()}
    assert len(ran.rows) == 3


@pytest.mark.full
def test_a_worker_computes_with_one_thread(ran: Ran) -> None:
    assert (ran.results / "threads").read_text() == "1"


@pytest.mark.full
def test_what_raises_is_tried_again_from_its_latest_state(ran: Ran) -> None:
    assert (ran.row(1)["status"], ran.row(1)["resumptions"], ran.attempts(1)) == ("finished", 1, [False, False, True])
    again = "failed, ValueError: made so; it is retried"
    assert ran.said(1) == [f"{again} (1 of 2)", f"{again} (2 of 2)"]


@pytest.mark.full
def test_what_raises_each_time_is_recorded_once_when_its_attempts_are_spent(ran: Ran) -> None:
    assert (ran.row(2)["status"], ran.row(2)["reason"]) == ("failed", "ValueError: made so")
    assert ran.attempts(2) == [False, False, True]
    assert len(ran.said(2)) == 2
    one = ran.todo[2]
    assert unfinished_path(ran.results, one.trial.id, one.context.protocol.id).is_file()


@pytest.mark.full
def test_what_diverges_is_a_result(ran: Ran) -> None:
    assert (ran.row(3)["status"], ran.attempts(3), ran.said(3)) == ("diverged", [False], [])


@pytest.mark.slow
def test_a_worker_that_dies_without_progress_counts(killed: Ran) -> None:
    why = "its worker died (it was killed, or it crashed)"
    assert (killed.row(4)["status"], killed.row(4)["reason"]) == ("failed", f"{why}; it failed 3 times")
    assert killed.attempts(4) == [False, False, True]
    assert killed.said(4) == [f"{why}; it is retried ({n} of 2)" for n in (1, 2)]


@pytest.mark.slow
def test_a_worker_that_dies_after_progress_does_not(killed: Ran) -> None:
    assert (killed.row(5)["status"], killed.row(5)["resumptions"]) == ("finished", 3)
    assert killed.attempts(5) == [False] * 4


def test_attempts_are_counted_by_trial_and_deaths_since_progress(tmp_path: Path) -> None:
    one, other = planned(tmp_path, 1), planned(tmp_path, 2)
    attempts = Attempts(1)
    assert attempts.failed(one) and attempts.spent(one) == 1
    assert not attempts.failed(one)
    assert attempts.spent(other) == 0
    state = unfinished_path(other.context.results, other.trial.id, other.context.protocol.id)
    state.parent.mkdir(parents=True)
    for step in range(4):
        state.write_text(f"{step}")
        assert attempts.died(other) and attempts.spent(other) == 1
    assert not attempts.died(other)
    assert not Attempts(0).failed(one) and not Attempts(0).died(one)


class Fed:
    """A feed of one trial, that nothing really runs."""

    def __init__(self, folder: Path, most: int = 1) -> None:
        self.one = planned(folder, 1)
        self.outcomes: list[Outcome] = []
        self.lines: list[str] = []
        attempts, add = Attempts(most), lambda _, outcome: self.outcomes.append(outcome)
        self.feed = Feed(FixedWork([(self.one,)]), attempts, lambda: 1, add, self.lines.append, None)
        self.feed.next("a")


@pytest.mark.full
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("end", ["lost", "died"])
def test_what_ended_before_its_worker_was_gone_is_not_run_again(tmp_path: Path, merged: bool, end: str) -> None:
    fed = Fed(tmp_path)
    whole = execute(fed.one.trial, fed.one.context)
    if merged:
        compact(fed.one.context.results)
    fed.feed.lost("a") if end == "lost" else fed.feed.died("a", "killed")
    (told,) = fed.outcomes
    assert replace(told, seconds=0.0) == replace(whole, seconds=0.0) and told.status == "finished"
    assert 0 < told.seconds <= whole.seconds
    assert fed.feed.next("b") is None and fed.feed.over and fed.lines == []


def test_a_part_that_a_later_outcome_replaces_is_no_end(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    record_loss(fed.one.trial, fed.one.context, "before")
    fed.feed.died("a", "killed")
    assert fed.outcomes == [] and fed.feed.next("b") is not None


def test_a_trial_that_loses_node_after_node_without_progress_comes_to_its_end(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    for _ in range(LOSSES):
        fed.feed.lost("a")
        fed.feed.next("a")
    state = unfinished_path(fed.one.context.results, fed.one.trial.id, fed.one.context.protocol.id)
    state.parent.mkdir(parents=True)
    state.write_text("further")
    for _ in range(LOSSES + 1):
        assert fed.outcomes == [] and "retried" not in " ".join(fed.lines)
        fed.feed.lost("a")
        fed.feed.next("a")
    why = f"its worker died (its node was lost, after {LOSSES} earlier losses)"
    assert fed.lines[-1] == f"{fed.one.trial.id}: {why}; it is retried (1 of 1)"
    fed.feed.lost("a")
    (told,) = fed.outcomes
    assert (told.status, told.reason) == ("failed", f"{why}; it failed 2 times")
