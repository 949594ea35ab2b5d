"""A study on a cluster of three nodes whose processes are killed again and again: to the rows of one left in peace.

    pytest -m chaos -s tests/test_chaos.py

STUDY_CHAOS_SEED chooses the moments and victims, STUDY_CHAOS_LOG the file that tells them.
"""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from study.storage.parts import part_paths
from study.storage.tables import read_table, statuses
from tests.conftest import study_process
from tests.driver.cluster import ROOT, SOON, TOKEN, Cluster
from tests.parts import OWN

pytestmark = pytest.mark.chaos

TRIALS = 60
RUN = ("run", "grid", "--methods", "none,spectral_norm", "--settings", 10, "--seeds", 3, "--pack", 1)
RUN += ("--discriminator-steps", 300, "--n-real", 200, "--n-fake", 200, "--metrics", "none", "--keep", "none")
"""Trials of some seconds, with a checkpoint every second or so; each alone, as they are after their worker's death."""
DECK = {"driver": 6, "worker": 9, "raylet": 6, "everything": 2, "stall": 2}
"""What happens, in an order by chance; a stall kills nobody."""
KILLS = sum(DECK.values()) - DECK["stall"]
PATIENCE = 180.0
"""Seconds within which something must go on, on a machine with other work to do."""
WHERE = OWN | {"host"}


