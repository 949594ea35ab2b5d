"""A cycle of updates on a GPU that computes nothing: every kind of method, alone and packed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch.utils import _pytree as pytree

from study.gan.model import initial_state
from study.gan.program import INDUCTOR
from study.training.bench.cases import Case
from study.training.draws import draws
from study.training.lockstep import Lockstep, LossTally

pytestmark = pytest.mark.fakegpu
fake_gpu = pytest.importorskip("tests.gpu_without_gpu.fake_gpu")

NORMALIZATIONS = (None, "spectral_norm", "layer_norm", "batch_norm", "gradient_norm")
PENALTIES = (None, "gradient_penalty", "dragan")
LAUNCHES = Path(__file__).with_name("launches.json")
"""Operations that the graph of a cycle of two D updates launches without a compiler, by case; they may only get fewer:
`python tests/gpu_without_gpu/launches.py REPORT`, with the report of `run FOLDER --junitxml=REPORT`.
"""
OUTSIDE_OF_THE_GRAPH = 12
"""Launches per cycle, of which two are left for the gathering of the images."""
SIZES = {"sndcgan": 32, "dcgan": 32, "resnet_cifar": 32, "resnet19": 64}


def cases() -> Iterator[Case]:
    for architecture, resolution in SIZES.items():
        for normalization in NORMALIZATIONS:
            for penalty in PENALTIES:
                for precision in ("float32", "bfloat16"):
                    for pack in (1, 3):
                        yield Case(
                            architecture=architecture,
                            method="+".join(filter(None, (normalization, penalty))) or "none",
                            resolution=resolution,
                            width=8,
                            batch_size=8,
                            precision=precision,
                            pack=pack,
                            n_dis=2,
                            device="cuda",
                        )


@pytest.fixture(params=cases(), ids=lambda case: f"{case.architecture}-{case.method}-{case.precision}-{case.pack}")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


def inputs(case: Case, updates: int) -> list[torch.Tensor]:
    """As training has them: images that are there, draws that have been sent."""
    trials, shape = (
        [case.trial] * case.pack,
        torch.Size((case.batch_size, case.channels, case.resolution, case.resolution)),
    )
    return [torch.zeros(updates, *shape, device="cuda"), *draws(case.gan, trials, shape, range(1, 1 + updates), "cuda")]


def loaded(case: Case) -> Lockstep:
    """Slots that are filled with trials before their first step."""
    lockstep = Lockstep(case.gan, [case.trial] * case.pack, INDUCTOR, "cuda")
    state = pytree.tree_map(lambda tensor: tensor.to("cuda"), initial_state(case.gan, torch.Generator()))
    for slot in range(case.pack):
        lockstep.load(slot, state, LossTally.empty("cuda"))
    return lockstep


def test_cycles_are_replays_without_copies_of_the_state_or_waiting(
    case: Case, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    with fake_gpu.fake_gpu() as log, torch.no_grad():
        lockstep = loaded(case)
        lockstep.prepare(*inputs(case, case.n_dis))
        recorded = log.captured.total()
        assert recorded > 0 and lockstep.refused is None
        log.clear()
        for first in (1, 1 + case.n_dis):
            lockstep.run(first, case.n_dis, *inputs(case, case.n_dis))
        assert (log.syncs, log.mixed, log.launches["replay"]) == ({}, {}, 2)
        assert log.launches.total() / 2 <= OUTSIDE_OF_THE_GRAPH
        log.clear()
        lockstep.run(1 + 2 * case.n_dis, case.n_dis, *inputs(case, 2))  # not a whole cycle
        assert (log.syncs, log.mixed) == ({}, {})
        images = lockstep.sample(torch.zeros(16, case.latent_dim))
        assert images.shape == (case.pack, 16, case.channels, case.resolution, case.resolution)
        del lockstep
        assert fake_gpu.Graph.alive == 0
    record_property("launches", recorded)
    known = json.loads(LAUNCHES.read_text()) if LAUNCHES.exists() else {}
    assert recorded <= known.get(request.node.callspec.id, recorded)


def test_without_a_recording_the_compiled_updates_run_and_the_row_says_so() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("capture is not supported")

    case = Case(architecture="sndcgan", width=8, batch_size=8, n_dis=2, device="cuda")
    with fake_gpu.fake_gpu() as log, torch.no_grad(), mock.patch.object(torch.cuda, "graph", refuse):
        lockstep = loaded(case)
        lockstep.prepare(*inputs(case, 2))
        lockstep.run(1, 2, *inputs(case, 2))
        assert (lockstep.refused, log.launches["replay"]) == ("RuntimeError: capture is not supported", 0)
        assert lockstep.backend == "inductor without CUDA graph"
