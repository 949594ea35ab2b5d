"""Published studies are what their commands make, and what is shown of them is what their rows say."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.storage.memberships import memberships
from study.storage.tables import read_table

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "results" / "published").iterdir())
RUNS = [
    pytest.param(folder, line, id=f"{folder.name}: {line.partition(' --')[0]}")
    for folder in PUBLISHED
    for line in (folder / "study.sh").read_text().splitlines()
    if line.startswith("study ") and line.split()[2] != "seeds"
]
"""Those that ask for the same whatever the rows are; the space `seeds` is chosen from them."""


def bash(script, *arguments, cwd):
    """Runs a script of a published study with this environment's `study`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script, "bash", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture
def its_semantics(folder, monkeypatch):
    """Trials have the ids of the release that trained the study."""
    (number,) = set(read_table(folder, "trials").column("semantics").to_pylist())
    monkeypatch.setattr("study.core.trial.SEMANTICS", number)


@pytest.mark.usefixtures("its_semantics")
@pytest.mark.parametrize(("folder", "line"), RUNS)
def test_the_rows_are_all_that_a_command_asks_for(folder, line, tmp_path, monkeypatch, study):
    asked = next(each for each in (folder / "study.sh").read_text().splitlines() if each.startswith("asked="))
    words = bash(f"set -e; study() {{ printf '%s\\n' \"$@\"; }}; folder=$1\n{asked}\n{line}", folder, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    answer = study(*words.splitlines(), "--data-dir", tmp_path, "--dry-run")
    assert answer.code == 0, answer.err
    assert ", 0 to run" in answer.out.splitlines()[0]


@pytest.mark.usefixtures("its_semantics")
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_every_row_says_whose_it_is(folder):
    """Each trial stands in a space, whose definition of it has its id."""
    from study.core.trial import Trial

    member = {row["trial_id"]: row for row in read_table(folder, "memberships").to_pylist()}
    trials = read_table(folder, "trials").to_pylist()
    assert trials and {row["trial_id"] for row in trials} == set(member)
    assert all(row["status"] in ("finished", "diverged") for row in trials)
    assert all(Trial.from_dict(json.loads(row["trial"])).id == trial_id for trial_id, row in member.items())
    assert memberships(folder, "regularization", trials[0]["dataset"])


@pytest.mark.slow
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_what_is_shown_is_made_again_to_the_byte(folder, tmp_path):
    again = tmp_path / "results" / "published" / folder.name
    shutil.copytree(folder, again, ignore=shutil.ignore_patterns("figures", "report"))
    bash("bash $1/show.sh", again.relative_to(tmp_path), cwd=tmp_path)
    shown = [path.relative_to(folder) for part in ("figures", "report") for path in (folder / part).rglob("*.*")]
    assert shown and filecmp.cmpfiles(folder, again, map(str, shown), shallow=False)[1:] == ([], [])
