"""Measures how long the whole paper takes to expand: every experiment on its datasets, to trials with their ids.

    OMP_NUM_THREADS=1 python tests/benchmarks/expand.py --repeats 5

Processor seconds, imports aside; each repeat does all of it again. The optimisation has no trials to expand.
"""

import argparse
import time
from pathlib import Path

import search_spaces
from study.driver.cost.overview import APPENDICES, MAIN_TEXT
from study.driver.planning.plan import trials_of
from tests.requests import make_request

NOWHERE = Path("no-such-folder")


def expand() -> dict[str, set[str]]:
    """The ids of the trials of each space and dataset."""
    request = make_request(datasets=[], results=NOWHERE, data_dir=NOWHERE)
    spaces = [search_spaces.get(name) for name in (*MAIN_TEXT, *APPENDICES)]
    return {
        f"{space.name} on {dataset}": {trial.id for trial in trials_of(request, space, dataset)}
        for space in spaces
        for dataset in space.datasets
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="default: 5")
    seconds = []
    for _ in range(parser.parse_args().repeats):
        start = time.process_time()
        expanded = expand()
        seconds.append(time.process_time() - start)
    for name, ids in expanded.items():
        print(f"{name}: {len(ids):,} trials")
    total, distinct = sum(map(len, expanded.values())), len(set().union(*expanded.values()))
    print(f"{total:,} trials, {distinct:,} of them distinct")
    print(f"processor time {min(seconds):.2f} s at best, {max(seconds):.2f} s at worst of {len(seconds)}; target 2 s")


if __name__ == "__main__":
    main()
