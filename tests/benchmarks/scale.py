"""How long figures and tables take on many trials, and how much memory.

    OMP_NUM_THREADS=1 python tests/benchmarks/scale.py [--trials 100000] [--datasets 1] [--each] [--load-only]

Fills a folder with rows as of so many finished trials: eight methods on one dataset (up to three with `--datasets`,
which draws every panel as many times), five checkpoints each with diagnostics and a KID, and memberships of the grid.
Then, in a fresh process, loads it and computes and draws (as PNG)
everything on the menus; prints seconds (of the clock, and of the processor) and peak memory. `--load-only` loads, and
computes the table of the best.
"""

import argparse
import hashlib
import importlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from study.storage.schema import DIAGNOSTICS, EVALUATIONS, MEMBERSHIPS, TRIALS
from study.storage.tables import write_table

DATASETS = ("digits", "celeba-hq-128", "lsun-bedroom-128")
METHODS = (  # name, normalizations, penalty, location of the logarithm of its scores
    ("none", "", None, 4.0),
    ("gradient_penalty", "", "gradient_penalty", 3.7),
    ("dragan", "", "dragan", 3.8),
    ("spectral_norm", "spectral_norm", None, 3.6),
    ("layer_norm", "layer_norm", None, 3.9),
    ("batch_norm", "batch_norm", None, 4.3),
    ("l2", "", "l2", 4.6),
    ("spectral_norm+gradient_penalty", "spectral_norm", "gradient_penalty", 3.5),
)
COUPLED = np.array([(1e-3, 0.5, 0.9, 5), (1e-3, 0.5, 0.999, 1), (1e-4, 0.5, 0.9, 5), (2e-4, 0.0, 0.9, 5)])
SEEDS, STEPS, LAYERS = 5, 5, 8


