"""The notebooks, and the examples of the library's page, run on a small study made by the real commands."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "analysis" / "notebooks").glob("*.ipynb"))
PAGE = ROOT / "analysis" / "README.md"
SHORT = ("--discriminator-steps", "20", "--n-real", "100", "--n-fake", "100", "--metrics", "kid,is")
COMMANDS = (
    ("run", "grid", "--methods", "none,spectral_norm,gradient_penalty", "--settings", "2", "--seeds", "3", *SHORT),
    ("bo", "--rounds", "1", "--trials-per-round", "2", "--methods", "spectral_norm", "--n-dis", "1", *SHORT),
)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks") / "results"
    for command in COMMANDS:
        run = [sys.executable, "-m", "study", *command, "--results", str(folder)]
        subprocess.run(run, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return folder / "trials.parquet"


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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


def test_the_examples_of_the_page_run(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parquet.parents[1])
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
