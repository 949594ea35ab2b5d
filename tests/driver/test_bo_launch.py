"""Searches through a real Ray: to the end, again, stopped early, and after kills."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.storage.parts import part_paths
from study.storage.tables import compact, read_table
from tests.conftest import Answer, study_process

ONE = ("--methods", "none", "--n-dis", "1")


def finish(*arguments: object) -> Answer:
    process = study_process(*arguments)
    out, err = process.communicate(timeout=600)
    return Answer(process.returncode, out, err)


def rounds(folder: Path) -> dict[int, list[str]]:
    """Trial ids by round, in order."""
    found: dict[int, list[str]] = {}
    for row in read_table(folder, "memberships").to_pylist():
        found.setdefault(row["round"], []).append(row["trial_id"])
    return found


@pytest.mark.full
def test_a_search_runs_to_its_end_on_one_tune_run_and_is_then_done(tmp_path: Path) -> None:
    options = (*ONE, "--rounds", 2, "--trials-per-round", 3, "--discriminator-steps", 4, "--results", tmp_path)
    answer = finish("bo", *options)
    assert answer.code == 0, answer.err
    assert "6/6 trials, best FD (classifier) " in answer.out
    assert "study run seeds" in answer.out
    rows = read_table(tmp_path, "trials").to_pylist()
    assert [row["status"] for row in rows] == ["finished"] * 6
    assert {number: len(ids) for number, ids in rounds(tmp_path).items()} == {1: 3, 2: 3}
    assert {row["trial_id"] for row in rows} == {i for ids in rounds(tmp_path).values() for i in ids}
    first = max(row["finished_at"] for row in rows if row["trial_id"] in rounds(tmp_path)[1])
    assert first < min(row["started_at"] for row in rows if row["trial_id"] in rounds(tmp_path)[2])

    before = read_table(tmp_path, "trials")
    answer = finish("bo", *options)
    assert answer.code == 0, answer.err
    assert "bo: all 1 search of 2 rounds is finished." in answer.out
    assert read_table(tmp_path, "trials") == before


@pytest.mark.slow
@pytest.mark.parametrize("pack", [1, 2])
def test_kill_9_in_round_5_repeats_that_round_and_none_before(tmp_path: Path, pack: int) -> None:
    limits = ("--pack", pack, "--max-concurrent", 1) if pack > 1 else ("--pack", 1)
    options = (
        *ONE,
        *limits,
        "--rounds",
        6,
        "--trials-per-round",
        4,
        "--discriminator-steps",
        12,
        "--results",
        tmp_path,
    )
    process = study_process("bo", *options)
    deadline = time.monotonic() + 500
    while True:
        assert time.monotonic() < deadline and process.poll() is None, "it makes no progress"
        fifth = set(rounds(tmp_path).get(5, []))
        if fifth & {path.name.partition("-")[0] for path in part_paths(tmp_path)}:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    time.sleep(2)  # orphaned workers write what they were at, or die
    before = rounds(tmp_path)
    compact(tmp_path)
    ended = {row["trial_id"]: row["finished_at"] for row in read_table(tmp_path, "trials").to_pylist()}
    assert sorted(before) == [1, 2, 3, 4, 5]
    assert {i for number in range(1, 5) for i in before[number]} <= set(ended)
    assert set(before[5]) - set(ended)

    answer = finish("bo", *options)
    assert answer.code == 0, answer.err
    assert "no row" not in answer.out
    after = rounds(tmp_path)
    assert {number: after[number] for number in before} == before
    assert sorted(after) == [1, 2, 3, 4, 5, 6]
    rows = {row["trial_id"]: row for row in read_table(tmp_path, "trials").to_pylist()}
    assert len(rows) == 24 and {row["pack"] for row in rows.values()} == {pack}
    assert {trial_id: rows[trial_id]["finished_at"] for trial_id in ended} == ended

    other = tmp_path / "undisturbed"
    assert finish("bo", *options[:-1], other).code == 0
    assert rounds(other) == after


@pytest.mark.slow
def test_trials_are_stopped_early_within_their_search(tmp_path: Path) -> None:
    options = (*ONE, "--rounds", 2, "--trials-per-round", 6, "--stop-early", "--results", tmp_path)
    answer = finish("bo", *options)
    assert answer.code == 0, answer.err
    rows = {row["trial_id"]: row for row in read_table(tmp_path, "trials").to_pylist()}
    stopped = {i: row for i, row in rows.items() if row["status"] == "stopped"}
    assert len(rows) == 12 and 0 < len(stopped) < 12
    steps: dict[str, list[int]] = {}
    for row in read_table(tmp_path, "evaluations").to_pylist():
        steps.setdefault(row["trial_id"], []).append(row["discriminator_step"])
    for trial_id, row in rows.items():
        if trial_id in stopped:
            assert steps[trial_id] in ([25], [25, 50])
            assert row["reason"] == f"stopped early at step {steps[trial_id][-1]} of 100, by successive halving"
            assert row["best_frechet_distance"] is None and row["final_frechet_distance"] is None
        else:
            assert steps[trial_id] == [25, 50, 75, 100]
    answer = finish("bo", *options)
    assert "are done" in answer.out


BROKEN = """
import sys
from study import bo, cli
from study.core.errors import InputError

def ended(self, planned, outcome):
    raise InputError("memberships.parquet: made up; restore it.")

bo.Rounds.ended = ended
sys.argv = ["study", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.slow
def test_what_stops_a_search_between_trials_is_one_line(tmp_path: Path) -> None:
    options = (*ONE, "--rounds", 1, "--trials-per-round", 3, "--discriminator-steps", 4, "--results", tmp_path)
    command = [sys.executable, "-c", BROKEN, "bo", *map(str, options)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (answer.returncode, answer.stderr) == (2, "memberships.parquet: made up; restore it.\n")
    assert list(part_paths(tmp_path))
