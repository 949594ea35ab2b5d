"""Measures `study run` on the embedded data as a whole: time, overhead per trial, memory, and the time of a repeat.

    python tests/benchmarks/grid.py --settings 2

Overhead is what a trial costs beyond training and scoring: start-up of Ray and its workers, scheduling, files and the
report, as (wall time x trials at a time - training - scoring) / trials. Memory is the largest sum, over the whole
process tree, of the memory that each process has to itself plus its share of what it shares (PSS).
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq


def descendants(pid: int) -> Iterator[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return iter(found)


def memory(pid: int) -> int:
    """PSS of a process tree, bytes."""
    total = 0
    for process in descendants(pid):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += 1024 * int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
    return total


def run(results: Path, options: list[str]) -> tuple[float, int]:
    """Wall seconds and peak bytes of one `study run grid`."""
    start, peak = time.monotonic(), 0
    command = [sys.executable, "-m", "study", "run", "grid", "--results", str(results), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.monotonic() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Other options go to `study run grid`."
    )
    parser.add_argument("--concurrent", type=int, default=2, help="trials at a time (default: 2)")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        options = ["--max-concurrent", str(arguments.concurrent), *options]
        seconds, peak = run(results, options)
        trials = pq.read_table(results / "trials.parquet").to_pandas()
        again, _ = run(results, options)
    training, scoring = trials.training_seconds.sum(), trials.scoring_seconds.sum()
    span = (trials.finished_at.max() - trials.started_at.min()).total_seconds()
    n = len(trials)
    print(f"trials {n}, {arguments.concurrent} at a time")
    print(f"wall {seconds:.1f} s, from the first trial's start to the last one's end {span:.1f} s; again {again:.1f} s")
    print(f"per trial: training {training / n:.2f} s, scoring {scoring / n:.3f} s")
    busy = training + scoring
    print(f"overhead per trial, once trials run: {(span * arguments.concurrent - busy) / n:.3f} s")
    print(f"start-up, report and the rest: {seconds - span:.1f} s for all")
    print(f"peak memory of the process tree {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
