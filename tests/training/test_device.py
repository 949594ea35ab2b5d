"""What a process sets before it trains."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from study.training.device import limit_memory, prepare_process


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process on a machine with a GPU, whose settings are undone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("CUBLAS_WORKSPACE_CONFIG", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    backend, threads = torch.backends.cudnn, torch.get_num_threads()
    before = backend.benchmark, backend.deterministic, torch.are_deterministic_algorithms_enabled()
    yield
    backend.benchmark, backend.deterministic = before[:2]
    torch.use_deterministic_algorithms(before[2])
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("deterministic", [False, True])
def test_convolutions_are_chosen_by_measuring_unless_results_are_to_repeat(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deterministic: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare_process(deterministic=deterministic)
    assert torch.backends.cudnn.benchmark is not deterministic
    assert torch.backends.cudnn.deterministic is deterministic
    assert torch.are_deterministic_algorithms_enabled() is deterministic


@pytest.mark.usefixtures("gpu")
def test_compiled_programs_are_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare_process(deterministic=False)
    assert Path(cache_dir()) == tmp_path / "gan-study" / "compiled"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "mine"))
    prepare_process(deterministic=False)
    assert Path(cache_dir()) == tmp_path / "mine"


@pytest.mark.usefixtures("gpu")
def test_without_a_place_for_them_training_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    prepare_process(deterministic=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-of-that-name/.cache")
    prepare_process(deterministic=False)


@pytest.mark.parametrize(("share", "limit"), [(0.25, 0.25), (1.0, 1.0), (2.0, 1.0)])
def test_a_process_may_use_its_share_of_the_memory(monkeypatch: pytest.MonkeyPatch, share: float, limit: float) -> None:
    limits: list[float] = []
    limit_memory(share)  # without a GPU nothing happens
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    limit_memory(share)
    assert limits == [limit]


MEMORY_OF_60_MB = """
import resource, sys, torch
from study.training.device import prepare_process

if sys.argv[1:]:
    prepare_process(deterministic=False)
vector = torch.zeros(15_000_000)
vector + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    vector + 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library has no such settings")
def test_arrays_use_again_what_was_freed() -> None:
    """Pages that the system gives for ten arrays of 60 MB, one after another."""
    faults = [
        int(subprocess.run([sys.executable, "-c", MEMORY_OF_60_MB, *kept], capture_output=True, check=True).stdout)
        for kept in ([], ["kept"])
    ]
    assert faults[1] < 1000 < faults[0]
