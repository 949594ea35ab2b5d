"""A machine that runs out of memory while trials run, for real: Ray ends a worker, and its trial goes on."""

import mmap
import time
from pathlib import Path

import pytest

from study.storage.tables import read_table
from tests.conftest import Answer, study_process
from tests.parts import OWN

pytestmark = pytest.mark.slow

RUN = ("run", "grid", "--methods", "none", "--settings", 3, "--discriminator-steps", 200, "--n-real", 64)
RUN = (*RUN, "--n-fake", 64, "--max-concurrent", 1, "--pack", 1)
SPARE, TAKEN = 3 * 1024**3, 4 * 1024**3


def memory() -> tuple[int, int]:
    """Bytes that this machine has, and that are in use."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    told = {name.rstrip(":"): int(number) * 1024 for name, number, *_ in lines}
    return told["MemTotal"], told["MemTotal"] - told["MemAvailable"]


def rows(folder: Path) -> dict[str, dict[str, object]]:
    return {row["trial_id"]: row for row in read_table(folder, "trials").to_pylist()}


def test_a_trial_whose_worker_was_ended_for_want_of_memory_goes_on(tmp_path, monkeypatch):
    total, used = memory()
    if total - used < 2 * TAKEN:
        pytest.skip("there is too little memory to play this")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used + SPARE) / total:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "250")
    said = (tmp_path / "said").open("w+")
    process = study_process(*RUN, "--max-failures", 50, "--results", tmp_path / "results", stdout=said)
    told, deadline = "running low on memory", time.monotonic() + 240
    while not list(tmp_path.glob("results/unfinished/[!.]*.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    balloon = mmap.mmap(-1, TAKEN)
    for page in range(0, TAKEN, mmap.PAGESIZE):
        balloon[page] = 1
    while told not in Path(said.name).read_text():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    balloon.close()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "its worker died (Ray killed it because its node was running low on memory); it is retried" in (
        Path(said.name).read_text()
    )
    whole = study_process(*RUN, "--results", tmp_path / "whole")
    assert Answer(0, *whole.communicate(timeout=300)).code == whole.returncode
    found, other = rows(tmp_path / "results"), rows(tmp_path / "whole")
    assert found.keys() == other.keys() and len(found) == 3
    assert sum(row["resumptions"] for row in found.values()) > 0
    for trial_id, row in found.items():
        assert all(row[name] == other[trial_id][name] for name in row.keys() - OWN)
