"""`study selfcheck`: it passes where training works, and each check can fail without ending the others."""

import json
from functools import lru_cache
from types import SimpleNamespace

import pytest
import torch

import study.driver.selfcheck.checks
import study.driver.selfcheck.resume
import study.gan.program
import study.training.lockstep
import study.training.selfcheck.device
import study.training.selfcheck.step
from study.driver.selfcheck.checks import LIMITS, check_finished, survives_lack_of_memory
from study.gan.model import initial_state
from study.gan.program import programs
from study.gan.step import discriminator_step
from study.training.bench.measure import Speed
from study.training.draws import stream
from study.training.lockstep import Lockstep
from study.training.selfcheck.check import FAILED, OK, SKIPPED, Check, Failed, Finding, Skipped, results
from study.training.selfcheck.device import records_beside_pinning, speed, two_processes
from study.training.selfcheck.pack import Difference, Pack
from study.training.selfcheck.step import cases, equals_plain, same_bits, title
from study.worker.checkpoint import load_state
from tests.conftest import quick_only

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("equals the plain step", "runs as intended", "same bits again", "same bits if resumed", "memory")
"""The checks of one case, and the one that is made once."""


@pytest.fixture
def one_case(monkeypatch):
    """`--short` for one trial, without the check of memory, which takes as long again."""
    first = cases("cpu", short=True)[:1]
    monkeypatch.setattr(study.driver.selfcheck.checks, "cases", lambda *_, **__: first)
    monkeypatch.setattr(study.driver.selfcheck.checks, "survives_lack_of_memory", lambda *_: Finding("fine"))
    return first[0]


def stands_for_the_step(monkeypatch, step):
    """Programs are made of another step of D, and no other test gets these."""
    monkeypatch.setattr(study.gan.program, "discriminator_step", step)
    monkeypatch.setattr(study.training.lockstep, "programs", lru_cache(programs.__wrapped__))


def a_step_off(monkeypatch):
    """D learns by one hundredth more than it should."""

    def off(gan, state, settings, *batch):
        return discriminator_step(gan, state, settings._replace(learning_rate=1.01 * settings.learning_rate), *batch)

    stands_for_the_step(monkeypatch, off)


def a_loss_off(monkeypatch):
    """The loss of D is reported one hundredth too high."""

    def off(*arguments):
        state, metrics = discriminator_step(*arguments)
        return state, metrics._replace(loss=1.01 * metrics.loss)

    stands_for_the_step(monkeypatch, off)


def a_loss_not_finite(monkeypatch):
    def off(*arguments):
        state, metrics = discriminator_step(*arguments)
        return state, metrics._replace(loss=metrics.loss + float("nan"))

    stands_for_the_step(monkeypatch, off)


def a_compiler_that_refuses(monkeypatch):
    monkeypatch.setattr(Lockstep, "refused", "RuntimeError: no compiler here")


def a_start_that_differs(monkeypatch):
    """Each time that trials start, they start from other numbers."""
    seeds = iter(range(1, 1000))

    def lockstep(pack, starts, whole=Pack.lockstep):
        state = initial_state(pack.gan, stream(next(seeds), "initial", 0))
        return whole(pack, [start._replace(state=state) for start in starts])

    monkeypatch.setattr(Pack, "lockstep", lockstep)


def a_state_of_another_seed(monkeypatch):
    def load(path, **how):
        snapshot = load_state(path, **how)
        gan = Pack(cases("cpu", short=True)[0]).gan
        other = snapshot.reached._replace(state=initial_state(gan, stream(99, "initial", 0)))
        return snapshot._replace(position=other)

    monkeypatch.setattr(study.driver.selfcheck.resume, "load_state", load)


def a_full_disk(monkeypatch):
    def save(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study.driver.selfcheck.resume, "save_state", save)


FAULTS = {
    a_step_off: (KINDS[:1], "parameters of the discriminator: "),
    a_loss_off: (KINDS[:1], "losses: "),
    a_loss_not_finite: ((KINDS[0], *KINDS[2:4]), "losses: nan of at most"),
    a_compiler_that_refuses: (KINDS[1:2], "refused: RuntimeError: no compiler here"),
    a_start_that_differs: ((KINDS[0], *KINDS[2:4]), "tensors differ; "),
    a_state_of_another_seed: (KINDS[3:4], "tensors differ; "),
    a_full_disk: (KINDS[3:4], "OSError: [Errno 28] No space left on device"),
}


