"""Preparations killed at random moments: what is served is whole, and the next one ends as if nothing had been."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import study
from study import data

from .pictures import mixed_folder

ROOT = Path(study.__file__).parent.parent


@pytest.mark.slow
def test_killed_anywhere_then_run_again_gives_the_undisturbed_hash(tmp_path):
    mixed_folder(tmp_path / "mixed", 1500)
    options = {"resolution": 64, "fit": "pad"}
    clean = data.prepare("mine", tmp_path / "mixed", tmp_path / "clean", **options)
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "study", "data", "prepare", "mine", "--source", tmp_path / "mixed"]
    command += ["--resolution", "64", "--fit", "pad", "--data-dir", folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    def start():
        return subprocess.Popen(
            list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    began = time.monotonic()
    assert start().wait() == 0
    whole = time.monotonic() - began
    rng, killed, states = random.Random(0), 0, set()
    for _ in range(25):
        data_left = folder / "mine"
        for path in sorted(data_left.glob("*")) if rng.random() < 0.7 else []:
            path.unlink()
        if data_left.is_dir() and not any(data_left.iterdir()):
            data_left.rmdir()
        process = start()
        time.sleep(rng.uniform(0.2, 1.05) * whole)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        if "mine" in data.all_datasets(folder):
            assert data.verify("mine", folder).sha256 == clean.manifest["sha256"]
            states.add("whole")
        else:
            assert not (folder / "mine").exists()
            states.add("partial" if (folder / ".mine.partial").exists() else "nothing")
    assert killed > 10 and states > {"partial"}, (killed, states)
    assert start().wait() == 0
    assert data.verify("mine", folder).sha256 == clean.manifest["sha256"]
    assert [path.name for path in folder.iterdir()] == ["mine"]
