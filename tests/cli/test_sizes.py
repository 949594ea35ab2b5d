"""Width, batch size, latent dimension and the interval between checkpoints, as a person chooses them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.storage.tables import read_table
from tests.conftest import Answer

STEPS = 6
Study = Callable[..., Answer]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_table(folder, name).to_pylist()


@pytest.mark.full
@pytest.mark.usefixtures("one_thread")
def test_a_row_says_the_sizes_and_how_often_it_was_scored(study: Study, tmp_path: Path) -> None:
    sizes = {"width": 3, "batch_size": 5, "latent_dim": 7}
    options = [word for name, size in sizes.items() for word in (f"--{name.replace('_', '-')}", size)]
    how = ("--discriminator-steps", STEPS, "--n-fake", 16, "--n-real", 16)
    for every, folder in ((2, tmp_path / "two"), (STEPS, tmp_path / "six")):
        done = study("train", *options, *how, "--checkpoint-every", every, "--results", folder)
        assert done.code == 0, done.err
    two, six = ({row["trial_id"]: row for row in rows(tmp_path / name, "trials")} for name in ("two", "six"))
    (row,) = two.values()
    assert {name: row[name] for name in sizes} == sizes
    assert two.keys() == six.keys(), "how often a trial is scored is no part of it"
    steps = [[row["discriminator_step"] for row in rows(tmp_path / name, "evaluations")] for name in ("two", "six")]
    assert steps == [[2, 4, 6], [6]]
    plain = study("train", *how, "--results", tmp_path / "plain")
    assert plain.code == 0, plain.err
    assert rows(tmp_path / "plain", "trials")[0]["trial_id"] not in two, "the sizes are a part of it"


@pytest.mark.parametrize("command", ["run grid", "bo", "train", "plan grid", "bench"])
@pytest.mark.parametrize("option", ["--width", "--batch-size", "--latent-dim", "--checkpoint-every"])
def test_a_size_below_one_is_refused(study: Study, tmp_path: Path, command: str, option: str) -> None:
    folders = ["--data-dir", tmp_path] if command == "bench" else ["--results", tmp_path / "results"]
    answer = study(*command.split(), option, 0, *folders)
    assert (answer.code, answer.err) == (2, f"{option} 0: must be 1 or more.\n")
    assert not [*tmp_path.iterdir()]


def test_a_plan_of_wider_networks_takes_longer(study: Study, tmp_path: Path) -> None:
    where = ("--methods", "none", "--gpus", 1, "--results", tmp_path / "results", "--data-dir", tmp_path / "data")
    narrow, wide = (study("plan", "grid", *where, "--width", width) for width in (8, 64))
    assert narrow.code == wide.code == 0, wide.err
    assert narrow.out != wide.out