@pytest.mark.parametrize(
    "fault",
    quick_only(FAULTS, [a_compiler_that_refuses, a_state_of_another_seed, a_full_disk]),
    ids=lambda fault: fault.__name__,
)
def test_a_fault_is_a_line_that_says_failed_and_the_other_checks_run(study, one_case, fault, monkeypatch, tmp_path):
    fault(monkeypatch)
    wrong, said = FAULTS[fault]
    answer = study("selfcheck", "--device", "cpu", "--short", "--json", tmp_path / "checks.json")
    *lines, blank, last = answer.out.splitlines()
    assert (answer.code, blank, len(lines)) == (1, "", len(KINDS)), answer.out
    for line, kind in zip(lines, KINDS, strict=True):
        assert kind in line and line.startswith(FAILED if kind in wrong else OK), line
    assert any(said in line for line in lines if line.startswith(FAILED)), answer.out
    assert f": 5 checks, {5 - len(wrong)} passed, {len(wrong)} failed, in " in last
    content = json.loads((tmp_path / "checks.json").read_text())
    assert [row["status"] for row in content["checks"]].count(FAILED) == len(wrong)


def test_the_file_says_what_the_lines_say(study, one_case, tmp_path):
    answer = study("selfcheck", "--device", "cpu", "--short", "--json", tmp_path / "checks.json")
    *lines, _, last = answer.out.splitlines()
    assert answer.code == 0, answer.out
    content = json.loads((tmp_path / "checks.json").read_text())
    for row, line in zip(content["checks"], lines, strict=True):
        assert line.split(maxsplit=1)[0] == row["status"] == OK
        assert row["name"] in line and row["found"] in line and f"({row['seconds']:.1f} s)" in line
    assert content["summary"] == last
    assert content["short"] is True
    machine = content["machine"]
    assert (machine["torch"], machine["device"]) == (torch.__version__, "cpu")
    assert last.startswith(f"selfcheck of gan-study {machine['study_version']} on {machine['device_name']}, torch ")
    first = content["checks"][0]["figures"]
    assert first["size"] <= first["tolerance"] <= 1e-3


@pytest.mark.full
def test_the_short_checks_pass_on_this_machine(study):
    answer = study("selfcheck", "--device", "cpu", "--short")
    *lines, _, last = answer.out.splitlines()
    assert answer.code == 0, answer.out
    assert len(lines) == 9 and all(line.startswith(OK) for line in lines)
    assert ": 9 checks, 9 passed, in " in last


@pytest.mark.slow
def test_all_checks_pass_on_this_machine(study):
    answer = study("selfcheck", "--device", "cpu")
    assert answer.code == 0, answer.out
    assert ", 1 skipped, in " in answer.out.splitlines()[-1]
    for name in ("two processes", "through Ray", "speed of resnet19"):
        assert any(line.startswith(OK) and name in line for line in answer.out.splitlines()), answer.out


BAD = {
    ("--device", "gpu"): "--device gpu: must be cpu, cuda or cuda:N.",
    ("--device", "cuda"): "--device cuda: PyTorch finds no GPU on this machine; choose another device, such as cpu.",
    ("--device", "cuda:7"): "--device cuda:7: ",
    ("--json", "nowhere/checks.json"): "--json nowhere/checks.json: there is no folder nowhere; choose another file.",
    ("--json", "."): "--json .: is a folder; choose a file.",
    ("--shrot",): "--short",
}