class Chaos:
    """A study on a cluster of its own, and what is done to them; every event is a line of the log."""

    def __init__(self, folder: Path, log: Path, chance: random.Random) -> None:
        self.results, self.kills = folder / "results", Counter[str]()
        self._folder, self._log, self._chance = folder, log, chance
        self._began, self._drivers = time.monotonic(), 0
        self.driver = self.cluster = self._sockets = None

    def start(self) -> None:
        """The nodes, and the study on them."""
        self._build()
        self._drive()

    def tell(self, line: str) -> None:
        """With the seconds since the beginning, and how many trials are done."""
        line = f"{time.monotonic() - self._began:7.1f} s  {self.done:2}/{TRIALS} done  {line}"
        print(line, flush=True)
        with self._log.open("a") as file:
            file.write(f"{line}\n")

    @property
    def done(self) -> int:
        """How many trials are."""
        return len(statuses(self.results))

    def _build(self) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="ray")  # whose paths must be short
        self.cluster = Cluster(Path(self._sockets.name))
        self._hosts = {host: self.cluster.add(host=host) for host in ("127.0.0.2", "127.0.0.3")}
        self.tell(f"three nodes stand at {self.cluster.address}")

    def _drive(self) -> None:
        self._said = self._folder / f"driver-{self._drivers}.log"
        self._drivers += 1
        where = ("--results", self.results, "--address", self.cluster.address)
        with self._said.open("w") as said:
            self.driver = study_process(*RUN, *where, cwd=self._folder, stdout=said, stderr=subprocess.STDOUT)
        self.tell(f"driver {self.driver.pid} starts")

    @property
    def runs(self) -> bool:
        """Whether the driver runs; it is to end by itself only when the study is over."""
        if self.driver.poll() is None:
            return True
        assert self.driver.returncode == 0, f"the driver ended with {self.driver.returncode}: {self._said.read_text()}"
        return False

    def wait(self, what: str, true: Callable[[], object]) -> None:
        """Until something is so, or the study is over."""
        deadline = time.monotonic() + PATIENCE
        while self.runs and not true():
            if time.monotonic() > deadline:
                processes = subprocess.run(["ps", "-eo", "pid,ppid,stat,etime,args"], capture_output=True, text=True)
                shown = [line[:160] for line in processes.stdout.splitlines() if "ray" in line or "study" in line]
                raise AssertionError("\n".join([f"no {what} in time", self._said.read_text(), *shown]))
            time.sleep(0.05)

    def wait_until_done(self, number: int) -> None:
        """Until so many trials are."""
        while self.runs and self.done < number:
            self.wait_for_progress()

    def wait_for_progress(self) -> None:
        """Until a trial has got further."""
        before = self._progress()
        self.wait("progress", lambda: self._progress() != before)

    def _progress(self) -> tuple[int, int]:
        newest = 0
        for path in self.results.glob("unfinished/[!.]*.pt"):
            try:
                newest = max(newest, path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue  # it has ended
        return newest, len(list(part_paths(self.results)))

    def happen(self, event: str) -> None:
        """Do one thing of the deck."""
        getattr(self, f"_{event}")()
        if event != "stall":
            self.kills[event] += 1

    def _kill_driver(self) -> None:
        self.driver.kill()
        assert self.driver.wait(30) == -signal.SIGKILL

    def _driver(self) -> None:
        self._kill_driver()
        self.tell(f"driver {self.driver.pid} killed")
        self._drive()

    def _worker(self) -> None:
        self.wait("worker", self.cluster.trainers)
        assert self.runs, "over too soon: the trials are too short for this machine"
        victim = self._chance.choice(sorted(self.cluster.trainers()))
        os.kill(victim, signal.SIGKILL)
        self.tell(f"worker {victim} killed")

    def _raylet(self) -> None:
        host = self._chance.choice(sorted(self._hosts))
        self.cluster.kill(self._hosts[host])
        self.tell(f"raylet of {host} killed")
        time.sleep(self._chance.uniform(0, 10))
        self._hosts[host] = self.cluster.add(host=host)
        self.tell(f"a new node joins as {host}")

    def _everything(self) -> None:
        self.driver.kill()
        self.cluster.destroy()
        self._kill_driver()
        self.tell("everything killed, as by a power cut")
        self.clear()
        self.start()

    def _stall(self) -> None:
        seconds = self._chance.uniform(2, 12)
        self.driver.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.driver.send_signal(signal.SIGCONT)
        self.tell(f"driver {self.driver.pid} stood still for {seconds:.0f} s")

    def clear(self) -> None:
        """End what still runs."""
        if self.driver and self.driver.poll() is None:
            self.driver.kill()
        if self.cluster:
            self.cluster.stop()
        if self._sockets:
            self._sockets.cleanup()


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    for name, value in {**TOKEN, **SOON, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    log, seed = Path(os.environ.get("STUDY_CHAOS_LOG", tmp_path / "chaos.log")), os.environ.get("STUDY_CHAOS_SEED", "0")
    log.write_text(f"seed {seed}\n")
    made = Chaos(tmp_path, log, random.Random(seed))
    try:
        made.start()
        yield made
    finally:
        made.clear()


def rows(folder: Path, name: str, *, but: frozenset[str] | set[str] = frozenset()) -> list[dict[str, object]]:
    """The rows of a table in a fixed order."""
    order = {"evaluations": ["trial_id", "discriminator_step"], "trials": ["trial_id"]}
    order["memberships"] = ["space", "trial_id"]
    table = read_table(folder, name).sort_by([(column, "ascending") for column in order[name]])
    return [{k: v for k, v in row.items() if k not in but} for row in table.to_pylist()]


def test_a_study_under_twenty_kills_leaves_the_rows_of_one_left_in_peace(chaos: Chaos, tmp_path: Path) -> None:
    chance = random.Random(f"moments {os.environ.get('STUDY_CHAOS_SEED', '0')}")
    deck = [event for event, times in DECK.items() for _ in range(times)]
    chance.shuffle(deck)
    for place, event in enumerate(deck):
        chaos.wait_until_done(place * TRIALS // (2 * len(deck)))  # so that kills come all along
        if chance.random() < 0.75:  # otherwise it comes while all is still busy with the one before
            chaos.wait_for_progress()
        ahead = chaos.done > place * TRIALS // len(deck)  # on a fast machine, of which the end may be near
        time.sleep(chance.uniform(0, 1 if ahead else 6))
        assert chaos.runs, f"over before {event}: the trials are too short for this machine"
        chaos.happen(event)
    while chaos.runs:
        chaos.wait_for_progress()
    chaos.tell(f"over, after {chaos.kills.total()} kills: {dict(chaos.kills)}")
    assert chaos.kills.total() == KILLS >= 20
    nothing_is_left(chaos)
    trials = rows(chaos.results, "trials")
    assert len(trials) == len({row["trial_id"] for row in trials}) == TRIALS
    assert {row["status"] for row in trials} == {"finished"}
    resumed = [row["resumptions"] for row in trials if row["resumptions"]]
    assert len(resumed) >= 5

    whole = tmp_path / "whole"
    peace = study_process(*RUN, "--results", whole, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert peace.wait(900) == 0, peace.communicate()
    assert rows(chaos.results, "trials", but=WHERE) == rows(whole, "trials", but=WHERE)
    for name in ("evaluations", "memberships"):
        assert rows(chaos.results, name) == rows(whole, name)
    chaos.tell(f"rows as of a study left in peace; {len(resumed)} trials went on {sum(resumed)} times")  # type: ignore[arg-type]


def nothing_is_left(chaos: Chaos) -> None:
    """No process that trains, and no file but rows, figures, and what was killed while it was written."""
    deadline = time.monotonic() + 60
    while left := chaos.cluster.trainers():
        assert time.monotonic() < deadline, f"workers {left} go on without a driver"
        time.sleep(0.1)
    files = [path for path in chaos.results.rglob("*") if path.is_file()]
    half = [path for path in files if path.suffix == ".tmp"]
    tables = [path for path in files if path.suffix == ".parquet" or "figures" in path.parts]
    chaos.tell(f"{len(half)} files half written by killed processes")
    assert sorted(set(files) - set(tables) - set(half)) == []