def fill(folder: Path, n: int, datasets: int) -> None:
    """The three tables."""
    rng = np.random.default_rng(0)
    number, which = np.divmod(np.arange(n), datasets * len(METHODS))
    method, dataset = np.divmod(which, datasets)
    setting = COUPLED[number // SEEDS % len(COUPLED)]
    penalised = np.array([penalty is not None for _, _, penalty, _ in METHODS])[method]
    settings = number // SEEDS  # the same of all methods; beyond the grid, as random ones
    jitter = np.exp(rng.normal(0, 0.3, settings.max() + 1))[settings]
    level = np.array([location for *_, location in METHODS])[method]
    curves = np.exp(level[:, None] + 0.4 * rng.standard_normal((n, 1)) + np.linspace(1, 0, STEPS))
    curves *= np.exp(0.05 * rng.standard_normal((n, STEPS)))
    diverged = rng.random(n) < 0.05
    curves[diverged] = np.nan
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(n)]
    protocols = np.array([f"{i:012x}" for i in range(len(DATASETS))], dtype=object)[dataset]
    when = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(n).astype("timedelta64[s]")

    def named(values: Any, index: Any) -> Any:
        return np.array(values, dtype=object)[index]

    own = {
        "trial_id": ids,
        "protocol_id": protocols,
        "dataset": named(DATASETS, dataset),
        "method": named([name for name, *_ in METHODS], method),
        "normalizations": named([each for _, each, *_ in METHODS], method),
        "penalty": named([each for _, _, each, _ in METHODS], method),
        "learning_rate": np.clip(setting[:, 0] * jitter, 1e-5, 1e-2),
        "beta1": setting[:, 1],
        "beta2": setting[:, 2],
        "n_dis": setting[:, 3].astype(int),
        "penalty_weight": np.where(penalised, named([1.0, 10.0], number // SEEDS % 2).astype(float), np.nan),
        "seed": number % SEEDS,
        "status": np.where(diverged, "diverged", "finished"),
        "final_step": pa.array(np.full(n, 100_000), mask=diverged),
        "final_frechet_distance": curves[:, -1],
        "best_step": pa.array((np.argmin(curves, axis=1) + 1) * 20_000, mask=diverged),
        "best_frechet_distance": curves.min(axis=1),
        "dataset_sha256": named([f"{i}" * 64 for i in range(len(DATASETS))], dataset),
        "started_at": when,
        "finished_at": when + np.timedelta64(3600, "s"),
        "training_seconds": 3000 * np.exp(0.2 * rng.standard_normal(n)),
    }
    same = {"architecture": "sndcgan", "loss": "non_saturating", "options": "{}", "precision": "float32"}
    same |= {"discriminator_steps": 100_000, "width": 64, "batch_size": 64, "latent_dim": 128, "data_seed": 547}
    same |= {"extractor": "inception-v3-compat", "weights_sha256": "6" * 64, "n_real": 10_000, "n_fake": 10_000}
    same |= {"resize": "bilinear", "quantize": False, "split": "test", "dtype": "float64", "protocol_seed": 42}
    same |= {"source": "training", "resumptions": 0, "scoring_seconds": 60.0, "images_per_second": 2000.0}
    same |= {"host": "node", "device": "cpu", "study_version": "0.1.0", "code_revision": "0" * 12, "semantics": 1}
    same |= {"python": "3.11.7", "torch": "2.13.0"}
    write_table(folder, "trials", table(TRIALS, n, own, same))
    write_table(folder, "evaluations", evaluations(rng, ids, protocols, curves))
    members = {"context": named(DATASETS, dataset), "order": np.arange(n), "trial_id": ids}
    write_table(folder, "memberships", table(MEMBERSHIPS, n, members, {"space": "grid", "round": 0}))


def evaluations(rng: np.random.Generator, ids: list[str], protocols: Any, curves: Any) -> pa.Table:
    """Five checkpoints a trial; of a diverged one none."""
    kept = np.repeat(~np.isnan(curves[:, 0]), STEPS)
    n = int(kept.sum())
    score = curves.reshape(-1)[kept]
    sigmas = pa.ListArray.from_arrays(
        np.arange(0, n * LAYERS + 1, LAYERS, dtype=np.int32), rng.exponential(size=n * LAYERS)
    )
    own = {
        "trial_id": np.repeat(np.array(ids, dtype=object), STEPS)[kept],
        "protocol_id": np.repeat(protocols, STEPS)[kept],
        "discriminator_step": np.tile((np.arange(STEPS) + 1) * 20_000, len(ids))[kept],
        "frechet_distance": score,
        "kernel_distance": score * 1e-3 * np.exp(0.1 * rng.standard_normal(n)),
        **{name: rng.exponential(size=n) for name in DIAGNOSTICS if EVALUATIONS.field(name).type == pa.float64()},
        "sigmas": sigmas,
        "discriminator_loss": rng.exponential(size=n),
        "generator_loss": rng.exponential(size=n),
    }
    return table(EVALUATIONS, n, own, {"penalty": 0.0, "kernel_distance_std": 0.0})


def table(schema: pa.Schema, n: int, own: dict[str, Any], same: dict[str, Any]) -> pa.Table:
    """Columns that differ from row to row, those that do not, and empty ones."""
    columns = []
    for field in schema:
        if field.name in own:
            value = own[field.name]
            column = value if isinstance(value, pa.Array) else pa.array(value, from_pandas=True)
            columns.append(column.cast(field.type))
        elif field.name in same:
            columns.append(pa.repeat(pa.scalar(same[field.name], field.type), n))
        else:
            columns.append(pa.nulls(n, field.type))
    return pa.table(columns, schema=schema)


def timed(name: str, work: Callable[[], Any], each: bool) -> Any:
    """The result; prints how long it took."""
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    if each:
        print(f"    {time.perf_counter() - wall:7.2f} s {time.process_time() - busy:7.2f}  {name}", flush=True)
    return result


def everything(rows: Any, each: bool, draws: Path) -> None:
    """All figures and tables of the menus."""
    from analysis.figures import NotEnough, figures
    from analysis.figures.drawing.files import save

    for name, kind in figures().items():
        try:
            frames = timed(f"{name}: computed", lambda kind=kind: kind.compute(rows), each)
            words = kind.caption(rows, frames)
            figure = timed("    drawn", lambda kind=kind, frames=frames, words=words: kind.draw(frames, words), each)
            timed("    saved", lambda figure=figure, name=name: save(figure, draws / f"{name}.png"), each)
        except NotEnough as error:
            print(f"    {name}: {error}")
    for name, work in menu_of_tables(rows):
        try:
            timed(f"table {name}", work, each)
        except NotEnough as error:
            print(f"    {name}: {error}")


def menu_of_tables(rows: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The tables by name; none where there is no menu of them."""
    menu = getattr(importlib.import_module("analysis.tables"), "tables", None)
    for name, kind in menu().items() if menu else ():
        yield name, lambda kind=kind: kind.compute(rows)


def measure(folder: Path, each: bool, load_only: bool) -> None:
    """In this process, whose peak memory is then that of the work."""
    from analysis import load, select, top_fraction, top_table
    from analysis.rows.view import open_rows

    wall, busy = time.perf_counter(), time.process_time()
    if load_only:
        frame = timed("load", lambda: select(load(folder)), each)
        marked = timed("top_fraction", lambda: top_fraction(frame), each)
        timed("top_table", lambda: top_table(marked), each)
        n = len(frame)
    else:
        rows = timed("load", lambda: open_rows(folder), each)
        timed("scored", lambda: rows.scored, each)
        timed("checkpoints", lambda: rows.checkpoints, each)
        everything(rows, each, folder)
        n = len(rows.trials)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    print(f"{n:,} trials: {wall:.1f} s ({busy:.1f} of the processor), peak memory {peak:.2f} GiB")


def main() -> None:
    """Fill, and measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=1, choices=range(1, len(DATASETS) + 1))
    parser.add_argument("--each", action="store_true", help="print what each step takes")
    parser.add_argument("--load-only", action="store_true", help="load, and compute the table of the best")
    parser.add_argument("--folder", type=Path, help="of such rows; made where it is missing, and kept")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.folder, arguments.each, arguments.load_only)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        if not (folder / "trials.parquet").exists():
            fill(folder, arguments.trials, arguments.datasets)
        flags = [flag for flag, on in (("--each", arguments.each), ("--load-only", arguments.load_only)) if on]
        subprocess.run([sys.executable, __file__, "--measure", "--folder", str(folder), *flags], check=True)


if __name__ == "__main__":
    main()
