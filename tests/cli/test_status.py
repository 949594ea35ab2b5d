"""How far a study is: counts, speeds under clocks that differ, time left, troubles, and what a watcher sees."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from study.cli.status import reader
from study.cli.status.reader import ResultsReader
from study.cli.status.render import lines, renderable, summary_line
from study.cli.status.summary import FolderContents, device_seconds_left, group_problems, summarize
from study.cli.status.throughput import StudyThroughput, measure_throughput, work_seconds
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.storage import lock
from study.storage.layout import trial_folder, unfinished_path
from study.storage.memberships import add_memberships
from study.storage.parts import part_path
from study.storage.tables import compact, read_table
from tests.parts import PROTOCOL, leave

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trial(seed: int, method: Method = Method(architecture="sndcgan"), steps: int = 10) -> Trial:
    return Trial(
        dataset="digits",
        method=method,
        hyperparameters=Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1),
        training=Training(discriminator_steps=steps, batch_size=16, width=16, latent_dim=8),
        seed=seed,
    )


def row(ago: float, seconds: float = 100.0, *, host: str = "a", **rest: object) -> dict:
    """A finished trial that ended so many seconds ago, by its node's clock."""
    end = NOW - timedelta(seconds=ago)
    return {
        "trial_id": f"{host}{ago}",
        "protocol_id": "p",
        "dataset": "digits",
        "architecture": "sndcgan",
        "method": "none",
        "n_dis": 1,
        "width": 16,
        "batch_size": 16,
        "precision": "float32",
        "discriminator_steps": 10,
        "status": "finished",
        "reason": None,
        "host": host,
        "device": "cpu",
        "pack": 1,
        "started_at": end - timedelta(seconds=seconds),
        "finished_at": end,
        "training_seconds": 0.9 * seconds,
        "scoring_seconds": 0.1 * seconds,
        "images_per_second": 10.0,
        **rest,
    }


def steady(number: int, *, host: str = "a", ago: float = 0.0, **rest: object) -> list[dict]:
    """Trials of 100 s, one after the other, the last `ago` seconds ago."""
    return [row(ago + 100.0 * place, host=host, **rest) for place in range(number)]


def test_a_steady_node_has_the_rate_of_its_trials() -> None:
    pace = measure_throughput(steady(10, ago=30), NOW)
    assert pace.trials_per_hour == pytest.approx(36)
    assert pace.concurrent_trials == pytest.approx(1)
    assert pace.images_per_second == pytest.approx(9)  # 90 of 100 seconds are training
    assert (pace.seconds_since_last, pace.active) == (30, True)
    (node,) = pace.nodes
    assert (node.host, node.device, node.trials, node.images_per_second) == ("a", "cpu", 10, 10)


def test_four_at_a_time_are_four_times_as_fast() -> None:
    pace = measure_throughput([each for _ in range(4) for each in steady(5)], NOW)
    assert pace.trials_per_hour == pytest.approx(4 * 36)
    assert pace.concurrent_trials == pytest.approx(4)


def test_a_pause_is_not_counted() -> None:
    night = 12 * 3600
    before = [row(night + 100.0 * place, seconds=50.0) for place in range(50)]
    assert measure_throughput([*steady(6), *before], NOW).trials_per_hour == pytest.approx(36)
    stopped = measure_throughput(steady(6, ago=night), NOW)
    assert (stopped.active, stopped.trials_per_hour) == (False, pytest.approx(36))


@pytest.mark.parametrize("ahead", [7200.0, -30.0, 86400 * 400.0])
def test_a_node_whose_clock_differs_counts_as_any_other(ahead: float) -> None:
    pace = measure_throughput([*steady(8), *steady(8, host="b", ago=-ahead)], NOW)
    assert pace.trials_per_hour == pytest.approx(72)
    assert [node.current for node in pace.nodes] == [True, True]
    assert all(node.seconds_since_last >= 0 for node in pace.nodes)


def test_a_node_that_died_is_shown_and_not_counted() -> None:
    pace = measure_throughput([*steady(8), *steady(8, host="b", ago=5000)], NOW)
    assert pace.trials_per_hour == pytest.approx(36)
    assert [(node.host, node.current) for node in pace.nodes] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    "odd",
    [
        row(-86400.0),  # finished tomorrow
        row(0.0, started_at=NOW + timedelta(days=1)),  # before it started
        row(0.0, started_at=NOW - timedelta(days=900)),
        row(50.0, seconds=0.0, training_seconds=0.0, scoring_seconds=0.0),
        row(50.0, status="failed", training_seconds=None, scoring_seconds=None, images_per_second=None),
        row(50.0, started_at=NOW, status="failed", training_seconds=None, images_per_second=None, scoring_seconds=None),
    ],
)
def test_no_clock_makes_numbers_without_meaning(odd: dict) -> None:
    among = measure_throughput([*steady(10), odd], NOW)
    assert among.trials_per_hour == pytest.approx(36, rel=0.2)
    alone = measure_throughput([odd], NOW)
    for pace in (among, alone, measure_throughput([odd, odd], NOW)):
        values = [
            pace.seconds_since_last,
            *(
                value
                for node in pace.nodes
                for value in (node.trials_per_hour, node.seconds_since_last, node.concurrent_trials)
            ),
        ]
        assert work_seconds(odd) >= 0
        assert all(value is None or 0 <= value < 1e9 for value in values)
    assert measure_throughput([], NOW) == StudyThroughput()


