"""A small study of each release is read by this one. A new release adds its own (this folder's README says how)."""

import shutil
from pathlib import Path

import pytest

from study.storage.tables import read_table

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if path.name[0].isdigit())
AGAIN = ("--discriminator-steps", 20, "--dry-run")


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def folder(request, tmp_path):
    """A copy of the results folder of a release."""
    return shutil.copytree(request.param, tmp_path / "results")


@pytest.fixture
def answer(study, folder):
    """The output of a command on the folder; it must succeed."""

    def run(*arguments):
        answer = study(*arguments, "--results", folder)
        assert answer.code == 0, answer.err
        return answer.out

    return run


def test_its_rows_are_shown(answer):
    assert "grid on digits: 2 finished, 0 to run" in answer("status")
    assert "134.15" in answer("table", "best", "--space", "grid")
    assert "131.00" in answer("table", "best", "--space", "mine")
    assert "W/O, n_dis 1  115.08  41.58" in answer("table", "searches")
    assert "C1 " in answer("claims")


def test_its_trials_are_others_than_those_of_today(answer, folder):
    """Where training means something else now, all is trained again, beside the old rows."""
    (semantics,) = set(read_table(folder, "trials").column("semantics").to_pylist())
    done = ("0 done, 2 to run", "0 done, 4 to run") if semantics == 1 else ("2 done, 0 to run", "4 done, 0 to run")
    assert done[0] in answer("run", "grid", "--methods", "none,spectral_norm+gradient_penalty", "--settings", 1, *AGAIN)
    search = ("--methods", "none", "--rounds", 2, "--trials-per-round", 2, "--n-dis", 1)
    assert done[1] in answer("bo", *search, *AGAIN)
    assert "4       4" in answer("plan", "bo", *search, *AGAIN[:2])


def test_its_generators_are_scored(answer, folder):
    (path,) = folder.glob("states/*/*/generator.pt")
    assert path.parent.name in answer("evaluate", "--all", "--metrics", "none", "--n-fake", 50, "--n-real", 50)
    (row,) = [row for row in read_table(folder, "trials").to_pylist() if row["n_fake"] == 50]
    assert (row["trial_id"], row["status"]) == (path.parent.name, "finished")
