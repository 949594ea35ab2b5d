"""results/README.md describes the tables to the letter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from study.storage.schema import DIVERGED, INCEPTION_SHA256, STATUSES, TABLES
from study.storage.tables import compact
from tests.storage.ended import write

README = Path(__file__).parents[2] / "results" / "README.md"


def documented(name):
    """(column, type) of the README's table for a parquet file, and its meanings."""
    _, _, section = README.read_text().partition(f"## {name}.parquet\n")
    table = section.partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| ([^|]+?) \| ([^|]+?) \|$", table, flags=re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_the_data_dictionary_is_the_schema(name):
    columns = documented(name)
    assert [column for column, _, _ in columns] == TABLES[name].names
    assert {column: kind for column, kind, _ in columns} == {field.name: str(field.type) for field in TABLES[name]}
    assert all(len(meaning) > 5 for _, _, meaning in columns)


def test_the_data_dictionary_names_the_weights_and_the_statuses():
    text = README.read_text()
    assert INCEPTION_SHA256 in text
    assert all(f"`{status}`" in text for status in STATUSES)


def test_the_example_of_the_data_dictionary_runs(tmp_path):
    write(tmp_path / "results")
    write(tmp_path / "results", 1, DIVERGED)
    compact(tmp_path / "results")
    codes = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (code,) = (code for code in codes if '"results/trials.parquet"' in code)
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "dragan" in run.stdout