def test_rows_of_lost_workers_are_of_no_node_and_make_no_speed() -> None:
    nothing = {"training_seconds": None, "scoring_seconds": None, "images_per_second": None}
    gone = [row(5.0 * place, seconds=1e-4, host="driver", status="failed", **nothing) for place in range(3)]
    assert measure_throughput([*steady(10), *gone], NOW) == measure_throughput(steady(10), NOW)
    assert measure_throughput(gone, NOW) == StudyThroughput()
    long = row(5.0, seconds=100.0, host="b", status="failed", **nothing)  # raised before its first checkpoint
    assert [node.host for node in measure_throughput([long], NOW).nodes] == ["b"]


def members(trials: list[Trial], space: str = "grid") -> list[dict]:
    return [
        {"space": space, "context": each.dataset, "trial_id": each.id, "trial": json.dumps(each.to_dict())}
        for each in trials
    ]


def ended(each: Trial, ago: float, seconds: float = 100.0, **rest: object) -> dict:
    return row(ago, seconds, trial_id=each.id, method=each.method.name, **rest)


def test_time_left_is_of_the_methods_that_are_left() -> None:
    slow = Method(architecture="sndcgan", normalizations=("spectral_norm",))
    quick, slow_ones = [trial(seed) for seed in range(10)], [trial(seed, slow) for seed in range(10)]
    rows = [*(ended(each, 100.0 * place) for place, each in enumerate(quick)), ended(slow_ones[0], 0, seconds=1000)]
    found = summarize(FolderContents(trials=rows, memberships=members([*quick, *slow_ones])), NOW)
    assert (found.total, found.done, found.to_run, found.measured) == (20, 11, 9, 9)
    assert found.throughput.concurrent_trials == pytest.approx(2)
    assert found.seconds_left == pytest.approx(9 * 1000 / 2)  # at the rate of 11 trials in 1000 s: 818 s


def test_kinds_without_a_measurement_take_the_mean_of_a_step_and_no_row_tells_nothing() -> None:
    rows = [ended(trial(0), 0), ended(trial(1), 0, seconds=300)]
    other = trial(2, Method(architecture="sndcgan", normalizations=("layer_norm",)), steps=40)
    assert device_seconds_left(members([other]), rows) == (pytest.approx(800), 0)
    assert device_seconds_left([{"trial": None}], rows) == (pytest.approx(200), 0)
    assert device_seconds_left(members([trial(5)]), rows) == (pytest.approx(200), 1)
    assert device_seconds_left(members([other]), []) == (None, 0)
    assert summarize(FolderContents(memberships=members([other])), NOW).seconds_left is None


def test_a_trial_of_two_spaces_or_protocols_counts_once_in_all() -> None:
    one, two = trial(0), trial(1)
    failed = ended(one, 5, protocol_id="q", status="failed", reason="x")
    rows = [failed, ended(one, 0), failed, ended(two, 5, status="stopped")]
    found = summarize(FolderContents(trials=rows, memberships=[*members([one, two]), *members([one], "losses")]), NOW)
    assert [(each.space, each.finished, each.stopped, each.failed) for each in found.progress] == [
        ("grid", 1, 1, 0),
        ("losses", 1, 0, 0),
    ]
    assert (found.total, found.to_run, found.problems, found.ended) == (2, 0, (), True)


def test_troubles_that_differ_in_numbers_alone_are_one() -> None:
    reasons = [f"a loss is not finite at step {step}" for step in (7, 900, 30)]
    rows = [row(i, status="diverged", reason=reason) for i, reason in enumerate(reasons)]
    rows += [row(10 + i, status="failed", reason=f"CUDA error at 0x{i}f: tried {i}.5 GiB") for i in range(2)]
    failed, diverged = group_problems([*rows, row(20), row(21, status="stopped", reason="early")])
    assert (failed.status, len(failed.trial_ids)) == ("failed", 2)
    assert failed.reason == "CUDA error at 0x0f: tried 0.5 to 1.5 GiB"
    assert (diverged.status, len(diverged.trial_ids)) == ("diverged", 3)
    assert diverged.reason == "a loss is not finite at step 7 to 900"


