"""What stands on disk survives kills, races and damage, and is described by results/README.md to the letter."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study import files, results
from study.evaluation import Diagnostics, Evaluation, MetricProtocol
from study.files import DamagedFile
from study.memberships import add_memberships, memberships
from study.names import InputError
from study.parts import part_path, part_paths, read_part, write_part
from study.results import compact, read_table, set_aside_damaged, statuses, trial_folder, write_table
from study.rows import (
    DIAGNOSTICS,
    DIVERGED,
    FAILED,
    FINISHED,
    INCEPTION_SHA256,
    KEPT_GENERATOR,
    KEYS,
    STATUSES,
    TABLES,
    Record,
    score_label,
)
from study.trial import Hyperparameters, Method, Training, Trial

PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=600, n_fake=500)
OTHER_PROTOCOL = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=50, n_fake=50)
SCORES = (30.0, 10.0, 20.0)


def make(seed=0):
    return Trial(
        dataset="digits",
        method=Method(
            architecture="sndcgan",
            normalizations=("spectral_norm", "layer_norm"),
            penalty="dragan",
            options={"power_iterations": 5},
        ),
        hyperparameters=Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=5, penalty_weight=10),
        training=Training(discriminator_steps=300, width=8),
        seed=seed,
    )


def record(status=FINISHED, host="here"):
    return Record(
        status=status,
        reason=None if status == FINISHED else "made so",
        dataset_sha256="d" * 64,
        started_at="2026-01-01T00:00:00+00:00",
        finished_at="2026-01-01T02:01:00+02:00",
        training_seconds=1.5,
        scoring_seconds=1,
        images_per_second=100.0,
        host=host,
        device="cpu",
        study_version="0.1.0",
        code_revision="none",
        semantics=1,
        python="3.11",
        torch="2.13.0",
    )


def scored(trial, scores=SCORES, protocol=PROTOCOL):
    return [
        Evaluation(
            trial_id=trial.id,
            discriminator_step=100 * step,
            protocol_id=protocol.id,
            frechet_distance=score,
            discriminator_loss=1.0,
            generator_loss=2.0,
            penalty=0.5,
            diagnostics=Diagnostics(sigmas=[1.5, 0.5], sigma_product=0.75, accuracy_fake=None),
        )
        for step, score in enumerate(scores, 1)
    ]


def write(folder, seed=0, status=FINISHED, scores=SCORES, host="here", protocol=PROTOCOL):
    trial = make(seed)
    return write_part(folder, trial, protocol, record(status, host), scored(trial, scores, protocol))


def path_of(folder, seed=0):
    return part_path(folder, make(seed).id, PROTOCOL.id)


def rows(folder, name):
    return read_table(folder, name).to_pylist()


def temporaries(folder):
    return list(folder.rglob("*.tmp"))


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


def test_rows_of_before_diagnostics_were_recorded_are_kept_and_their_cells_are_empty(tmp_path):
    write(tmp_path, seed=0)
    compact(tmp_path)
    table = read_table(tmp_path, "evaluations")
    old = table.drop_columns(list(DIAGNOSTICS))
    write_table(tmp_path, "evaluations", old)
    write(tmp_path, seed=1)
    path = path_of(tmp_path, seed=1)
    part = json.loads(path.read_text())
    for evaluation in part["evaluations"]:
        del evaluation["diagnostics"]
    path.write_text(json.dumps(part))
    assert not set_aside_damaged(tmp_path)
    assert compact(tmp_path) == 1
    merged = rows(tmp_path, "evaluations")
    assert len(merged) == 6
    assert all(row[name] is None for row in merged for name in DIAGNOSTICS)
    assert read_table(tmp_path, "evaluations").select(old.column_names).slice(0, 3).equals(old)


RACE = """
import json, sys, time
from pathlib import Path
from study.parts import write_part
from study.rows import Record
from study.evaluation import Evaluation, MetricProtocol
from study.trial import Trial
folder, host = Path(sys.argv[1]), sys.argv[2]
parts = json.loads((folder / "todo.json").read_text())
print("ready", flush=True)
start, won = float(input()), []
for number, part in enumerate(parts):
    trial, evaluations = Trial.from_dict(part["trial"]), [Evaluation(**e) for e in part["evaluations"]]
    record = Record(**{**part["record"], "host": host})
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
    with pytest.raises(DamagedFile, match="holds another trial than its name says"):
        read_part(path)
    assert len(set_aside_damaged(tmp_path)) == 1


