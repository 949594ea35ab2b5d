"""Decoding by several processes: the same pairs in the same order, few in memory, and none left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import study
from study.core.errors import InputError
from study.data import prepare
from study.data.dataset import ImageRecord
from study.data.decoding import parallel
from study.data.decoding.image import Target, decode_all
from study.data.decoding.parallel import CHUNK, decoded

from .pictures import mixed_folder, noise, png_bytes

TARGET = Target(64, 3, "pad")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Paths, bytes and arrays in turn, good and bad."""
    folder = tmp_path_factory.mktemp("images") / "mixed"
    mixed_folder(folder, 150)
    files = sorted(path for path in folder.iterdir() if path.suffix != ".txt")
    forms = (str, lambda path: path.read_bytes(), lambda path: noise((70, 64), len(path.name)))
    return [ImageRecord(path.name, forms[i % 3](path), i) for i, path in enumerate(files * 5)]


@pytest.mark.full
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_and_content_do_not_depend_on_the_processes(records, workers):
    expected = decode_all([(record.name, record.data) for record in records], TARGET)
    pairs = list(decoded(iter(records), len(records), TARGET, workers))
    assert len(pairs) == len(records) >= parallel.WORTHWHILE
    assert all(ours is theirs for (ours, _), theirs in zip(pairs, records, strict=True))
    assert [image for _, image in pairs] == expected
    assert {image.reason for image in expected} > {""}


@pytest.mark.full
def test_hash_and_manifest_do_not_depend_on_the_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "WORTHWHILE", 1)
    mixed_folder(tmp_path / "mixed", 90)
    made = [
        prepare("mixed", tmp_path / "mixed", tmp_path / f"data {n}", resolution=32, workers=n).manifest
        for n in (1, 2, 3)
    ]
    assert all({**one, "created": ""} == {**made[0], "created": ""} for one in made)


def test_few_images_are_read_ahead():
    given = 0

    def endless():
        nonlocal given
        for i in range(10_000):
            given += 1
            yield ImageRecord(str(i), noise((64, 64), 0))

    pairs = decoded(endless(), 10_000, TARGET, 2)
    for taken, _ in enumerate(pairs):
        assert given - taken <= 6 * CHUNK
        if taken == 500:
            break
    pairs.close()


def test_a_wrong_size_found_by_a_process_is_the_users_error():
    records = [ImageRecord(f"{i}", noise((64, 64) if i != 700 else (64, 65))) for i in range(1000)]
    with pytest.raises(InputError, match=r"^image 700: 64x65 pixels; must be 64x64"):
        list(decoded(records, 1000, Target(64, 3, "exact"), 2))


def test_a_process_that_dies_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(parallel, "serve", None)
    real = subprocess.Popen

    def dying(command, **options):
        return real([command[0], "-c", "import os, sys; sys.stdin.buffer.read(100); os._exit(9)"], **options)

    monkeypatch.setattr(parallel.subprocess, "Popen", dying)
    records = [ImageRecord(f"{i}", png_bytes(noise((64, 64)))) for i in range(600)]
    with pytest.raises(InputError, match=r"^image 0 or one of the next 31: the decoding process died \(exit code 9"):
        list(decoded(records, 600, TARGET, 2))


ORPHANS = """
import os, signal, sys
from study.data.dataset import ImageRecord
from study.data.decoding.image import Target
from study.data.decoding.parallel import decoded
import numpy as np
records = (ImageRecord(str(i), np.zeros((64, 64, 3), np.uint8)) for i in range(10_000))
for i, _ in enumerate(decoded(records, 10_000, Target(64, 3, "pad"), 3)):
    if i == 300:
        children = set()
        for thread in os.listdir("/proc/self/task"):
            children |= set(open(f"/proc/self/task/{thread}/children").read().split())
        print(*children, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_no_process_outlives_a_killed_one():
    root = Path(study.__file__).parent.parent
    killed = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=False, cwd=root)
    children = [int(number) for number in killed.stdout.split()]
    assert (killed.returncode, len(children)) == (-signal.SIGKILL, 3), killed.stderr
    deadline = time.monotonic() + 30
    while (left := [child for child in children if running(child)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def running(process):
    """Whether a process of this number decodes images; another may have got the number since."""
    try:
        return b"decoding import serve" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
