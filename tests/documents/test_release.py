"""What is released: a wheel with all that a study needs and nothing else, which works where nothing is installed."""

import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = ("study", "search_spaces", "analysis")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    return Path(path)


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("gan_study-")}
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert inside == set(tracked.split())
    assert {
        "analysis/paper/figure1.csv",
        "study/driver/planning/packs.csv",
        *(f"{name}/py.typed" for name in PACKAGES),
    } <= inside


def test_the_source_archive_builds_the_same_wheel(wheel, tmp_path):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    (again,) = WheelBuilder(str(source)).build(directory=str(tmp_path / "wheel"))
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_one_version():
    """Of the package and of what cites it, deploys it or tells what has changed."""
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version("gan-study")
    deployed = "".join(path.read_text() for path in sorted((ROOT / "cluster").rglob("*")) if path.is_file())
    assert set(re.findall(r"gan-study:([0-9.]+[0-9])", deployed)) == {version("gan-study")}


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "Apache-2.0"
    assert {"message", "title", "authors"} <= set(citation)
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Kurach", "Lucic", "Zhai", "Michalski", "Gelly"]


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    """As `python -m build` makes it: with the tested versions, from the package index, away from the sources."""

    def run(*command, cwd=tmp_path):
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    started = time.monotonic()
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    built = time.monotonic()
    run(sys.executable, "-m", "venv", "empty")
    run("empty/bin/pip", "install", "-c", ROOT / "constraints.txt", wheel)
    installed = time.monotonic()
    run("empty/bin/study", "run", "smoke")
    run("empty/bin/study", "report")
    ended = time.monotonic()
    assert pq.read_table(tmp_path / "results" / "trials.parquet")["status"].to_pylist() == ["finished"] * 4
    assert (tmp_path / "results" / "report" / "index.html").stat().st_size > 100_000
    size = run("du", "-sm", "empty").split()[0]
    print(
        f"\nwheel {wheel.stat().st_size / 1e6:.2f} MB, sources {archive.stat().st_size / 1e6:.2f} MB, built in"
        f" {built - started:.0f} s; installed in {installed - built:.0f} s, {size} MB with all it needs; smoke and"
        f" report {ended - installed:.0f} s"
    )