def test_a_part_keeps_the_identity_that_it_was_written_with(tmp_path, monkeypatch):
    monkeypatch.setattr("study.trial.SEMANTICS", 0)
    old = make()
    old_id, scores = old.id, scored(old)
    assert write_part(tmp_path, old, PROTOCOL, Record(**{**asdict(record()), "semantics": 0}), scores)
    monkeypatch.undo()
    (path,) = part_paths(tmp_path)
    assert read_part(path)[0]["trial_id"] == old_id != make().id


def test_compaction_keeps_one_row_per_trial_and_protocol(tmp_path):
    for seed in (0, 1):
        write(tmp_path, seed)
    write(tmp_path, 0, protocol=OTHER_PROTOCOL)
    assert compact(tmp_path) == 3
    write(tmp_path, 1, host="later", scores=(1.0, 1.0, 1.0, 1.0))
    write(tmp_path, 2)
    assert compact(tmp_path) == 2
    assert compact(tmp_path) == 0
    keys = [(row["seed"], row["protocol_id"] == PROTOCOL.id, row["host"]) for row in rows(tmp_path, "trials")]
    assert sorted(keys) == [(0, False, "here"), (0, True, "here"), (1, True, "here"), (2, True, "here")]
    evaluations = rows(tmp_path, "evaluations")
    assert len(evaluations) == 4 * 3
    assert len({tuple(row[key] for key in KEYS["evaluations"]) for row in evaluations}) == 4 * 3
    assert {row["frechet_distance"] for row in evaluations} == set(SCORES)


@pytest.mark.parametrize("after", [FINISHED, DIVERGED, FAILED])
def test_a_failed_trial_gives_way_with_its_evaluations(tmp_path, after):
    write(tmp_path, 0, FAILED, scores=(1.0, 2.0, 3.0, 4.0), host="before")
    write(tmp_path, 1)
    compact(tmp_path)
    write(tmp_path, 0, after, scores=(7.0, 8.0), host="after")
    assert statuses(tmp_path) == {(make(0).id, PROTOCOL.id): after, (make(1).id, PROTOCOL.id): FINISHED}
    compact(tmp_path)
    assert {row["seed"]: (row["status"], row["host"]) for row in rows(tmp_path, "trials")} == {
        0: (after, "after"),
        1: (FINISHED, "here"),
    }
    scores = [row["frechet_distance"] for row in rows(tmp_path, "evaluations") if row["trial_id"] == make(0).id]
    assert scores == [7.0, 8.0]


@pytest.mark.parametrize("later", [DIVERGED, FAILED])
def test_what_has_ended_stays(tmp_path, later):
    """An orphaned worker may still write after the trial was run again."""
    write(tmp_path)
    compact(tmp_path)
    write(tmp_path, status=later, scores=(1.0,))
    assert statuses(tmp_path) == {(make().id, PROTOCOL.id): FINISHED}
    compact(tmp_path)
    assert [row["status"] for row in rows(tmp_path, "trials")] == [FINISHED]
    assert [row["frechet_distance"] for row in rows(tmp_path, "evaluations")] == list(SCORES)


def test_statuses_see_tables_and_parts(tmp_path):
    assert statuses(tmp_path) == {}
    write(tmp_path, 0)
    compact(tmp_path)
    write(tmp_path, 1, DIVERGED)
    assert statuses(tmp_path) == {(make(0).id, PROTOCOL.id): FINISHED, (make(1).id, PROTOCOL.id): DIVERGED}


def test_a_kill_before_the_parts_are_removed_changes_nothing(tmp_path, monkeypatch):
    write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            compact(tmp_path)
    once = rows(tmp_path, "evaluations")
    monkeypatch.undo()
    compact(tmp_path)
    assert rows(tmp_path, "evaluations") == once
    assert len(rows(tmp_path, "trials")) == 1


