"""Who may use a results folder at a time: who is refused, who takes over, and that nobody disturbs the holder."""

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from study.core.errors import InputError
from study.storage import lock
from study.storage.files import parse_location, replace
from study.storage.lock import holders, locked, locked_tables

HOLD = (
    "import sys, time; from pathlib import Path; from study.storage.lock import locked\n"
    "with locked(Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(600)\n"
)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    monkeypatch.setattr(lock, "STALE_AFTER", 0.4)


class SteadyStore(dict):
    """The files of a file system in memory, which threads may list while others write."""

    def __iter__(self):
        return iter(self.copy())


@pytest.fixture(scope="module", autouse=True)
def _steady_store():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "store", SteadyStore())
        yield


@pytest.fixture(params=["disk", "object storage"])
def folder(request, tmp_path):
    """A results folder; object storage is played by memory."""
    return tmp_path if request.param == "disk" else parse_location(f"memory://{tmp_path.name}")


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


def claims(folder):
    return [held for path in folder.glob(".lock-*") if (held := lock._read(path))]


def leave(folder, name="left", **content):
    """A claim that somebody left behind, on this machine unless told otherwise."""
    path = folder / f".lock-{name}"
    mine = {"host": "elsewhere", "machine": lock._machine(), "pid": 2**22 + 1, "started": "1"}
    path.write_text(json.dumps({**mine, "what": lock.ALL, "holds": 1, "beat": "3", **content}))
    return path


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def beating(path):
    """Somebody on another machine counts up in a claim."""
    content, stop = json.loads(path.read_bytes()), threading.Event()

    def write(content, file):
        file.write(content)

    def beat():
        for count in range(10**9):
            replace(path, partial(write, json.dumps({**content, "beat": str(count)}).encode()))
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_folder_is_clean_before_and_after(folder):
    with locked(folder):
        (held,) = claims(folder)
        assert (held["pid"], held["what"], held["holds"]) == (os.getpid(), lock.ALL, 1)
        assert len(list(folder.glob(".*"))) == 1
    assert list(folder.glob(".*")) == []


def test_released_when_the_run_raises(folder):
    with pytest.raises(ZeroDivisionError), locked(folder):
        raise ZeroDivisionError
    with locked(folder):
        pass


def test_a_second_holder_is_refused_with_the_first_ones_name(tmp_path):
    with another_process(tmp_path) as process:
        with pytest.raises(InputError) as caught, locked(tmp_path):
            pass
        assert f"--results {tmp_path}: in use by process {process.pid} on " in str(caught.value)
        assert "\n" not in str(caught.value)
        assert [held["pid"] for held in holders(tmp_path)] == [process.pid]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (None, None, False),
        (None, "1/2", False),
        ("1/2", None, False),
        ("1/2", "1/2", False),
        ("1/2", "2/2", True),
        ("3/4", "2/4", True),
        ("1/2", "2/4", False),
        ("2/4", "2/3", False),
        ("1/12", "2/1", False),
    ],
)
def test_shards_are_held_together_only_where_they_are_different_ones_of_as_many(folder, one, other, together):
    with locked(folder, one):
        if together:
            with locked(folder, other):
                assert sorted(held["what"] for held in holders(folder)) == sorted([f"shard {one}", f"shard {other}"])
        else:
            with pytest.raises(InputError, match=f"shard {one}" if one else lock.ALL), locked(folder, other):
                pass
        assert [held["what"] for held in holders(folder)] == [f"shard {one}" if one else lock.ALL]


def test_tables_are_held_beside_runs_by_one_at_a_time(folder):
    most, lost = [0], [0]

    def work():
        for _ in range(5):
            with locked_tables(folder):
                most[0] = max(most[0], sum(held["what"] == lock.TABLES and held["holds"] for held in claims(folder)))
                before = lost[0]
                time.sleep(0.005)
                lost[0] = before + 1

    with locked(folder, "1/2"), locked(folder, "2/2"):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == [15]
        assert most == [1]
        assert len(holders(folder)) == 2


