"""Disks that cannot be written, fill up, or are too small: one line, and nothing left behind."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import study
from study.core.errors import InputError
from study.data import is_ready, prepare

NAME = "celeba-hq-128"
N = 20


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(N):
        pixels = np.random.default_rng(i).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.png", compress_level=1)
    return folder


def refused(message):
    """Expects an InputError of one line."""
    return pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$")


def test_a_data_dir_that_cannot_be_written(tmp_path, source):
    (tmp_path / "file").write_text("x")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with refused(r"--data-dir .*: cannot be written \(.+\); .*\$STUDY_DATA"):
            prepare(NAME, source, data_dir)
        assert not is_ready(NAME, data_dir)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(tmp_path, source, monkeypatch):
    real_open = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r": real_open(Path("/dev/full") if path.name == "test.npy" else path, mode)
    )
    with refused(r"cannot be written \(No space left on device\)"):
        prepare(NAME, source, tmp_path)
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
from study.data import prepare
from study.core.errors import InputError
try:
    prepare(*sys.argv[1:])
except InputError as error:
    print(error)
"""


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path, source):
    root = Path(study.__file__).parent.parent
    command = [sys.executable, "-c", FULL, NAME, str(source), str(tmp_path)]
    said = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(r"--data-dir .*: cannot be written \(File too large\); make room there, or .*\n", said)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_known_before_anything_is_written(tmp_path, source, monkeypatch):
    monkeypatch.setattr(
        "study.data.prepared.shutil.disk_usage", lambda folder: SimpleNamespace(free=N * 3 * 128**2 - 1)
    )
    with refused(r"celeba-hq-128 needs 0.0 GB, 0.0 GB are free; make room"):
        prepare(NAME, source, tmp_path)
    assert list(tmp_path.iterdir()) == []