@pytest.mark.parametrize("written", [0, 1])
def test_a_kill_between_the_tables_changes_nothing(tmp_path, monkeypatch, written):
    write(tmp_path)
    left = iter([write_table] * written)
    with monkeypatch.context() as patch:
        patch.setattr(results, "write_table", lambda *arguments: next(left)(*arguments))
        with pytest.raises(StopIteration):
            compact(tmp_path)
    assert statuses(tmp_path) == {(make().id, PROTOCOL.id): FINISHED}
    compact(tmp_path)
    assert len(rows(tmp_path, "trials")) == 1
    assert [row["frechet_distance"] for row in rows(tmp_path, "evaluations")] == list(SCORES)


# One process forks a child that writes and compacts for ever, and kills it at a random moment; another child, from the
# same clean state, looks at what is left. Everything that a child saw written must be there, once.
KILL = """
import os, random, signal, sys, time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from study.parts import part_paths, write_part
from study.results import compact, read_table, set_aside_damaged, statuses
from study.rows import KEYS, Record
from study.evaluation import Evaluation, MetricProtocol
from study.trial import Trial
import errno
import json
folder = Path(sys.argv[1])
part = json.loads((folder / "template.json").read_text())
protocol, record, rng = MetricProtocol(**part["protocol"]), Record(**part["record"]), random.Random(0)

def work(first):
    log = os.open(folder / "written", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for seed in range(first, first + 10**6):
        trial = Trial.from_dict({**part["trial"], "seed": seed})
        scores = [Evaluation(**{**e, "trial_id": trial.id}) for e in part["evaluations"]]
        assert write_part(folder, trial, protocol, record, scores)
        os.write(log, f"{trial.id}\\n".encode())
        if seed % 3 == 2:
            compact(folder)

def look(last):
    written = set((folder / "written").read_text().split())
    assert not set_aside_damaged(folder)
    if last:
        compact(folder)
        assert not list(part_paths(folder))
    for name in ("trials", "evaluations"):
        keys = Counter(tuple(row[key] for key in KEYS[name]) for row in read_table(folder, name).to_pylist())
        assert max(keys.values(), default=1) == 1, name
    found = {trial_id for trial_id, _ in statuses(folder)}
    assert written <= found, len(written - found)
    scores = Counter(row["trial_id"] for row in read_table(folder, "evaluations").to_pylist())
    assert all(scores[row["trial_id"]] == 3 for row in read_table(folder, "trials").to_pylist())

def forked(action, argument):
    pid = os.fork()
    if pid == 0:
        try:
            action(argument)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid

for turn in range(int(sys.argv[2])):
    pid = forked(work, turn * 10**6)
    time.sleep(0.1 + 0.2 * rng.random())
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "it ended before it was killed"
    assert os.waitpid(forked(look, False), 0)[1] == 0
assert os.waitpid(forked(look, True), 0)[1] == 0
print(len((folder / "written").read_text().split()))
"""


