"""The best settings of a finished study, repeated: which are chosen, and that they are the very trials of before."""

from dataclasses import replace

import pytest

from search_spaces import get
from search_spaces.seeds import best_first
from study import data
from study.core.errors import InputError
from study.core.trial import Hyperparameters, Method, Training, Trial
from study.driver.planning.plan import make_plan, trials_of
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED, FAILED, STOPPED
from study.storage.tables import compact, read_table
from tests.parts import PROTOCOL, leave
from tests.requests import make_request

SEEDS = get("seeds")
DIGITS = Training(discriminator_steps=100, width=8)
PLAIN = Method(architecture="sndcgan")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def trial(rate=1e-3, seed=0, *, method=PLAIN, n_dis=1, training=DIGITS, dataset="digits"):
    weight = 0.691233 if method.penalty else None
    numbers = Hyperparameters(learning_rate=rate, beta1=0.637821, beta2=0.954236, n_dis=n_dis, penalty_weight=weight)
    return Trial(dataset=dataset, method=method, hyperparameters=numbers, training=training, seed=seed)


def leave_all(folder, scores, **how):
    """Seeds 0, 1, ... of settings by learning rate, at these scores; diverged for None."""
    for rate, each in scores.items():
        for seed, score in enumerate(each):
            status = {"status": DIVERGED} if score is None else {}
            leave(folder, trial(rate, seed, **how), score, **status)
    compact(folder)


def chosen(folder, protocol=PROTOCOL.id, **how):
    request = make_request(datasets=[], results=folder, data_dir=folder / "data", **how)
    return trials_of(request, SEEDS, data.get("digits"), protocol)


def rates(trials):
    return list(dict.fromkeys(each.hyperparameters.learning_rate for each in trials))


def test_settings_are_ranked_by_the_median_of_their_seeds(folder):
    """Not by the best or the mean; what diverges is infinitely bad, and a setting with no finite median is none."""
    scores = {
        1e-1: [1, 9, 10],  # the best of all
        1e-2: [5, 6, 50],  # its mean is worse than that of the next
        1e-3: [8, 8, 8],
        1e-4: [7, None, 7.5],
        1e-5: [2, None, None],
        1e-6: [None],
        1e-7: [3, None],
        1e-8: [11],
    }
    leave_all(folder, scores)
    assert rates(chosen(folder, settings=9)) == [1e-2, 1e-4, 1e-3, 1e-1, 1e-8]
    assert rates(chosen(folder)) == [1e-2, 1e-4, 1e-3]
    assert rates(chosen(folder, settings=1)) == [1e-2]


def test_ties_do_not_depend_on_the_order_of_rows(folder):
    leave_all(folder, {rate: [4, 4] for rate in (3e-4, 1e-4, 2e-4, 5e-4, 4e-4)})
    rows = read_table(folder, "trials").to_pylist()
    assert len(best_first(rows)) == 5
    assert best_first(rows) == best_first(rows[::-1]) == best_first(rows[5:] + rows[:5])


def test_three_of_each_method_with_five_seeds(folder):
    spectral = Method(architecture="sndcgan", normalizations=("spectral_norm",))
    leave_all(folder, {rate: [1 + rate] for rate in (1e-2, 1e-3, 1e-4, 1e-5)})
    leave_all(folder, {rate: [9 - rate] for rate in (1e-2, 1e-3, 1e-4, 1e-5)}, method=spectral)
    found = chosen(folder)
    assert len({each.id for each in found}) == len(found) == 2 * 3 * 5
    assert [each.seed for each in found] == sorted([0, 1, 2, 3, 4] * 6)
    assert rates(each for each in found if each.method == PLAIN) == [1e-5, 1e-4, 1e-3]
    assert rates(each for each in found if each.method == spectral) == [1e-2, 1e-3, 1e-4]
    assert len(chosen(folder, settings=2, seeds=3)) == 2 * 2 * 3
    assert {each.method for each in chosen(folder, methods="spectral_norm")} == {spectral}
    with pytest.raises(InputError, match="--methods dragan: seeds has no such method on digits; it has none, spectral"):
        chosen(folder, methods="dragan")


def test_the_best_at_one_n_dis(folder):
    leave_all(folder, {1e-3: [1], 1e-4: [2]})
    leave_all(folder, {1e-3: [4], 1e-4: [3]}, n_dis=5)
    assert rates(chosen(folder, n_dis=5)) == [1e-4, 1e-3]
    assert {each.hyperparameters.n_dis for each in chosen(folder, n_dis=5)} == {5}


