"""What befalls packs: one bad trial takes none of the others with it, and what loses its node stays together."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from study.driver.cost.estimate import longest_first
from study.driver.planning.packs import assign_packs
from study.driver.planning.plan import make_plan
from study.driver.planning.planned import Planned
from study.driver.resources import Slots
from study.driver.scheduler import launch, ray_cluster
from study.driver.scheduler.feed import Feed
from study.driver.scheduler.retries import LOSSES, Attempts
from study.driver.scheduler.work import FixedWork
from study.storage.tables import compact, read_table
from study.worker.execute import execute, execute_pack
from study.worker.outcome import Outcome
from tests.requests import make_request


def plan(folder: Path, most: int = 3, methods: str = "none") -> list[Planned]:
    """Three settings with n_dis 1 of each method, in packs."""
    asked = {"data_dir": folder / "data", "results": folder / "results", "n_real": 64, "n_fake": 64}
    request = make_request(datasets=["digits"], methods=methods, n_dis=1, discriminator_steps=8, **asked)
    planned = assign_packs(make_plan(request, search_spaces.get("grid")), lambda _: most)
    return [replace(one, context=replace(one.context, checkpoint_every=4)) for one in planned]


class Fed:
    """A feed of one pack of three, that nothing really runs."""

    def __init__(self, folder: Path, most: int = 1) -> None:
        self.pack = plan(folder)
        self.ids = [one.trial.id for one in self.pack]
        self.outcomes: list[Outcome] = []
        self.lines: list[str] = []
        self.feed = Feed(
            FixedWork([tuple(self.pack)]),
            Attempts(most),
            lambda: 1,
            lambda _, outcome: self.outcomes.append(outcome),
            self.lines.append,
            None,
        )
        self.first = self.next("a")

    def next(self, tag: str) -> tuple[list[str], int, list[bool]] | None:
        """Ids, slots and whether it is the last attempt of each, of what is handed out next."""
        handed = self.feed.next(tag)
        if handed is None:
            return None
        return [task.trial.id for task in handed.tasks], handed.slots, [task.last for task in handed.tasks]

    def end(self, index: int, tag: str = "a", status: str = "finished", recorded: bool = True) -> None:
        trial, reason = self.pack[index].trial, None if status == "finished" else "made so"
        told = {"trial_id": trial.id, "dataset": trial.dataset, "method": trial.method.name, "reason": reason}
        self.feed.end(tag, Outcome(**told, status=status, best_frechet_distance=1.0, seconds=1.0, recorded=recorded))


def test_a_pack_is_handed_out_as_one_and_ends_trial_by_trial(tmp_path: Path) -> None:
    fed = Fed(tmp_path, most=0)
    assert fed.first == (fed.ids, 3, [False] * 3), "in a pack no attempt is the last"
    assert fed.feed.next("b") is None and not fed.feed.over
    for index in (1, 0, 2):
        assert len(fed.feed.running("a")) == 3 - len(fed.outcomes)
        fed.end(index)
    assert [outcome.trial_id for outcome in fed.outcomes] == [fed.ids[index] for index in (1, 0, 2)]
    assert fed.feed.next("b") is None and fed.feed.over and fed.lines == []


def test_there_is_room_for_packs_and_not_for_trials(tmp_path: Path) -> None:
    packs = longest_first(plan(tmp_path, methods="none,spectral_norm,layer_norm"), tmp_path / "results", "cpu")
    feed = Feed(FixedWork(packs), Attempts(1), lambda: 2, lambda *_: None, print, None)
    assert [feed.next(tag) is None for tag in "abc"] == [False, False, True]


@pytest.mark.parametrize("most", [0, 1])
def test_what_failed_in_a_pack_is_tried_again_alone_and_that_counts_for_nothing(tmp_path: Path, most: int) -> None:
    fed = Fed(tmp_path, most)
    fed.end(0, status="diverged")
    fed.end(1, status="failed", recorded=False)
    fed.end(2, status="failed", recorded=False)
    assert fed.lines == [
        f"{fed.ids[index]}: failed, made so; it is retried alone, outside its pack" for index in (1, 2)
    ]
    assert fed.next("b") == ([fed.ids[1]], 1, [most == 0])
    fed.end(1, "b")
    for attempt in range(most):
        assert fed.next("c") == ([fed.ids[2]], 1, [attempt == most])
        fed.end(2, "c", "failed", recorded=False)
        assert fed.lines[-1] == f"{fed.ids[2]}: failed, made so; it is retried ({attempt + 1} of {most})"
    assert fed.next("d") == ([fed.ids[2]], 1, [True])
    fed.end(2, "d", "failed")
    assert [outcome.status for outcome in fed.outcomes] == ["diverged", "finished", "failed"]
    assert fed.feed.next("e") is None and fed.feed.over


def test_of_a_pack_whose_worker_died_those_without_a_part_are_tried_again_alone(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    execute(fed.pack[1].trial, fed.pack[1].context)
    fed.feed.died("a", "killed")
    assert [(outcome.trial_id, outcome.status) for outcome in fed.outcomes] == [(fed.ids[1], "finished")]
    assert fed.next("b") == ([fed.ids[0]], 1, [False])
    fed.end(0, "b")
    assert fed.next("c") == ([fed.ids[2]], 1, [False]), "the death of the pack was no death of its own"
    words = "its worker died (killed); it is retried alone, outside its pack"
    assert fed.lines == [f"{fed.ids[index]}: {words}" for index in (0, 2)]


def test_what_lost_its_node_goes_on_as_the_same_pack(tmp_path: Path) -> None:
    fed = Fed(tmp_path, most=0)
    fed.end(0)
    fed.feed.lost("a")
    assert fed.next("b") == (fed.ids[1:], 3, [False] * 2)
    for _ in range(LOSSES - 1):
        fed.feed.lost("b")
        assert fed.next("b") == (fed.ids[1:], 3, [False] * 2)
    fed.feed.lost("b")
    assert fed.next("c") == ([fed.ids[1]], 1, [True]), "it may be the pack that takes one node after another"
    assert fed.lines[0] == f"{fed.ids[1]}: its node was lost; it continues on another one"
    assert f"its node was lost, after {LOSSES} earlier losses); it is retried alone" in fed.lines[-1]


def sabotaged(bad: str, kind: str):  # type: ignore[no-untyped-def]
    """`execute_pack` for workers: each attempt leaves a line, and the trial `bad` ruins its own at its checkpoint."""

    def run(tasks, context, *arguments, **how):  # type: ignore[no-untyped-def]
        import os
        import signal

        import study.worker.execute

        log = context.results / "attempts"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as file:
            file.write(f"{' '.join(task.trial.id for task in tasks)}\n")
        whole = study.worker.execute.train_pack

        def train_pack(trials, *given, **more):  # type: ignore[no-untyped-def]
            for index, told in whole(trials, *given, **more):
                if trials[index].id == bad:
                    if kind == "die":
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise ValueError("made so")
                yield index, told

        study.worker.execute.train_pack = train_pack
        try:
            yield from study.worker.execute.execute_pack(tasks, context, *arguments, **how)
        finally:
            study.worker.execute.train_pack = whole

    return run


class Ran:
    """A study of two packs of three, in one of which the second trial ruins what it is in."""

    def __init__(self, folder: Path, kind: str) -> None:
        todo = plan(folder, methods="none,spectral_norm")
        self.ids = [list(one.pack) for one in todo[::3]]
        self.bad, self.lines, self.outcomes = self.ids[1][1], [], Counter[str]()
        results = folder / "results"
        with ray_cluster.connected(None):
            launch.launch(
                FixedWork(longest_first(todo, results, "cpu")),
                Slots(concurrent=2, gpus_per_trial=0),
                lambda _, outcome: self.outcomes.update([outcome.trial_id]),
                say=self.lines.append,
                max_failures=1,
                run=sabotaged(self.bad, kind),
            )
        compact(results)
        self.rows = {row["trial_id"]: row for row in read_table(results, "trials").to_pylist()}
        self.attempts = Counter((results / "attempts").read_text().splitlines())


@pytest.mark.parametrize(
    "kind", [pytest.param("raise", marks=pytest.mark.full), pytest.param("die", marks=pytest.mark.slow)]
)
def test_one_bad_trial_of_a_pack_takes_no_other_with_it(tmp_path: Path, kind: str) -> None:
    ran = Ran(tmp_path, kind)
    good, spoilt = ran.ids
    assert ran.outcomes == dict.fromkeys([*good, *spoilt], 1)
    assert {trial_id: row["status"] for trial_id, row in ran.rows.items()} == {
        trial_id: "failed" if trial_id == ran.bad else "finished" for trial_id in ran.outcomes
    }
    assert [ran.rows[trial_id]["pack"] for trial_id in good] == [3] * 3
    assert [ran.rows[trial_id]["pack"] for trial_id in spoilt] == [1] * 3
    alone = {trial_id: 2 if trial_id == ran.bad else 1 for trial_id in spoilt}
    assert ran.attempts == {" ".join(good): 1, " ".join(spoilt): 1, **alone}
    assert [ran.rows[trial_id]["resumptions"] for trial_id in spoilt[::2]] == [1, 0]
    out = [line.partition(":")[0] for line in ran.lines if line.endswith("outside its pack")]
    assert sorted(out) == sorted(spoilt)


@pytest.mark.full
def test_the_pack_of_a_plan_is_what_a_worker_trains(tmp_path: Path) -> None:
    """Whatever is left of it."""
    pack = plan(tmp_path)
    handed = Feed(FixedWork([tuple(pack[1:])]), Attempts(1), lambda: 1, print, print, None).next("a")
    assert handed is not None
    outcomes = list(execute_pack(handed.tasks, pack[0].context, slots=handed.slots))
    assert [outcome.trial_id for outcome in outcomes] == [one.trial.id for one in pack[1:]]
    compact(tmp_path / "results")
    assert [row["pack"] for row in read_table(tmp_path / "results", "trials").to_pylist()] == [3, 3]