def many_troubles(number: int) -> FolderContents:
    rows = [row(i, status="failed", reason="because " + "x" * (i + 100)) for i in range(number)]
    return FolderContents(
        trials=rows, memberships=members([trial(0)]), holders=[{"host": "n1", "pid": 7, "what": "shard 1/2"}]
    )


def test_long_lists_are_cut_and_lines_are_not(tmp_path: Path) -> None:
    found = summarize(many_troubles(29), NOW)
    text = lines(found, tmp_path)
    assert "and 17 more (--all)" in text
    assert sum("1 failed: because" in each for each in text) == 12
    assert "running: process 7 on n1, shard 1/2" in text
    whole = lines(found, tmp_path, show_all=True)
    assert sum("1 failed: because" in each for each in whole) == 29
    assert max(map(len, whole)) > 120
    assert not any("more (" in each for each in whole)


def test_the_terminal_shows_bars_within_its_width(tmp_path: Path) -> None:
    found = summarize(FolderContents(trials=many_troubles(3).trials, memberships=members([trial(0), trial(1)])), NOW)
    screen = io.StringIO()
    Console(file=screen, width=80).print(renderable(found, tmp_path, fold=False))
    drawn = screen.getvalue().splitlines()
    assert drawn[0].split() == ["space", "dataset", "done", "diverged", "failed", "to", "run"]
    assert drawn[1].split()[:2] == ["grid", "digits"] and "0/2" in drawn[1]
    assert max(map(len, drawn)) <= 80
    assert any(each.endswith("…") for each in drawn)


def test_on_80_columns_names_are_cut_before_numbers(tmp_path: Path) -> None:
    for name in ("regularization", "a-space-of-my-own-with-a-long-name"):
        rows = [
            {**each, "context": "lsun-bedroom-128"} for each in members([trial(seed) for seed in range(2000)], name)
        ]
        found = summarize(FolderContents(memberships=rows), NOW)
        screen = io.StringIO()
        Console(file=screen, width=80).print(renderable(found, tmp_path))
        header, drawn = screen.getvalue().splitlines()[:2]
        assert header.split()[2:] == ["done", "diverged", "failed", "to", "run"]
        assert drawn.split()[-4:] == ["0/2000", "0", "0", "2000"]
        assert drawn.split()[0][:6] == name[:6]
        assert ("…" in drawn) == (name != "regularization")


