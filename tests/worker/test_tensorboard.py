"""What TensorBoard is told, read as TensorBoard reads it, against what stands in the rows."""

import os
import signal
import sys
import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import study.training.loop
import study.worker.resume
from study.core.trial import Hyperparameters, Method
from study.driver.planning.plan import plan_trial
from study.storage.files import list_files, parse_location, read
from study.storage.parts import part_path, read_part
from study.storage.tables import read_table
from study.worker.execute import execute, execute_pack
from study.worker.snapshot import Snapshot
from study.worker.tensorboard import EventFiles, run_folder
from study.worker.trial_run import Task
from tests.conftest import study_process
from tests.requests import make_request

STEPS, EVERY, CHECK = 9, 4, 2
"""Checkpoints at 4, 8 and 9; states also at 2 and 6."""
SCORE = "scores/frechet_distance"


class Killed(BaseException):
    """What no code catches, as a signal."""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """States are written wherever they can be."""
    monkeypatch.setattr(study.training.loop, "CHECK_EVERY", CHECK)
    monkeypatch.setattr(study.worker.resume, "SAVE_EVERY", -1.0)


def plan(folder, rate=1e-3, **method):
    asked = {"data_dir": folder / "data", "results": folder / "results", "n_real": 64, "n_fake": 64}
    request = make_request(datasets=["digits"], discriminator_steps=STEPS, logger="tensorboard", **asked)
    weight = 1.0 if "penalty" in method else None
    numbers = Hyperparameters(learning_rate=rate, beta1=0.5, beta2=0.9, n_dis=2, penalty_weight=weight)
    planned = plan_trial(request, Method(architecture="sndcgan", **method), numbers, 0)
    return planned.trial, replace(planned.context, checkpoint_every=EVERY)