def test_tables_are_handed_on_quickly_between_machines(folder, monkeypatch, capsys):
    """Who waits for another machine's beat before each attempt would starve; and a release is no silence."""
    monkeypatch.setattr(lock, "HEARTBEAT", 0.5)
    monkeypatch.setattr(lock, "STALE_AFTER", 60)
    machines, served = threading.local(), []
    monkeypatch.setattr(lock, "_machine", lambda: machines.name)
    monkeypatch.setattr(lock, "_held_here", set())

    def work(number):
        machines.name = f"machine {number}"
        with locked_tables(folder):
            time.sleep(0.05)
        served.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(served) == list(range(8))
    assert capsys.readouterr().err == ""


def test_looking_removes_nothing(folder):
    path = leave(folder)
    assert holders(folder) == []
    assert path.exists()


def test_the_claim_of_a_killed_process_is_taken_over_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE_AFTER", 1e9)
    with another_process(tmp_path) as process:
        process.kill()
        wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert holders(tmp_path) == []
        with locked(tmp_path):  # its parent, this process, has not yet heard of its end
            assert [held["pid"] for held in claims(tmp_path)] == [os.getpid()]
    with another_process(tmp_path) as process:
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass


def test_a_process_number_in_use_again_does_not_pass_for_the_holder(folder):
    leave(folder, pid=os.getpid(), started="1")
    with locked(folder):
        assert [held["started"] == "1" for held in claims(folder)] == [False]


def test_a_holder_stays_the_holder_when_the_system_clock_is_set(tmp_path, monkeypatch):
    with another_process(tmp_path) as process:
        boot, start = lock.psutil.boot_time, lock.psutil.Process.create_time
        monkeypatch.setattr(lock.psutil, "boot_time", lambda: boot() + 3600)
        monkeypatch.setattr(lock.psutil.Process, "create_time", lambda process: start(process) + 3600)
        assert [held["pid"] for held in holders(tmp_path)] == [process.pid]


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_so_it_does_where_psutil_counts_from_the_boot_that_it_read_last(tmp_path, monkeypatch, jump):
    with another_process(tmp_path) as process:
        boot, start = lock.psutil.boot_time, lock.psutil.Process.create_time
        ahead, known = [0, jump, 2 * jump], [0]  # psutil 7.0

        def boot_time():
            known[0] = ahead.pop(0) if ahead else known[0]
            return boot() + known[0]

        monkeypatch.setattr(lock.psutil, "boot_time", boot_time)
        monkeypatch.setattr(lock.psutil.Process, "create_time", lambda process: start(process) + known[0])
        for _ in range(3):
            assert [held["pid"] for held in holders(tmp_path)] == [process.pid]


@pytest.mark.full
def test_a_claim_of_this_process_that_could_not_be_removed_holds_nothing(folder, monkeypatch):
    def away(*_, **__):
        raise OSError("storage is away")

    with locked(folder):
        (path,) = folder.glob(".lock-*")
        monkeypatch.setattr(type(path), "unlink", away)
    monkeypatch.undo()
    assert path.exists()
    with locked(folder):
        assert not path.exists()


def test_a_process_number_means_nothing_in_another_container(folder):
    """The same host name and number, as with containers that share a network, but not a table of processes."""
    path = leave(folder, machine="another container", pid=os.getpid(), started=lock._process_start(os.getpid()))
    with locked(folder):  # nobody beats there
        assert not path.exists()


