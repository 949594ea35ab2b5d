"""What `study selfcheck` does on a GPU, on one that computes nothing: all but the comparison of numbers."""

from itertools import product

import pytest

from study.training.device import precisions
from study.training.selfcheck.pack import CYCLES, Pack
from study.training.selfcheck.step import PACKS, SIZES, cases, runs_as_intended

pytestmark = pytest.mark.fakegpu
fake_gpu = pytest.importorskip("tests.gpu_without_gpu.fake_gpu")


def test_every_precision_of_a_gpu_is_checked() -> None:
    with fake_gpu.fake_gpu():
        found = [(case.architecture, case.precision, case.pack) for case in cases("cuda", short=False)]
        assert sorted(found) == sorted(product(SIZES, precisions("cuda"), PACKS))
        assert precisions("cuda") == ["float32", "tf32", "bfloat16"]


@pytest.mark.parametrize("index", range(len(PACKS)), ids=PACKS)
def test_a_case_is_recorded_and_reaches_its_end(index: int) -> None:
    with fake_gpu.fake_gpu() as log:
        pack = Pack(cases("cuda", short=True)[index])
        ends, _ = pack.trained
        assert runs_as_intended(pack).text == "compiled by inductor, recorded as a CUDA graph"
        assert log.launches["replay"] == CYCLES
        assert [end.step for end in ends] == [CYCLES * pack.case.n_dis] * pack.case.pack
        assert not log.mixed
