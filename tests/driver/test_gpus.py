"""Shares of a GPU through a real Ray, which is told of one GPU; the trials themselves are trained on the CPU."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import ray

from study.driver.resources import ResourceOptions, make_slots
from study.driver.scheduler import launch, ray_cluster
from study.driver.scheduler.work import FixedWork
from study.storage.tables import compact, read_table
from tests.driver.test_attempts import planned

pytestmark = pytest.mark.full


def on_the_cpu():  # type: ignore[no-untyped-def]
    """`execute_pack` for workers, on the CPU; leaves what Ray gave the worker, and when."""

    def run(tasks, context, device, *arguments, **how):  # type: ignore[no-untyped-def]
        import os
        import time

        import ray

        from study.worker.execute import execute_pack

        started = time.monotonic()
        yield from execute_pack(tasks, context, "cpu", *arguments, **how)
        gpus = ray.get_runtime_context().get_assigned_resources()["GPU"]
        given = f"{device} {gpus} {os.environ['CUDA_VISIBLE_DEVICES']} {started} {time.monotonic()}"
        (context.results / f"given-{tasks[0].trial.id}").write_text(given)

    return run


@pytest.mark.parametrize(("trials_per_gpu", "at_once"), [(None, 1), (2, 2)])
def test_trials_share_a_gpu_as_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials_per_gpu: int | None, at_once: int
) -> None:
    monkeypatch.setattr(ray, "init", partial(ray.init, num_gpus=1))
    todo = [planned(tmp_path, n_dis) for n_dis in (1, 2, 3, 4)]
    slots = make_slots(2, 1, ResourceOptions(trials_per_gpu=trials_per_gpu))
    assert slots.concurrent == at_once
    ended: Counter[str] = Counter()
    with ray_cluster.connected(None):
        launch.launch(
            FixedWork([(one,) for one in todo]),
            slots,
            lambda one, _: ended.update([one.trial.id]),
            say=pytest.fail,
            run=on_the_cpu(),
        )
    assert ended == {one.trial.id: 1 for one in todo}
    results = todo[0].context.results
    compact(results)
    assert set(read_table(results, "trials")["status"].to_pylist()) == {"finished"}
    times = []
    for one in todo:
        device, gpus, visible, start, end = (results / f"given-{one.trial.id}").read_text().split()
        assert (device, float(gpus), visible) == ("cuda", 1 / at_once, "0")
        times += [(float(start), 1), (float(end), -1)]
    running = [sum(change for _, change in sorted(times)[: i + 1]) for i in range(len(times))]
    assert max(running) == at_once
