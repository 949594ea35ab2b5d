"""What stands in the tables survives kills, races and damage."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.core.errors import InputError
from study.core.trial import Trial
from study.storage import files, tables
from study.storage.files import DamagedFile
from study.storage.layout import trial_folder
from study.storage.memberships import add_memberships, memberships
from study.storage.parts import part_paths
from study.storage.schema import DIAGNOSTICS, DIVERGED, FAILED, FINISHED, INCEPTION_SHA256, KEYS, TABLES, score_label
from study.storage.tables import compact, read_table, set_aside_damaged, statuses, write_table
from tests.storage.ended import (
    OTHER_PROTOCOL,
    PROTOCOL,
    SCORES,
    make,
    path_of,
    record,
    rows,
    scored,
    temporaries,
    write,
)


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
        patch.setattr(tables, "write_table", lambda *arguments: next(left)(*arguments))
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
from study.storage.parts import part_paths, write_part
from study.storage.tables import compact, read_table, set_aside_damaged, statuses
from study.storage.schema import KEYS, TrialRecord
from study.core.evaluation import Evaluation, MetricProtocol
from study.core.trial import Trial
import errno
import json
folder = Path(sys.argv[1])
part = json.loads((folder / "template.json").read_text())
protocol, record, rng = MetricProtocol(**part["protocol"]), TrialRecord(**part["record"]), random.Random(0)

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


@pytest.mark.full
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


def test_no_thread_is_left_that_could_end_after_the_interpreter(tmp_path):
    """A thread of Arrow that still holds a buffer of Python then makes the process abort, once in some hundred runs."""
    script = (
        "import os, sys; from pathlib import Path; import pyarrow as pa; from study.storage.tables import read_table\n"
        "pa.Table.from_pylist([{'a': 1}])\n"  # starts what Arrow itself starts
        "before = len(os.listdir('/proc/self/task'))\n"
        "assert len(read_table(Path(sys.argv[1]), 'trials')) == 1\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    write(tmp_path)
    compact(tmp_path)
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n"


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
        (lambda: spoiled_table(tmp_path, name, words), "has columns of wrong types"),
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
    with pytest.raises(InputError, match="took over this folder"):
        compact(tmp_path)
    assert len(rows(tmp_path, "trials")) == 2
    assert {row["trial_id"] for row in rows(tmp_path, "evaluations")} == {
        r["trial_id"] for r in rows(tmp_path, "trials")
    }
