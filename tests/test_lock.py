"""One run per results folder: who is refused, who takes over, and that nobody disturbs the holder."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from study import lock
from study.lock import locked
from study.names import InputError

HOLD = (
    "import sys, time; from pathlib import Path; from study.lock import locked\n"
    "with locked(Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(600)\n"
)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    monkeypatch.setattr(lock, "STALE_AFTER", 0.4)


@contextmanager
def another_process(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def leave(folder, **content):
    """A lock that somebody left behind."""
    path = folder / ".lock"
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1, "started": "1", "beat": 3, **content}))
    return path


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def beat_of(path):
    return json.loads(path.read_text())["beat"]


def test_the_folder_is_clean_before_and_after(tmp_path):
    with locked(tmp_path):
        content = json.loads((tmp_path / ".lock").read_text())
        assert (content["host"], content["pid"]) == (socket.gethostname(), os.getpid())
        assert names_in(tmp_path) == [".lock"]
    assert names_in(tmp_path) == []


def test_released_when_the_run_raises(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_second_holder_is_refused_with_the_first_ones_name(tmp_path):
    with another_process(tmp_path) as process:
        with pytest.raises(InputError) as caught, locked(tmp_path):
            pass
        assert f"--results {tmp_path}: in use by process {process.pid} on {socket.gethostname()};" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (tmp_path / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_AFTER", 1e9)
    with another_process(tmp_path) as process:
        process.kill()
        wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        with locked(tmp_path):  # its parent, this process, has not yet heard of its end
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    with another_process(tmp_path) as process:
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass


def test_a_process_number_in_use_again_does_not_pass_for_the_holder(tmp_path):
    leave(tmp_path, pid=os.getpid(), started="1")
    with locked(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["started"] != "1"


def test_a_holder_on_another_host_that_beats_is_respected(tmp_path):
    path, stop = leave(tmp_path, host="elsewhere", pid=7), threading.Event()

    def beat():
        for count in range(10**9):
            temporary = tmp_path / "beat"
            temporary.write_text(json.dumps({"host": "elsewhere", "pid": 7, "started": "1", "beat": count}))
            temporary.replace(path)
            if stop.wait(0.1):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(InputError, match="in use by process 7 on elsewhere"), locked(tmp_path):
            pass
    finally:
        stop.set()
        thread.join()
    assert json.loads(path.read_text())["host"] == "elsewhere"


@pytest.mark.parametrize(
    "content", [json.dumps({"host": "elsewhere", "pid": 7, "started": "1", "beat": 5}), "", "{", "[]", "\0\0"]
)
def test_a_lock_that_does_not_beat_is_taken_over_after_a_while(tmp_path, content):
    (tmp_path / ".lock").write_text(content)
    start = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - start >= lock.STALE_AFTER
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", [{}, {"pid": "x"}, {"pid": None}, {"pid": 1, "started": None}])
def test_a_lock_of_this_host_that_names_no_process_is_taken_over(tmp_path, content):
    leave(tmp_path, **content)
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(("rounds", "pause"), [(100, 0), (10, 0.02)])
def test_exactly_one_of_several_contenders_takes_a_stale_lock_over(tmp_path, monkeypatch, rounds, pause):
    """With a pause between the last look at the stale lock and its removal, where a second contender could slip in."""
    contenders, look = 3, lock._is_at

    def look_and_pause(*arguments):
        seen = look(*arguments)
        time.sleep(pause)
        return seen

    monkeypatch.setattr(lock, "_is_at", look_and_pause)

    def contend(outcomes, barrier, everybody_tried):
        barrier.wait()
        try:
            with locked(tmp_path):
                outcomes.append("won")
                everybody_tried.wait(20)
        except InputError:
            outcomes.append("refused")

    def race():
        leave(tmp_path)
        outcomes, everybody_tried = [], threading.Event()
        shared = (outcomes, threading.Barrier(contenders), everybody_tried)
        threads = [threading.Thread(target=contend, args=shared) for _ in range(contenders)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(outcomes) == contenders)
        everybody_tried.set()
        for thread in threads:
            thread.join()
        return sorted(outcomes)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(rounds):
            assert race() == ["refused"] * (contenders - 1) + ["won"]
            assert names_in(tmp_path) == []
    finally:
        sys.setswitchinterval(interval)


def test_the_lock_beats(tmp_path):
    with locked(tmp_path):
        wait_for(lambda: beat_of(tmp_path / ".lock") >= 2)


def test_a_beat_that_cannot_be_written_costs_nothing_but_itself(tmp_path, monkeypatch):
    failed, write = threading.Event(), os.pwrite

    def fail(*_):
        failed.set()
        raise OSError("no space left on device")

    with locked(tmp_path):
        monkeypatch.setattr(os, "pwrite", fail)
        assert failed.wait(20)
        stopped_at = beat_of(tmp_path / ".lock")
        monkeypatch.setattr(os, "pwrite", write)
        wait_for(lambda: beat_of(tmp_path / ".lock") > stopped_at + 1)
    assert names_in(tmp_path) == []


def test_who_lost_the_lock_leaves_the_new_holders_alone(tmp_path):
    path = tmp_path / ".lock"
    with locked(tmp_path):
        path.unlink()
        time.sleep(10 * lock.HEARTBEAT)
        assert not path.exists()
        leave(tmp_path, host="elsewhere", pid=7)
        taken_over = path.read_text()
        time.sleep(10 * lock.HEARTBEAT)
        assert path.read_text() == taken_over
    assert path.read_text() == taken_over
