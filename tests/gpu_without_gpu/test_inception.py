"""Inception's forward pass on a GPU that computes nothing."""

from pathlib import Path
from unittest import mock

import pytest
import torch

from study.metrics.extractors import inception
from study.metrics.sample import collect
from tests.metrics.conftest import random_inception  # noqa: F401  a fixture

pytestmark = pytest.mark.fakegpu
fake_gpu = pytest.importorskip("tests.gpu_without_gpu.fake_gpu")


class Moved:
    """A module whose parameters are moved as tensors: `Module.to` cannot replace real ones by fake ones."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def to(self, device: str, memory_format: torch.memory_format) -> "Moved":
        self.values = {
            name: value.to(device, memory_format=memory_format if value.ndim == 4 else torch.contiguous_format)
            for name, value in self.module.named_parameters()
        }
        return self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = torch.func.functional_call(self.module, self.values, images)
        return features


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_of_many_batches_wait_three_times(
    random_inception: tuple[Path, torch.nn.Module],  # noqa: F811
    precision: str,
) -> None:
    """For whether all are finite, and for the mean and the scatter."""
    trunk, head = inception._network(random_inception[0], trusted=False)
    with fake_gpu.fake_gpu() as log, mock.patch.object(inception, "_network", return_value=(Moved(trunk), head)):
        extractor = inception.load(dataset="digits", data_dir=Path(), weights=random_inception[0], device="cuda")
        log.clear()
        batches = (torch.zeros(1, 10, 1, 32, 32, device="cuda") for _ in range(5))
        (statistics,) = collect(batches, extractor, precision, frozenset(), 0)
    assert statistics is not None
    assert statistics.moments.mean.shape == (2048,)
    assert log.mixed == {}
    assert log.syncs.total() == 3