@pytest.mark.parametrize(
    "method",
    [
        PLAIN,
        Method(architecture="sndcgan", loss="hinge", normalizations=("spectral_norm", "layer_norm"), penalty="l2"),
        Method(architecture="sndcgan", normalizations=("spectral_norm",), options=(("power_iterations", 3),)),
        Method(architecture="sndcgan", penalty="dragan", options=(("dragan_noise", "gaussian"),)),
        Method(
            architecture="sndcgan", loss="wasserstein", constraint="weight_clipping", options=(("clip_value", 0.3),)
        ),
        Method(architecture="resnet_cifar", options=(("ablation", "CIN"),)),
    ],
    ids=lambda method: f"{method.name} on {method.architecture}",
)
def test_a_chosen_setting_is_the_trial_that_stands_in_the_folder(folder, method):
    before = trial(7.80933e-05, method=method)
    leave(folder, before)
    compact(folder)
    found = chosen(folder)
    assert found == [replace(before, seed=seed) for seed in range(5)]
    assert found[0].id == before.id


def test_the_choice_stands_when_its_own_trials_have_run(folder):
    """Were they read, the first would fall behind; what another space has as well is read."""
    leave_all(folder, {1e-2: [1], 1e-3: [2], 1e-4: [3], 1e-5: [4]})
    found = chosen(folder)
    for each in found[3:]:
        leave(folder, each, 100.0 if each.hyperparameters.learning_rate == 1e-2 else 0.5, space="seeds")
    compact(folder)
    assert chosen(folder) == found
    add_memberships(folder, "grid", "digits", found)
    assert set(rates(chosen(folder))) == {1e-3, 1e-4, 1e-5}


def test_what_is_not_comparable_is_not_read(folder):
    """Trials of another length, width, dataset or protocol, and those that did not end."""
    leave_all(folder, {1e-3: [5]})
    leave_all(folder, {1e-4: [1]}, training=replace(DIGITS, discriminator_steps=200))
    leave_all(folder, {1e-5: [1]}, training=replace(DIGITS, width=16))
    leave_all(folder, {1e-6: [1]}, dataset="digits-32")
    leave(folder, trial(1e-7), protocol=replace(PROTOCOL, n_fake=100))
    leave(folder, trial(1e-8), status=STOPPED)
    leave(folder, trial(1e-9), None, status=FAILED)
    compact(folder)
    assert rates(chosen(folder)) == [1e-3]
    assert rates(chosen(folder, None)) == [1e-7, 1e-3]
    assert rates(chosen(folder, discriminator_steps=200)) == [1e-4]


def test_a_plan_takes_the_rows_of_its_own_protocol(folder):
    request = make_request(datasets=["digits"], results=folder, data_dir=folder / "data")
    (example, *_) = make_plan(request, get("smoke"))
    leave(folder, trial(1e-3), 2.0, protocol=example.context.protocol)
    leave(folder, trial(1e-4), 1.0)
    compact(folder)
    planned = make_plan(request, SEEDS)
    assert [each.trial for each in planned] == [trial(1e-3, seed) for seed in range(5)]
    assert not any(each.parent for each in planned)


def test_study_plan_counts_what_is_chosen(study, folder):
    leave_all(folder, {1e-3: [5, 5], 1e-4: [4]})
    answer = study("plan", "seeds", "--results", folder, "--data-dir", folder / "data")
    assert (answer.code, answer.err) == (0, "")
    header, row, *_ = (line.split() for line in answer.out.splitlines())
    assert header[3:7] == ["trials", "present", "to", "run"]
    assert row[:6] == ["seeds", "digits", "none", "10", "3", "7"]


@pytest.mark.parametrize("scores", [{}, {1e-3: [None]}, {1e-3: [1, None], 1e-4: [None]}])
def test_nothing_to_choose_from(study, folder, scores):
    leave_all(folder, scores)
    before = sorted(folder.rglob("*"))
    answer = study("plan", "seeds", "--results", folder, "--data-dir", folder / "data")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"--results {folder}: no trial of digits with 100 D updates has a score to choose from; run a space there"
        " first.\n"
    )
    assert sorted(folder.rglob("*")) == before