def test_kill_9_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path):
    trial = make()
    template = {
        "trial": trial.to_dict(),
        "protocol": asdict(PROTOCOL),
        "record": asdict(record()),
        "evaluations": [asdict(e) for e in scored(trial)],
    }
    (tmp_path / "template.json").write_text(json.dumps(template))
    run = subprocess.run([sys.executable, "-c", KILL, str(tmp_path), "12"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 12
    assert len(rows(tmp_path, "trials")) >= int(run.stdout)


def spoiled_table(folder, name, table):
    pq.write_table(table, folder / f"{name}.parquet")


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_named_and_set_aside(tmp_path, name):
    write(tmp_path)
    compact(tmp_path)
    add_memberships(tmp_path, "grid", "digits", [make()])
    path, table = tmp_path / f"{name}.parquet", read_table(tmp_path, name)
    whole = path.read_bytes()
    number = next(i for i, column in enumerate(table.schema) if column.type == pa.int64())
    column = table.column_names[number]
    words = table.set_column(number, column, pa.array(["many"] * len(table)))
    for spoil, reason in (
        (lambda: path.write_bytes(whole[: len(whole) // 2]), "not a readable parquet file"),
        (lambda: path.write_bytes(b""), "not a readable parquet file"),
        (lambda: spoiled_table(tmp_path, name, table.drop_columns(["trial_id"])), "has no column trial_id"),
        (lambda: spoiled_table(tmp_path, name, words), "has columns of other types"),
    ):
        spoil()
        damaged = path.read_bytes()
        with pytest.raises(DamagedFile, match=reason) as caught:
            read_table(tmp_path, name)
        assert "\n" not in str(caught.value)
        (aside,) = set_aside_damaged(tmp_path)
        assert aside.name.startswith(f"{name}.parquet.damaged-")
        assert aside.read_bytes() == damaged
        assert len(read_table(tmp_path, name)) == 0
    assert len(list(tmp_path.glob("*.damaged-*"))) == 4
    path.write_bytes(whole)
    assert read_table(tmp_path, name) == table


def test_columns_in_another_order_and_more_of_them_do_no_harm(tmp_path):
    write(tmp_path)
    compact(tmp_path)
    table = read_table(tmp_path, "trials")
    spoiled_table(tmp_path, "trials", table.select(table.column_names[::-1]).append_column("note", pa.array(["mine"])))
    assert read_table(tmp_path, "trials") == table


def test_what_a_killed_writer_left_is_no_result(tmp_path):
    write(tmp_path)
    for path in (path_of(tmp_path, 1), tmp_path / "trials.parquet", tmp_path / "evaluations.parquet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.temporary_name(path).write_text("half of")
    assert len(list(part_paths(tmp_path))) == 1
    assert set_aside_damaged(tmp_path) == []
    assert len(statuses(tmp_path)) == 1
    assert compact(tmp_path) == 1
    assert len(rows(tmp_path, "trials")) == 1


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write(tmp_path)
    compact(tmp_path)
    before = (tmp_path / "trials.parquet").read_bytes()

    def half(_, file, **how):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="no space"):
        write_table(tmp_path, "trials", TABLES["trials"].empty_table())
    assert (tmp_path / "trials.parquet").read_bytes() == before
    assert not temporaries(tmp_path)


def test_tables_and_parts_are_synced_before_they_are_put_in_place(tmp_path, monkeypatch):
    events = []
    for name in ("fsync", "link", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (events.append(name), real(*a))[1])
    write(tmp_path)
    assert events == ["fsync", "link", "fsync"]  # the file, then its name
    events.clear()
    write_table(tmp_path, "trials", TABLES["trials"].empty_table())
    assert events == ["fsync", "replace", "fsync"]


def test_memberships_are_appended_and_never_doubled(tmp_path):
    a, b, c = (make(seed) for seed in range(3))
    add_memberships(tmp_path, "grid", "digits", [a, c])
    add_memberships(tmp_path, "grid", "digits", [a, b, c, b])
    add_memberships(tmp_path, "grid", "celeba-hq-128", [a])
    add_memberships(tmp_path, "seeds", "digits", [a])
    add_memberships(tmp_path, "grid", "digits", [a], round=1)
    add_memberships(tmp_path, "grid", "digits", [])
    found = rows(tmp_path, "memberships")
    columns = ("space", "context", "round", "order", "trial_id")
    assert [tuple(row[column] for column in columns) for row in found] == [
        ("grid", "digits", 0, 0, a.id),
        ("grid", "digits", 0, 1, c.id),
        ("grid", "digits", 0, 2, b.id),
        ("grid", "celeba-hq-128", 0, 0, a.id),
        ("seeds", "digits", 0, 0, a.id),
        ("grid", "digits", 1, 0, a.id),
    ]
    assert [Trial.from_dict(json.loads(row["trial"])) for row in found] == [a, c, b, a, a, a]
    assert memberships(tmp_path, "grid", "digits") == [*found[:3], found[5]]


@pytest.mark.parametrize(
    ("extractor", "sha256", "label"),
    [
        ("inception-v3-compat", INCEPTION_SHA256, "FID"),
        ("inception-v3-compat", "0" * 64, "FD (inception-v3-compat)"),
        ("inception-v3-compat", INCEPTION_SHA256[:16], "FD (inception-v3-compat)"),
        ("classifier", "c" * 64, "FD (classifier)"),
        ("classifier", INCEPTION_SHA256, "FD (classifier)"),
    ],
)
def test_only_the_known_inception_weights_give_an_fid(extractor, sha256, label):
    for precision in ("float32", None, float("nan")):  # empty in older rows, which pandas tells so or so
        row = {"extractor": extractor, "weights_sha256": sha256, "feature_precision": precision}
        assert score_label(row) == label
    assert score_label({**row, "feature_precision": "bfloat16"}) == f"FD ({extractor}, bf16 features)"


def test_where_a_trial_keeps_its_files(tmp_path):
    assert trial_folder(tmp_path, "abcdef") == tmp_path / "states" / "ab" / "abcdef"


README = Path(__file__).parents[1] / "results" / "README.md"


def documented(name):
    """(column, type) of the README's table for a parquet file, and its meanings."""
    _, _, section = README.read_text().partition(f"## {name}.parquet\n")
    table = section.partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| ([^|]+?) \| ([^|]+?) \|$", table, flags=re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_the_data_dictionary_is_the_schema(name):
    columns = documented(name)
    assert [column for column, _, _ in columns] == TABLES[name].names
    assert {column: kind for column, kind, _ in columns} == {field.name: str(field.type) for field in TABLES[name]}
    assert all(len(meaning) > 5 for _, _, meaning in columns)


def test_the_data_dictionary_names_the_weights_and_the_statuses():
    text = README.read_text()
    assert INCEPTION_SHA256 in text
    assert all(f"`{status}`" in text for status in STATUSES)


def test_the_example_of_the_data_dictionary_runs(tmp_path):
    write(tmp_path / "results")
    write(tmp_path / "results", 1, DIVERGED)
    compact(tmp_path / "results")
    codes = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (code,) = (code for code in codes if '"results/trials.parquet"' in code)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "dragan" in run.stdout


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EMFILE])
def test_a_file_that_cannot_be_read_now_is_not_damaged(tmp_path, monkeypatch, code):
    write(tmp_path)
    compact(tmp_path)
    write(tmp_path, 1)
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def away(*_):
        raise OSError(code, os.strerror(code))

    for name in ("trials.parquet", path_of(tmp_path, 1).name):
        whole = Path.read_bytes
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda p, n=name, w=whole: away() if p.name == n else w(p))
            with pytest.raises(OSError, match=os.strerror(code)):
                set_aside_damaged(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert set_aside_damaged(tmp_path) == []


def test_a_table_that_was_replaced_while_it_was_read_is_read_again(tmp_path, monkeypatch):
    write(tmp_path)
    compact(tmp_path)
    times, whole = iter([True, False, False]), Path.read_bytes

    def stale(path):
        if next(times):
            raise OSError(errno.ESTALE, "Stale file handle")
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", stale)
    assert len(read_table(tmp_path, "trials")) == 1


def test_who_lost_the_tables_while_storage_hung_writes_nothing_over_them(tmp_path, monkeypatch):
    """Another one took over meanwhile, merged, and removed the parts."""
    write(tmp_path)
    whole = pq.write_table

    def hang(table, file, **how):
        monkeypatch.setattr(pq, "write_table", whole)
        whole(table, file, **how)
        for path in tmp_path.glob(".lock-*"):
            path.unlink()
        write(tmp_path, 1)
        assert compact(tmp_path) == 2

    monkeypatch.setattr(pq, "write_table", hang)
    with pytest.raises(InputError, match="taken it over"):
        compact(tmp_path)
    assert len(rows(tmp_path, "trials")) == 2
    assert {row["trial_id"] for row in rows(tmp_path, "evaluations")} == {
        r["trial_id"] for r in rows(tmp_path, "trials")
    }


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