def told(folder):
    """All points of a run by tag, as (step, value); those that TensorBoard would drop as repeated, too."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    return {tag: [(each.step, each.value) for each in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def told_of(trial, context):
    return told(run_folder(context.results, trial, context.protocol.id))


def assert_tells(points, rows):
    """That points are the numbers of rows of evaluations.parquet, each once and in order."""
    names = {tag: tag.split("/")[1] for tag in points if not tag.startswith("seconds/")}
    assert {SCORE, "losses/discriminator_loss", "losses/penalty", "diagnostics/sigma_product"} <= names.keys()
    for tag, name in names.items():
        wanted = [(row["discriminator_step"], float(np.float32(row[name]))) for row in rows if row[name] is not None]
        assert points[tag] == wanted, tag


def evaluations(trial, context):
    return read_part(part_path(context.results, trial.id, context.protocol.id))[1]


@pytest.mark.full
def test_each_trial_of_a_pack_is_a_run(tmp_path):
    (first, context), (second, _), (third, _) = (plan(tmp_path, rate) for rate in (1e-3, 5e-4, 1e-4))
    tasks = [Task(trial=trial, place=place) for place, trial in enumerate((first, second, third))]
    assert len(list(execute_pack(tasks, context, slots=3))) == 3
    for trial in (first, second, third):
        points = told_of(trial, context)
        assert_tells(points, evaluations(trial, context))
        assert [step for step, _ in points["seconds/training"]] == [4, 8, 9]
    assert told_of(first, context)[SCORE] != told_of(second, context)[SCORE]
    names = [path.name for path in (context.results / "tensorboard" / "digits" / "none").iterdir()]
    assert f"lr=0.0005,beta1=0.5,beta2=0.9,n_dis=2,seed=0,{second.id}-{context.protocol.id}" in names


@pytest.mark.full
@pytest.mark.parametrize("killed_at", [4, 8, 9])
def test_an_interrupted_trial_is_told_once(tmp_path, killed_at):
    """Its last checkpoint was told of, and its state not written: it comes there twice."""
    trial, context = plan(tmp_path)

    def kill(checkpoint, _):
        if checkpoint.evaluation.discriminator_step == killed_at:
            raise Killed

    with pytest.raises(Killed):
        execute(trial, context, on_checkpoint=kill)
    assert told_of(trial, context)[SCORE][-1][0] == killed_at
    assert execute(trial, context).status == "finished"
    assert_tells(told_of(trial, context), evaluations(trial, context))
    assert [step for step, _ in told_of(trial, context)["seconds/scoring"]] == [4, 8, 9]


@pytest.mark.full
def test_what_is_told_follows_where_the_trial_goes_on(tmp_path):
    """On object storage as on a disk: nothing stays of what is beyond, and what lacks is told, without seconds."""
    trial, context = plan(tmp_path, penalty="dragan", options=(("dragan_noise", "gaussian"),))
    kept = []
    execute(trial, context, on_checkpoint=lambda checkpoint, so_far: kept.append((checkpoint, so_far)))
    for results in (tmp_path / "other", parse_location("memory://events")):
        there = replace(context, results=results)
        run, copy = run_folder(results, trial, context.protocol.id), tmp_path / "copy" / results.name

        def now(run=run, copy=copy):
            copy.mkdir(parents=True, exist_ok=True)
            for path in copy.iterdir():
                path.unlink()
            for path in list_files(run, "*"):
                (copy / path.name).write_bytes(read(path))
            return told(copy)

        events = EventFiles(trial, there, pytest.fail)
        events.begin(Snapshot(trial, context.conditions))
        assert now() == {}
        assert len(list_files(run, "*")) == 1, "the settings, before the first step"
        for checkpoint, _ in kept:
            events.add(checkpoint)
        assert_tells(now(), evaluations(trial, context))
        assert now() == told_of(trial, context)
        events.begin(kept[0][1])
        assert [step for step, _ in now()[SCORE]] == [step for step, _ in now()["seconds/training"]] == [4]
        events.begin(kept[2][1])
        assert_tells(now(), evaluations(trial, context))
        assert [step for step, _ in now()["seconds/training"]] == [4]


def test_the_settings_are_in_the_table_of_hyperparameters(tmp_path):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    trial, context = plan(tmp_path, penalty="dragan")
    EventFiles(trial, context, pytest.fail).begin(Snapshot(trial, context.conditions))
    reader = EventAccumulator(str(run_folder(context.results, trial, context.protocol.id))).Reload()
    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["method"].string_value == "dragan" and settings["dataset"].string_value == "digits"
    assert settings["learning_rate"].number_value == 1e-3 and settings["penalty_weight"].number_value == 1.0


@pytest.mark.full
def test_a_trial_goes_on_where_nothing_can_be_told(tmp_path):
    trial, context = plan(tmp_path)
    context.results.mkdir()
    (context.results / "tensorboard").write_text("in the way")
    lines = []
    assert execute(trial, context, say=lines.append).status == "finished"
    (line,) = lines
    assert line.startswith("training continues, but TensorBoard files cannot be written (")


def test_a_logger_that_is_not_there_is_one_line_before_anything_runs(study, tmp_path, monkeypatch):
    for command in ("run", "bo"):
        answer = study(command, "--logger", "tensorbord", "--results", tmp_path / "r", *(["grid"] * (command == "run")))
        assert (answer.code, answer.err.count("\n"), "mean tensorboard" in answer.err) == (2, 1, True), answer
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    answer = study("run", "grid", "--logger", "tensorboard", "--results", tmp_path / "r")
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer
    assert "pip install 'gan-study[tensorboard]'" in answer.err
    assert not (tmp_path / "r").exists()


def finish(*arguments):
    process = study_process(*arguments)
    _, err = process.communicate(timeout=500)
    assert process.returncode == 0, err


def assert_told(results):
    """That each trial of a results folder is a run that tells its rows."""
    rows = defaultdict(list)
    for row in read_table(results, "evaluations").sort_by("discriminator_step").to_pylist():
        rows[row["trial_id"]].append(row)
    runs = {path.name.split(",")[-1].split("-")[0]: path for path in (results / "tensorboard").glob("*/*/*")}
    assert runs.keys() == rows.keys() and rows
    for trial_id, run in runs.items():
        assert_tells(told(run), rows[trial_id])


SMALL = ("--methods", "none", "--logger", "tensorboard", "--n-real", "64", "--n-fake", "64")


@pytest.mark.full
def test_a_study_on_ray_tells_each_trial(tmp_path):
    """Packs and trials alone, in workers that are used again."""
    finish("run", "grid", *SMALL, "--settings", "4", "--discriminator-steps", "4", "--results", tmp_path)
    assert_told(tmp_path)


@pytest.mark.full
def test_a_search_that_stops_trials_early_tells_each(tmp_path):
    options = (
        "--rounds",
        "1",
        "--trials-per-round",
        "4",
        "--n-dis",
        "1",
        "--discriminator-steps",
        "50",
        "--stop-early",
    )
    finish("bo", *SMALL, *options, "--sampler", "random", "--results", tmp_path)
    assert_told(tmp_path)


@pytest.mark.slow
def test_kill_9_and_the_next_run_tell_each_point_once(tmp_path):
    options = (*SMALL, "--settings", "4", "--discriminator-steps", "300", "--results", tmp_path)
    process = study_process("run", "grid", *options)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("unfinished/[!.]*.pt")):
        assert time.monotonic() < deadline, "the study makes no progress"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    finish("run", "grid", *options)
    assert sum(row["resumptions"] for row in read_table(tmp_path, "trials").to_pylist()) > 0
    assert_told(tmp_path)
