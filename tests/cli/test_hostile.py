"""Results folders that lie, are full of junk, or were written by clocks that jump: nothing is lost and nobody stops."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.cli.session import opened
from study.storage.memberships import add_memberships
from study.storage.parts import part_path, part_paths
from study.storage.tables import compact, read_table, statuses
from tests.cli.test_status import trial
from tests.parts import PROTOCOL, leave


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def in_record(**values: object) -> Callable[[Path], None]:
    return lambda path: edit(path, lambda content: content["record"].update(values))


def in_scores(**values: object) -> Callable[[Path], None]:
    return lambda path: edit(path, lambda content: content["evaluations"][0].update(values))


LIES = {
    "a whole number beyond 64 bits": in_record(resumptions=2**70),
    "a real number beyond all": in_scores(frechet_distance=10**400),
    "no number": in_scores(frechet_distance=float("nan")),
    "no end": in_record(training_seconds=float("inf")),
    "yes as a number": in_record(resumptions=True),
    "words among numbers": in_scores(diagnostics={"sigmas": [1.0, "wide"]}),
    "half a character": in_record(host="\ud800"),
    "a depth without end": lambda path: path.write_text("[" * 100_000),
    "a date beyond all": in_record(started_at="9999-12-31T23:59:59-23:59"),
    "a step beyond 64 bits": in_scores(discriminator_step=2**70),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_part_whose_values_no_table_holds_is_set_aside_and_loses_no_other(tmp_path: Path, lie: object) -> None:
    leave(tmp_path, trial(0))
    leave(tmp_path, trial(1))
    lie(part_path(tmp_path, trial(1).id, PROTOCOL.id))  # type: ignore[operator]
    with opened(tmp_path):
        assert statuses(tmp_path) == {(trial(0).id, PROTOCOL.id): "finished"}
    assert read_table(tmp_path, "trials")["trial_id"].to_pylist() == [trial(0).id]
    assert len(list(tmp_path.glob("parts/*/*.damaged-*"))) == 1


def test_among_junk_nothing_is_lost(tmp_path: Path) -> None:
    """In every folder, under names that are like ours and others."""
    for seed in range(3):
        leave(tmp_path, trial(seed))
    names = ["{}.txt", "{}.json", "{}.pt", ".lock{}", ".lock-{}", ".node-{}", "0123456789abcdef-{}.json"]
    places = [tmp_path, *(tmp_path / each for each in ("parts", "parts/ab", "unfinished", "states", "states/ab"))]
    for place in places:
        for number, name in enumerate(names * 5):
            junk = place / name.format(number)
            junk.parent.mkdir(parents=True, exist_ok=True)
            junk.write_bytes(b"\x80junk")
    (tmp_path / "unfinished" / "a folder.pt").mkdir()
    with opened(tmp_path):
        assert len(statuses(tmp_path)) == 3
    assert len(read_table(tmp_path, "trials")) == 3
    assert len([path for place in places for path in place.glob("*.txt")]) == 5 * len(places)


TIMES = {
    "finished before it started": {"started_at": "2026-01-02T00:00:00+00:00"},
    "long ago": {"started_at": "0001-01-02T00:00:00+00:00", "finished_at": "1000-01-01T00:00:00+00:00"},
    "in a far future": {"started_at": "9998-01-01T00:00:00+00:00", "finished_at": "9999-01-01T00:00:00+00:00"},
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_no_clock_keeps_a_folder_from_being_opened_and_told_of(tmp_path: Path, study: object, times: dict) -> None:
    add_memberships(tmp_path, "grid", "digits", [trial(seed) for seed in range(3)])
    for seed in range(2):
        leave(tmp_path, trial(seed), seconds=1.0)
        in_record(**times)(part_path(tmp_path, trial(seed).id, PROTOCOL.id))
    for merged in (False, True):
        if merged:
            assert compact(tmp_path) == 2
        answer = study("status", "--results", tmp_path)  # type: ignore[operator]
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith("grid on digits: 2 finished, 1 to run")
    with opened(tmp_path):
        assert set(statuses(tmp_path).values()) == {"finished"}
    assert not list(tmp_path.glob("*.damaged-*")) and not list(part_paths(tmp_path))


@pytest.mark.parametrize("when", [0, 1, 2**34])
def test_no_file_time_hides_a_part_or_a_claim(tmp_path: Path, when: int) -> None:
    leave(tmp_path, trial(0))
    with opened(tmp_path) as folder_lock:
        folder_lock.check()
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.utime(path, (when, when))
        folder_lock.check()
        leave(tmp_path, trial(1))
        for path in part_paths(tmp_path):
            os.utime(path, (when, when))
    assert len(read_table(tmp_path, "trials")) == 2
