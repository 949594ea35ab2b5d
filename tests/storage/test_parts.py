"""Part files: the first wins, damage is named and set aside, and the row is what the part describes."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from study.core.errors import InputError
from study.storage.files import DamagedFile
from study.storage.parts import part_paths, read_part, write_part
from study.storage.schema import DIVERGED, FAILED, KEPT_GENERATOR, TABLES, TrialRecord
from study.storage.tables import compact, set_aside_damaged
from tests.storage.ended import PROTOCOL, make, path_of, record, rows, scored, temporaries, write


def test_a_part_becomes_the_row_that_it_describes(tmp_path):
    assert write(tmp_path)
    (from_part, evaluations) = read_part(path_of(tmp_path))
    assert compact(tmp_path) == 1
    (row,) = rows(tmp_path, "trials")
    assert row == from_part
    assert rows(tmp_path, "evaluations") == evaluations == [e.to_row() for e in scored(make())]
    assert list(row) == TABLES["trials"].names
    expected = {
        "trial_id": make().id,
        "protocol_id": PROTOCOL.id,
        "method": "layer_norm+spectral_norm+dragan[power_iterations=5]",
        "normalizations": "layer_norm+spectral_norm",
        "options": '{"power_iterations": 5}',
        "penalty_weight": 10.0,
        "seed": 0,
        "protocol_seed": 42,
        "final_step": 300,
        "final_frechet_distance": 20.0,
        "best_step": 200,
        "best_frechet_distance": 10.0,
        "n_fake": 500,
        "scoring_seconds": 1.0,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["finished_at"].isoformat() == "2026-01-01T00:01:00+00:00"
    assert not list(part_paths(tmp_path))
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("status", [DIVERGED, FAILED])
def test_only_finished_trials_have_a_score(tmp_path, status):
    write(tmp_path, status=status)
    compact(tmp_path)
    (row,) = rows(tmp_path, "trials")
    assert (row["status"], row["reason"]) == (status, "made so")
    empty = [f"{kind}_{what}" for kind in ("final", "best") for what in ("step", "frechet_distance")]
    assert [row[name] for name in empty] == [None] * 4
    assert len(rows(tmp_path, "evaluations")) == 3


def test_a_score_that_could_not_be_taken_is_passed_over_and_the_first_of_equals_is_best(tmp_path):
    write(tmp_path, scores=(10.0, 10.0, None))
    row, _ = read_part(path_of(tmp_path))
    assert (row["final_step"], row["best_step"]) == (200, 100)


@pytest.mark.parametrize(("step", "final"), [(200, None), (300, 300)])
def test_a_kept_generator_has_a_final_score_only_where_it_is_the_last(tmp_path, step, final):
    trial = make()
    (one,) = [each for each in scored(trial) if each.discriminator_step == step]
    assert write_part(tmp_path, trial, PROTOCOL, replace(record(), source=KEPT_GENERATOR), [one])
    row, _ = read_part(path_of(tmp_path))
    assert (row["source"], row["best_step"], row["final_step"]) == ("kept generator", step, final)


def test_a_record_has_a_known_status():
    with pytest.raises(ValueError, match="status done: must be one of finished, diverged, failed"):
        record("done")


def test_the_first_part_wins(tmp_path):
    assert write(tmp_path, host="first")
    assert not write(tmp_path, host="second", scores=(1.0,))
    row, evaluations = read_part(path_of(tmp_path))
    assert (row["host"], len(evaluations)) == ("first", 3)
    assert not temporaries(tmp_path)


RACE = """
import json, sys, time
from pathlib import Path
from study.storage.parts import write_part
from study.storage.schema import TrialRecord
from study.core.evaluation import Evaluation, MetricProtocol
from study.core.trial import Trial
folder, host = Path(sys.argv[1]), sys.argv[2]
parts = json.loads((folder / "todo.json").read_text())
print("ready", flush=True)
start, won = float(input()), []
for number, part in enumerate(parts):
    trial, evaluations = Trial.from_dict(part["trial"]), [Evaluation(**e) for e in part["evaluations"]]
    record = TrialRecord(**{**part["record"], "host": host})
    while time.time() < start + 0.01 * number:
        pass
    if write_part(folder, trial, MetricProtocol(**part["protocol"]), record, evaluations):
        won.append(trial.id)