def test_one_line_says_all() -> None:
    rows = [ended(trial(0), 0), ended(trial(1), 100, status="diverged", reason="a loss is not finite at step 3")]
    found = summarize(FolderContents(trials=rows, memberships=members([trial(seed) for seed in range(4)])), NOW)
    assert summary_line(found) == "2/4 trials, 1 diverged, 36 trials/hour, 9 images/s, about 3 min 20 s left"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One trial in the table, one in a part, one failed with its traceback, one interrupted, one to run."""
    trials = [trial(seed) for seed in range(5)]
    add_memberships(tmp_path, "grid", "digits", trials)
    leave(tmp_path, trials[0], seconds=1.0)
    compact(tmp_path)
    leave(tmp_path, trials[1], seconds=1.0)
    leave(tmp_path, trials[2], None, status="failed")
    report = trial_folder(tmp_path, trials[2].id) / "traceback.txt"
    report.parent.mkdir(parents=True)
    report.touch()
    for each in trials[1], trials[3]:  # of which one has ended
        state = unfinished_path(tmp_path, each.id, PROTOCOL.id)
        state.parent.mkdir(exist_ok=True)
        state.touch()
    return tmp_path


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_status_of_a_folder_changes_nothing_in_it(study, folder: Path) -> None:
    before = tree(folder)
    answer = study("status", "--results", folder)
    assert (answer.code, answer.err) == (0, "")
    out = answer.out.splitlines()
    assert out[0] == "grid on digits: 2 finished, 1 failed, 2 to run (60 % of 5)"
    failed = trial(2).id
    report = trial_folder(folder, failed) / "traceback.txt"
    assert f"1 failed: made so ({failed}); traceback in {report}" in out
    assert f"1 running or interrupted, with a training state in {folder / 'unfinished'}" in out
    assert out[-1] == "no run is using this folder"
    assert tree(folder) == before


def test_status_counts_beside_a_run_that_holds_the_lock(study, folder: Path) -> None:
    with lock.locked(folder):
        answer = study("status", "--results", folder, "--json")
    (content,) = map(json.loads, answer.out.splitlines())
    assert [each["pid"] for each in content["holders"]] == [os.getpid()]
    assert (content["done"], content["to_run"], content["unfinished"], content["ended"]) == (3, 2, 1, False)


def test_damaged_files_are_named_and_left_out(study, folder: Path) -> None:
    part = part_path(folder, trial(1).id, PROTOCOL.id)
    part.write_text('{"trial": {')
    (folder / "trials.parquet").write_bytes(b"PAR1")
    answer = study("status", "--results", folder)
    assert answer.code == 0
    first, second = answer.err.splitlines()
    assert str(part) in first and "trials.parquet" in second
    assert "grid on digits: 0 finished, 1 failed, 4 to run" in answer.out


@pytest.mark.full
def test_parts_that_are_merged_and_added_while_they_are_read_are_no_error(tmp_path: Path) -> None:
    trials = [trial(seed) for seed in range(60)]
    add_memberships(tmp_path, "grid", "digits", trials)

    def write() -> None:
        for place, each in enumerate(trials):
            leave(tmp_path, each, seconds=1.0)
            if place % 3 == 2:
                compact(tmp_path)

    told: list[str] = []
    reader, seen = ResultsReader(tmp_path, told.append), []
    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.append(len(reader.read().trials))
    writer.join()
    assert len(seen) > 3
    assert seen == sorted(seen)  # none is missed between part and table
    assert len(reader.read().trials) == 60
    assert told == []


def test_a_part_that_goes_between_its_listing_and_its_reading_is_in_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.cli.status import reader

    monkeypatch.setattr(reader, "read_part", lambda path, read=reader.read_part: (compact(folder), read(path))[1])
    told: list[str] = []
    assert len(ResultsReader(folder, told.append).read().trials) == len(read_table(folder, "trials")) == 3
    assert told == []


def test_a_watch_without_a_terminal_tells_what_changes_and_ends(tmp_path: Path) -> None:
    trials = [trial(seed) for seed in range(2)]
    add_memberships(tmp_path, "grid", "digits", trials)
    command = [sys.executable, "-m", "study", "status", "--watch", "--every", "0.05", "--results", str(tmp_path)]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watching.stdout.readline() == "0/2 trials\n"
    leave(tmp_path, trials[0], seconds=1.0)
    assert watching.stdout.readline().startswith("1/2 trials")
    time.sleep(0.5)
    leave(tmp_path, trials[1], status="diverged", score=None)
    assert watching.stdout.read() == "2/2 trials, 1 diverged\n"
    assert watching.wait(timeout=30) == 0


@pytest.mark.parametrize("what", ["holders", "a table", "the listing"])
def test_storage_that_fails_for_a_while_ends_no_watch(
    study, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    stale, left = OSError(116, "Stale file handle"), [5]

    def failing(whole):  # type: ignore[no-untyped-def]
        def call(*arguments: object):  # type: ignore[no-untyped-def]
            if left[0]:
                left[0] -= 1
                raise stale
            return whole(*arguments)

        return call

    where, name = {"holders": (lock, "holders"), "a table": (reader, "read_table")}.get(what, (reader, "part_paths"))
    monkeypatch.setattr(where, name, failing(getattr(where, name)))
    said: list[str] = []
    found = ResultsReader(folder, said.append).read_with_retries(0.01)
    assert len(found.trials) == 3
    assert said == [f"--results {folder}: cannot be read now (Stale file handle); trying again"]
    left[0] = 10**9
    answer = study("status", "--results", folder)
    assert (answer.code, answer.err) == (2, f"--results {folder}: cannot be read now (Stale file handle)\n")


def test_another_part_of_the_same_name_is_read_anew(tmp_path: Path) -> None:
    reader = ResultsReader(tmp_path, print)
    leave(tmp_path, trial(0), None, status="failed")
    assert [row["status"] for row in reader.read().trials] == ["failed"]
    part_path(tmp_path, trial(0).id, PROTOCOL.id).unlink()
    leave(tmp_path, trial(0))
    assert [row["status"] for row in reader.read().trials] == ["finished"]


def test_a_watch_on_a_terminal_redraws_and_ends_with_the_interrupt_key(folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "study", "status", "--watch", "--every", "0.2", "--results", str(folder)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # who started the tests in the background ignores it
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    watching = subprocess.Popen(command, **streams, start_new_session=True, env=environment, preexec_fn=heard)
    os.close(theirs)
    seen = b""
    while seen.count(b"3/5") < 2:
        seen += os.read(ours, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0
    assert "━".encode() in seen
    os.close(ours)


def test_bad_input_is_one_line(study, tmp_path: Path) -> None:
    for options in (["--results", tmp_path / "none"], ["--results", tmp_path, "--every", 0]):
        answer = study("status", *options)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "nothing has been run there" in study("status", "--results", tmp_path).out


def test_status_needs_no_torch(folder: Path) -> None:
    code = "import sys; from study.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    command = [sys.executable, "-c", code, "status", "--results", str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "ray"} & set(output.split())
