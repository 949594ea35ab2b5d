"""Shell completion, in a real bash: the shell calls the function that the command line gives it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces import spaces
from study.data import built_in

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last of some words, after a command line that starts with `study`."""
    script = tmp_path / "study"
    script.write_text(f"#!{sys.executable}\nfrom study.cli.main import main\nmain()\n")
    script.chmod(0o755)
    line = " ".join(f"'{word}'" for word in ("study", *words))
    bash = f"""
        eval "$(_STUDY_COMPLETE=source_bash study)"
        COMP_WORDS=({line}); COMP_CWORD={len(words)}
        _study_completion study
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "STUDY_DATA": str(tmp_path / "data")}
    done = subprocess.run(["bash", "-c", bash], env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_a_search_space(tmp_path: Path) -> None:
    assert completed(tmp_path, "run", "gr") == ["grid"]
    assert sorted(completed(tmp_path, "run", "")) == sorted(spaces())


def test_a_dataset(tmp_path: Path) -> None:
    assert sorted(completed(tmp_path, "run", "grid", "--dataset", "")) == sorted(built_in())
    assert completed(tmp_path, "run", "grid", "--dataset", "digits,cif") == ["digits,cifar10"]


@pytest.mark.parametrize(
    ("option", "values"),
    [("--precision", ["float32", "tf32", "bfloat16"]), ("--keep", ["none", "best", "all"])],
)
def test_values_of_an_option(tmp_path: Path, option: str, values: list[str]) -> None:
    assert completed(tmp_path, "run", "grid", option, "") == values


def test_an_option(tmp_path: Path) -> None:
    assert completed(tmp_path, "run", "grid", "--wid") == ["--width"]
