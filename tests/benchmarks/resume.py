"""How long it takes until a study goes on in a results folder with many finished trials.

    python tests/benchmarks/resume.py [--trials 100000]

Fills a folder with the rows that so many finished trials of the grid on the embedded digits would have left, and times,
in processor seconds of one process that has everything imported, what `study run` does there before it trains: the plan
from the space, the folder opened, and what is left to run. Then the same command, whole, as a person types it.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

import search_spaces
from study import data
from study.cli import session
from study.core.evaluation import Evaluation
from study.driver.planning import plan
from study.storage.schema import EVALUATIONS, TRIALS, trial_row
from study.storage.tables import write_table
from study.worker.record import make_record
from tests.requests import make_request

SETTINGS = 120


def fill(folder: Path, planned: list[plan.Planned]) -> None:
    """Rows as of trials that finished with one checkpoint each."""
    context = planned[0].context
    now = datetime.now(UTC).isoformat()
    record = make_record(context, "finished", None, started=now, device="cpu", position=None, trial=planned[0].trial)
    record = replace(record, training_seconds=1.0, scoring_seconds=0.1)
    blank = {"discriminator_loss": None, "generator_loss": None, "penalty": None}
    scored = Evaluation(
        trial_id="", discriminator_step=100, protocol_id=context.protocol.id, frechet_distance=30.0, **blank
    )
    trials, evaluations = [], []
    for number, one in enumerate(planned):
        mine = replace(scored, trial_id=one.trial.id, frechet_distance=30.0 + number % 50)
        trials.append(trial_row(one.trial, context.protocol, record, [mine]))
        evaluations.append(mine.to_row())
    write_table(folder, "trials", pa.Table.from_pylist(trials, schema=TRIALS))
    write_table(folder, "evaluations", pa.Table.from_pylist(evaluations, schema=EVALUATIONS))


def main() -> None:
    """Fill, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    seeds = -(-parser.parse_args().trials // SETTINGS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        asked = {"datasets": ["digits"], "results": folder, "data_dir": data.data_dir(None)}
        request = make_request(**asked, seeds=seeds, yes=True)
        planned = plan.make_plan(request, search_spaces.get("grid"))
        fill(folder, planned[:-1])
        clocks = [time.process_time()]
        planned = plan.make_plan(request, search_spaces.get("grid"))
        clocks.append(time.process_time())
        with session.opened(folder):
            clocks.append(time.process_time())
            todo = plan.pending(planned, folder)
            clocks.append(time.process_time())
        assert todo == planned[-1:]
        made, opened, left = (after - before for before, after in itertools.pairwise(clocks))
        print(f"{len(planned):,} trials, 1 to run: {made + opened + left:.2f} s")
        print(f"    plan {made:.2f} s, folder {opened:.2f} s, what is left {left:.2f} s")
        command = [sys.executable, "-m", "study", "run", "grid", "--seeds", seeds, "--results", folder, "--dry-run"]
        start = time.perf_counter()
        subprocess.run([str(word) for word in [*command, "--yes"]], check=True, stdout=subprocess.DEVNULL)
        print(f"    `study run --dry-run`: {time.perf_counter() - start:.2f} s with its imports")


if __name__ == "__main__":
    main()