print(json.dumps(won))
"""


def test_of_two_processes_that_finish_the_same_trials_each_trial_has_one_winner(tmp_path):
    trials = [make(seed) for seed in range(60)]
    todo = [
        {
            "trial": trial.to_dict(),
            "protocol": asdict(PROTOCOL),
            "record": asdict(record()),
            "evaluations": [asdict(e) for e in scored(trial)],
        }
        for trial in trials
    ]
    (tmp_path / "todo.json").write_text(json.dumps(todo))
    racers = {
        host: subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in ("one", "two")
    }
    for racer in racers.values():
        assert racer.stdout.readline() == "ready\n"
    start = f"{time.time() + 0.2}\n"
    for racer in racers.values():
        racer.stdin.write(start)
        racer.stdin.flush()
    won = {host: json.loads(racer.communicate()[0]) for host, racer in racers.items()}
    assert sorted(won["one"] + won["two"]) == sorted(trial.id for trial in trials)
    kept = {read_part(path)[0]["trial_id"]: read_part(path)[0]["host"] for path in part_paths(tmp_path)}
    assert kept == {trial_id: host for host, ids in won.items() for trial_id in ids}
    assert not temporaries(tmp_path)


def test_a_part_that_cannot_be_written_leaves_nothing(tmp_path):
    trial = make()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_part(tmp_path, trial, PROTOCOL, record(), scored(trial, (float("nan"),)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


SPOILS = {
    "empty": lambda path: path.write_text(""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a list": lambda path: path.write_text("[]"),
    "another trial": lambda path: edit(path, lambda content: content["trial"].update(seed=1)),
    "another protocol": lambda path: edit(path, lambda content: content["protocol"].update(n_fake=7)),
    "another trial's scores": lambda path: edit(path, lambda content: content["evaluations"][1].update(trial_id="0")),
    "no record": lambda path: edit(path, lambda content: content.pop("record")),
    "unknown column": lambda path: edit(path, lambda content: content["record"].update(mood="good")),
    "unknown status": lambda path: edit(path, lambda content: content["record"].update(status="fine")),
    "no date": lambda path: edit(path, lambda content: content["record"].update(started_at="yesterday")),
    "no number": lambda path: edit(path, lambda content: content["record"].update(training_seconds="long")),
    "no score": lambda path: edit(path, lambda content: content["evaluations"][0].update(frechet_distance="low")),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_damaged_part_is_named_set_aside_and_stops_nobody(tmp_path, spoil):
    write(tmp_path, 0)
    write(tmp_path, 2)
    path = path_of(tmp_path)
    spoil(path)
    damaged = path.read_bytes()
    with pytest.raises(DamagedFile) as caught:
        read_part(path)
    assert caught.value.path == path
    assert isinstance(caught.value, InputError)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DamagedFile):
        compact(tmp_path)
    (aside,) = set_aside_damaged(tmp_path)
    assert aside.read_bytes() == damaged
    assert aside.name.startswith(f"{path.name}.damaged-")
    assert not path.exists()
    assert set_aside_damaged(tmp_path) == []
    assert compact(tmp_path) == 1
    assert [row["seed"] for row in rows(tmp_path, "trials")] == [2]


def test_a_part_under_another_trials_name_is_damaged(tmp_path):
    write(tmp_path)
    path = path_of(tmp_path, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path_of(tmp_path).rename(path)
    with pytest.raises(DamagedFile, match="contains another trial than its name says"):
        read_part(path)
    assert len(set_aside_damaged(tmp_path)) == 1


def test_a_part_keeps_the_identity_that_it_was_written_with(tmp_path, monkeypatch):
    monkeypatch.setattr("study.core.trial.SEMANTICS", 0)
    old = make()
    old_id, scores = old.id, scored(old)
    assert write_part(tmp_path, old, PROTOCOL, TrialRecord(**{**asdict(record()), "semantics": 0}), scores)
    monkeypatch.undo()
    (path,) = part_paths(tmp_path)
    assert read_part(path)[0]["trial_id"] == old_id != make().id


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_a_part_of_a_trial_that_failed_gives_way_before_it_is_merged(tmp_path, status):
    """An orphan may have written it while the trial went on elsewhere."""
    assert write(tmp_path, status=status)
    assert not write(tmp_path, status=status)
    assert write(tmp_path)
    assert not write(tmp_path, status=status)
    assert not write(tmp_path)
    compact(tmp_path)
    assert [row["status"] for row in rows(tmp_path, "trials")] == ["finished"]