@pytest.mark.parametrize("options", BAD, ids=" ".join)
def test_a_bad_option_is_one_line(study, options, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.chdir(tmp_path)
    answer = study("selfcheck", *options)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert BAD[options] in answer.err


def test_a_check_that_ends_in_any_way_is_a_result():
    def of(error):
        def run():
            raise error

        return run

    ends = {
        Check("fine", lambda: Finding("7 of 7", {"number": 7})): (OK, "7 of 7"),
        Check("wrong", of(Failed("6 of 7"))): (FAILED, "6 of 7"),
        Check("absent", of(Skipped("only on a GPU"))): (SKIPPED, "only on a GPU"),
        Check("broken", of(KeyError("x\ny"))): (FAILED, "KeyError: 'x\\ny'"),
    }
    assert [(each.name, each.status, each.found) for each in results(ends)] == [
        (check.name, *end) for check, end in ends.items()
    ]
    with pytest.raises(KeyboardInterrupt):
        list(results([Check("stopped", of(KeyboardInterrupt()))]))


def test_cases_that_would_take_too_long_are_skipped_and_said_to_be(study, one_case, monkeypatch):
    monkeypatch.setitem(LIMITS, "cpu", (-1.0, -1.0))
    answer = study("selfcheck", "--device", "cpu", "--short")
    assert answer.code == 0
    assert sum(line.startswith(SKIPPED) for line in answer.out.splitlines()) == 4
    assert ": 1 checks, 1 passed, 4 skipped, in " in answer.out


def test_every_architecture_precision_and_number_of_trials_is_a_case():
    from study.gan.architectures import ARCHITECTURES
    from study.training.device import precisions

    found = cases("cpu", short=False)
    assert {(case.architecture, case.precision, case.pack) for case in found} == {
        (architecture, precision, pack)
        for architecture in ARCHITECTURES
        for precision in precisions("cpu")
        for pack in (1, 3)
    }
    assert len({title(case) for case in found}) == len(found)
    assert [case.pack for case in cases("cpu", short=True)] == [1, 3]


def test_a_difference_that_is_not_a_number_is_not_tolerated():
    assert Difference("losses", 1e-4, 1e-4).tolerated
    assert not Difference("losses", 2e-4, 1e-4).tolerated
    assert not Difference("losses", float("nan"), 1e-4).tolerated


def test_equal_bits_are_only_asked_of_a_gpu_if_its_algorithms_are_deterministic(one_case, monkeypatch):
    pack = Pack(one_case)
    ends, _ = pack.trained
    assert equals_plain(pack).figures["size"] == 0.0  # the trace of one trial is the plain step
    near = [end._replace(tally=end.tally._replace(sums=end.tally.sums * (1 + 1e-6))) for end in ends]
    with pytest.raises(Failed, match=r"^1 tensors differ; losses: \d\.\de-0[67] of at most 1\.0e-03$"):
        same_bits(pack, near)
    monkeypatch.setattr(study.training.selfcheck.step, "CPU", "another device")
    assert "1 tensors differ, as they may without --deterministic" in same_bits(pack, near).text
    far = [end._replace(tally=end.tally._replace(sums=end.tally.sums * 1.01)) for end in ends]
    with pytest.raises(Failed):
        same_bits(pack, far)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with pytest.raises(Failed):
        same_bits(pack, near)


@pytest.mark.parametrize(
    ("statuses", "lines", "said"),
    [
        (("finished", "finished"), [], "2 slots were halved 0 times, not 1"),
        (("finished", "failed"), ["it does not fit in memory"], r"1 of 2 trials finished \(no reason\)"),
        ((), ["it does not fit in memory"], "0 of 2 trials finished"),
    ],
)
def test_a_pack_that_does_not_survive_a_lack_of_memory_fails(monkeypatch, statuses, lines, said):
    def execute_pack(*_, say, **__):
        for line in lines:
            say(line)
        return [SimpleNamespace(status=status, reason="no reason") for status in statuses]

    planned = SimpleNamespace(trial=Pack(cases("cpu", short=True)[0]).trials[0], context=None)
    monkeypatch.setattr(study.driver.selfcheck.checks, "a_trial", lambda _: planned)
    monkeypatch.setattr(study.driver.selfcheck.checks, "execute_pack", execute_pack)
    with pytest.raises(Failed, match=said):
        survives_lack_of_memory("cpu", 2)


def test_a_trial_that_does_not_finish_fails():
    check_finished([SimpleNamespace(status="finished", reason=None)], 1)
    with pytest.raises(Failed, match="0 of 1 trials finished"):
        check_finished([], 1)


def test_two_processes_that_disagree_and_a_compiler_that_refuses_fail(monkeypatch):
    (case, _) = cases("cpu", short=True)
    with pytest.raises(Skipped, match="only on a GPU"):
        records_beside_pinning(case)
    ends = iter("ab")
    monkeypatch.setattr(
        study.training.selfcheck.device,
        "ProcessPoolExecutor",
        lambda *_, **__: _Processes(lambda _: next(ends)),
    )
    with pytest.raises(Failed, match="other bits"):
        two_processes(case)
    measured = Speed(plain=[1.0], study=[1.0], refused="RuntimeError: no")
    monkeypatch.setattr(study.training.selfcheck.device, "measure_speed", lambda *_: measured)
    with pytest.raises(Failed, match="refused: RuntimeError: no"):
        speed(case)


class _Processes:
    """An executor whose processes say what a function says."""

    def __init__(self, say):
        self.say = say

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def map(self, _, each):
        return map(self.say, each)
