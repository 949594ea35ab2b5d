"""The notebooks, and the examples of the library's page, run on a small study."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from study.driver.planning.plan import make_plan
from study.driver.spaces.user_space import find
from study.storage.memberships import add_memberships
from study.storage.tables import compact
from study.worker.execute import execute
from tests.conftest import quick_only
from tests.requests import make_request

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "analysis" / "notebooks").glob("*.ipynb"))
PAGE = ROOT / "analysis" / "README.md"
QUICK = ("bayesian-against-grid",)
METHODS = "none,spectral_norm,gradient_penalty"


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid and a round of a search, trained in this process: Ray would take longer to start than they to train."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "results").mkdir()
    options = {"results": folder / "results", "data_dir": folder / "data", "metrics": "kid,is"}
    small = {"discriminator_steps": 4, "width": 4, "n_real": 100, "n_fake": 100}
    space = {"methods": METHODS, "settings": 2, "seeds": 3}
    grid = make_plan(make_request(datasets=["digits"], **options, **small, **space), find("grid"))
    of_spectral_norm = next(one for one in grid if one.trial.method.name == "spectral_norm")
    search = [with_learning_rate(of_spectral_norm, rate) for rate in (3e-4, 7e-4)]
    add_memberships(options["results"], "grid", "digits", [one.trial for one in grid])
    add_memberships(options["results"], "bo", "digits spectral_norm", [one.trial for one in search], round=1)
    for one in (*grid, *search):
        assert execute(one.trial, one.context).status == "finished"
    compact(options["results"])
    return options["results"] / "trials.parquet"


def with_learning_rate(planned: Any, rate: float) -> Any:
    hyperparameters = replace(planned.trial.hyperparameters, learning_rate=rate)
    return replace(planned, trial=replace(planned.trial, hyperparameters=hyperparameters))


def test_there_are_five_notebooks() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["ablations", "bayesian-against-grid", "budget", "claims", "top-five-percent"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_clean_and_defines_no_function(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 10
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            nodes = ast.walk(ast.parse(cell.source.replace("%matplotlib inline", "")))
            assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda) for node in nodes)
    assert json.dumps(notebook).count("trials.parquet") == 1


@pytest.mark.full
@pytest.mark.parametrize(
    "path", quick_only(NOTEBOOKS, [path for path in NOTEBOOKS if path.stem in QUICK]), ids=lambda path: path.stem
)
def test_a_notebook_runs_on_a_real_study(path: Path, parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_RESULTS", str(parquet))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not any(output.output_type == "error" for output in shown)
    assert any("text/html" in output.get("data", {}) for output in shown)
    if path.stem != "claims":  # whose answer is a table
        assert any("image/png" in output.get("data", {}) for output in shown)


@pytest.mark.full
def test_the_examples_of_the_page_run(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parquet.parents[1])
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