@pytest.mark.full
def test_in_a_container_that_shows_its_hosts_processes_the_holder_is_not_taken_for_dead(tmp_path):
    """Its process number, which belongs to no process of the host, says nothing."""
    free = next(number for number in range(20_000, 32_000) if not Path(f"/proc/{number}").exists())
    hold = shlex.join([sys.executable, "-c", HOLD, str(tmp_path)])
    script = f"echo {free - 1} > /proc/sys/kernel/ns_last_pid; {hold} & wait"
    command = ["unshare", "--pid", "--fork", "--kill-child", "bash", "-c"]
    if os.geteuid() or subprocess.run([*command, "true"]).returncode:
        pytest.skip("no containers here")
    with subprocess.Popen([*command, script], stdout=subprocess.PIPE, text=True) as outer:
        try:
            assert outer.stdout.readline() == "held\n"
            (init,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            within = ["nsenter", "--target", init, "--pid"]
            asks = subprocess.Popen(
                [*within, sys.executable, "-c", HOLD, str(tmp_path)], stderr=subprocess.PIPE, text=True
            )
            assert f"in use by process {free} on " in asks.communicate(timeout=60)[1]
        finally:
            outer.kill()


@pytest.mark.parametrize("holds", [0, 1])
def test_a_holder_on_another_machine_that_beats_is_respected(folder, holds, monkeypatch):
    """One that only asks yet, too: its name comes first."""
    monkeypatch.setattr(lock, "HEARTBEAT", 0.5)  # not to be missed on a busy machine
    monkeypatch.setattr(lock, "STALE_AFTER", 20)
    path = leave(folder, "", machine="another", pid=7, holds=holds)
    with beating(path):
        with pytest.raises(InputError, match="in use by process 7 on elsewhere"), locked(folder):
            pass
        assert len(holders(folder)) == holds
    assert path.exists()


def test_one_that_asks_and_comes_later_gives_way(folder, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.5)
    monkeypatch.setattr(lock, "STALE_AFTER", 20)
    path = leave(folder, "z", machine="another", pid=7, holds=0)
    with beating(path):
        taken = []

        def take():
            with locked(folder):
                taken.append(len(claims(folder)))

        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(0.2)
        assert not taken, "who asks has not yet seen this claim"
    path.unlink()
    thread.join()
    assert taken == [1]


def test_one_that_does_not_beat_is_taken_over_after_a_while(folder, capsys):
    path = leave(folder, machine="another")
    start = time.monotonic()
    assert holders(folder) == []
    with locked(folder):
        assert time.monotonic() - start >= lock.STALE_AFTER
        assert not path.exists()
    assert "elsewhere" in capsys.readouterr().err, "who waits is told for whom"


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\0", '"what"', '{"what": "all trials"}'])
def test_what_is_no_claim_holds_nothing(folder, content):
    (folder / ".lock-junk").write_text(content)
    with locked(folder):
        assert len(holders(folder)) == 1
    assert holders(folder) == []


@pytest.mark.parametrize("content", [{"pid": None}, {"pid": "x"}, {"started": None}])
def test_a_claim_of_this_machine_that_names_no_process_is_taken_over(folder, content):
    leave(folder, **content)
    with locked(folder):
        pass


@pytest.mark.parametrize("pause", [0, 0.003])
def test_exactly_one_of_several_contenders_wins(folder, monkeypatch, pause):
    """Also where a killed one left its claim, and where looking at others takes its time."""
    contenders, look = 3, lock._read

    def look_slowly(path):
        time.sleep(pause)
        return look(path)

    monkeypatch.setattr(lock, "_read", look_slowly)

    def contend(outcomes, barrier, everybody_tried):
        barrier.wait()
        try:
            with locked(folder):
                outcomes.append("won")
                everybody_tried.wait(20)
        except InputError:
            outcomes.append("refused")

    def race():
        leave(folder)
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
        for _ in range(15):
            assert race() == ["refused"] * (contenders - 1) + ["won"]
            assert list(folder.glob(".*")) == []
    finally:
        sys.setswitchinterval(interval)


def test_the_claim_beats_and_stays_as_long(folder):
    with locked(folder):
        (path,) = folder.glob(".lock-*")
        size = len(path.read_bytes())
        wait_for(lambda: int(claims(folder)[0]["beat"]) >= 2)
        assert len(path.read_bytes()) == size


def test_a_beat_that_cannot_be_written_costs_nothing_but_itself(tmp_path, monkeypatch):
    failed, write = threading.Event(), os.pwrite

    def fail(*_):
        failed.set()
        raise OSError("no space left on device")

    with locked(tmp_path) as folder_lock:
        monkeypatch.setattr(os, "pwrite", fail)
        assert failed.wait(20)
        stopped_at = claims(tmp_path)[0]["beat"]
        monkeypatch.setattr(os, "pwrite", write)
        wait_for(lambda: claims(tmp_path)[0]["beat"] > stopped_at)
        folder_lock.check()
    assert list(tmp_path.glob(".*")) == []


def test_who_lost_the_claim_is_told_and_leaves_the_new_holders_alone(folder):
    with locked(folder) as folder_lock:
        folder_lock.check()
        next(folder.glob(".lock-*")).unlink()
        with pytest.raises(InputError, match="took over this folder"):
            folder_lock.check()
        path = leave(folder, "new", machine="another")
        taken_over = path.read_bytes()
        time.sleep(10 * lock.HEARTBEAT)
        assert [each.name for each in folder.glob(".lock-*")] == [path.name]
    assert path.read_bytes() == taken_over
