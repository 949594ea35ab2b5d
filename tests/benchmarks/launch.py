"""What it costs to hand out a trial: no-op trials through `study.driver.scheduler.launch`, with compaction.

    python tests/benchmarks/launch.py --trials 2000

Prints seconds per trial end to end, the driver's peak memory, and how the last quarter compares with the first.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from study.cli.session import compacting
from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.driver.planning.planned import Planned
from study.driver.resources import local_resources, make_slots
from study.driver.scheduler import launch, ray_cluster
from study.driver.scheduler.work import FixedWork
from study.storage.lock import locked
from study.storage.tables import compact, read_table
from tests.requests import make_request


def trials(folder: Path, count: int) -> list[Planned]:
    """Trials that differ in their seed."""
    request = make_request(datasets=["digits"], discriminator_steps=4, results=folder, data_dir=folder / "data")
    hyperparameters = Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1)
    one = plan_trial(request, Method(architecture="sndcgan"), hyperparameters, 0)
    return [replace(one, trial=replace(one.trial, seed=seed)) for seed in range(count)]


def no_op() -> Any:
    """What a worker does instead of training: it writes a part, as a real trial does."""

    def run(tasks: Any, context: Any, device: str, *_: Any, **how: Any) -> Any:
        from study.core.evaluation import Evaluation
        from study.storage.parts import write_part
        from study.worker.outcome import Outcome
        from study.worker.record import make_record

        (trial,) = (task.trial for task in tasks)
        evaluation = Evaluation(
            trial_id=trial.id,
            discriminator_step=trial.training.discriminator_steps,
            protocol_id=context.protocol.id,
            frechet_distance=1.0,
            discriminator_loss=1.0,
            generator_loss=1.0,
            penalty=0.0,
        )
        started = "2026-01-01T00:00:00+00:00"
        record = make_record(context, "finished", None, started=started, device=device, position=None, trial=trial)
        write_part(context.results, trial, context.protocol, record, [evaluation])
        told = {"trial_id": trial.id, "dataset": trial.dataset, "method": trial.method.name}
        yield Outcome(**told, status="finished", reason=None, best_frechet_distance=1.0, seconds=0.0)

    return run


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    count = parser.parse_args().trials
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as name, ray_cluster.connected(None), locked(Path(name)) as claim:
        folder = Path(name)
        todo = trials(folder, count)
        slots = make_slots(*local_resources())
        add = compacting(folder, claim, lambda *_: ends.append(time.perf_counter()), print)
        begun = time.perf_counter()
        launch.launch(FixedWork([(one,) for one in todo]), slots, add, run=no_op())
        compact(folder)
        seconds = time.perf_counter() - begun
        assert len(read_table(folder, "trials")) == count
    quarter = max(2, count // 4)
    first, last = ends[quarter - 1] - ends[0], ends[-1] - ends[-quarter]
    print(f"{count} trials on {slots.concurrent} cores: {seconds / count:.4f} s each end to end")
    print(f"the driver's peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print(f"last {quarter} / first {quarter}: {last / first:.2f}")


if __name__ == "__main__":
    main()
