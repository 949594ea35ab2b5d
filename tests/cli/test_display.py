"""What a person sees while a study runs."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import search_spaces
from study.cli.run.live import ProgressDisplay
from study.cli.terminal import plan_lines
from study.core.text import duration
from study.driver.cost.estimate import estimate
from study.driver.planning.plan import make_plan
from study.driver.resources import Slots
from study.worker.image_grid import fixed_latents, save_grid
from study.worker.outcome import Outcome
from tests.requests import make_request


@pytest.fixture
def planned(tmp_path: Path) -> list:
    request = make_request(
        datasets=["digits"], results=tmp_path / "results", data_dir=tmp_path, methods="none,l2", settings=2
    )
    return make_plan(request, search_spaces.get("grid"))


def outcome(planned, index: int, status: str = "finished", score: float | None = 12.5) -> Outcome:
    trial = planned[index].trial
    return Outcome(
        trial_id=trial.id,
        dataset=trial.dataset,
        method=trial.method.name,
        status=status,
        reason=None if status == "finished" else "a loss is not finite at step 7",
        best_frechet_distance=score,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (8.4, "8 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (7300, "2 h 1 min"),
        (200_000, "2 d 7 h"),
        (1e8, "1,157 d 9 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_plan_names_methods_counts_and_time(planned) -> None:
    slots = Slots(concurrent=2, gpus_per_trial=0)
    estimated = estimate(planned, planned[1:], planned[0].context.results, slots)
    lines = plan_lines("grid", planned, estimated)
    assert lines[0] == "grid on digits: 4 trials, 1 done, 3 to run"
    assert "  none         2       1" in lines
    assert "  l2           2       2" in lines
    assert lines[-1] == f"about {duration(estimated.seconds)} on 2 CPU cores, from counted operations"


def test_without_a_terminal_lines_tell_of_trouble_at_once_and_of_the_end(planned, capsys) -> None:
    with ProgressDisplay.for_trials(planned) as watch:
        watch.add(planned[0], outcome(planned, 0))
        assert capsys.readouterr().out == ""
        watch.add(planned[1], outcome(planned, 1, "diverged", None))
        assert capsys.readouterr().out == f"none {planned[1].trial.id}: diverged, a loss is not finite at step 7\n"
        watch.add(planned[2], outcome(planned, 2, score=9.25))
        watch.add(planned[3], outcome(planned, 3))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("4/4 trials, best FD (classifier) 9.25 (l2), 1 diverged, 0 s so far")


def test_a_line_is_told_at_the_end_of_a_pack_and_not_amid_it(planned, capsys, monkeypatch) -> None:
    monkeypatch.setattr("study.cli.run.live.LINE_EVERY", 0.0)
    pack = tuple(one.trial.id for one in planned[:3])
    planned = [replace(one, pack=pack) for one in planned[:3]] + planned[3:]
    with ProgressDisplay.for_trials(planned) as watch:
        for index, line in enumerate(["", "", "3/4 trials", "4/4 trials"]):
            watch.add(planned[index], outcome(planned, index))
            assert capsys.readouterr().out.partition(",")[0] == line


def test_a_trial_that_left_its_pack_is_told_of_by_itself(planned, capsys, monkeypatch) -> None:
    monkeypatch.setattr("study.cli.run.live.LINE_EVERY", 0.0)
    pack = tuple(one.trial.id for one in planned)
    with ProgressDisplay.for_trials([replace(one, pack=pack) for one in planned]) as watch:
        watch.add(planned[0], outcome(planned, 0))
    assert capsys.readouterr().out.startswith("1/4 trials")


def test_the_live_display_counts_by_method(planned) -> None:
    watch = ProgressDisplay.for_trials(planned)
    watch.add(planned[0], outcome(planned, 0))
    watch.add(planned[1], outcome(planned, 1, "diverged", None))
    screen = io.StringIO()
    Console(file=screen, width=100).print(watch._render())
    lines = screen.getvalue().splitlines()
    assert lines[0].split() == ["dataset", "method", "done", "best", "diverged", "failed"]
    assert lines[1].split() == ["digits", "none", "2/2", "12.50", "1", "0"]
    assert lines[2].split() == ["digits", "l2", "0/2", "-", "0", "0"]
    assert "2/4 trials" in lines[4]
    assert "left" in " ".join(lines[4:])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grid_shows_every_image_enlarged_and_in_order(tmp_path: Path, channels: int, mode: str) -> None:
    images = torch.linspace(0, 1, 5)[:, None, None, None].expand(5, channels, 8, 8)
    save_grid(tmp_path / "grid.png", images)
    picture = Image.open(tmp_path / "grid.png")
    pixels = np.asarray(picture).reshape(2 * 33 - 1, 3 * 33 - 1, channels)
    assert picture.mode == mode
    levels = [pixels[row * 33 : row * 33 + 32, column * 33 : column * 33 + 32] for row in (0, 1) for column in range(3)]
    assert [np.unique(level).tolist() for level in levels] == [[0], [64], [128], [191], [255], [255]]


def test_latents_of_a_grid_are_fixed_and_uniform() -> None:
    latents = fixed_latents(1000, 128)
    assert torch.equal(latents[:10], fixed_latents(10, 128))
    assert not torch.equal(latents[:10], fixed_latents(10, 128, seed=1))
    assert latents.min() < -0.999
    assert latents.max() > 0.999
    assert abs(latents.mean().item()) < 0.01
    assert abs(latents.var().item() - 1 / 3) < 0.01
