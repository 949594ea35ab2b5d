"""Rounds of searches: what is proposed and asked for follows from rows and memberships alone, whoever was killed."""

import json
import math

import pyarrow as pa
import pytest

from search_spaces import get
from study.core.errors import InputError
from study.core.evaluation import Evaluation
from study.driver.request import SearchOptions
from study.driver.search import rounds
from study.driver.search.rounds import Rounds
from study.driver.search.samplers import SAMPLERS, propose
from study.driver.spaces.user_space import find
from study.storage.memberships import memberships
from study.storage.parts import part_path, write_part
from study.storage.schema import DIVERGED, FAILED, FINISHED, STOPPED
from study.storage.tables import compact, read_table, write_table
from study.worker.outcome import Outcome
from study.worker.record import make_record
from tests.requests import make_request


@pytest.fixture
def ask(tmp_path):
    """Makes searches on the digits."""

    def asked(space="ranges", strategy=None, **request):
        options = {"datasets": ["digits"], "results": tmp_path / "results", "data_dir": tmp_path / "data", **request}
        options["results"].mkdir(exist_ok=True)
        return rounds.searches(
            make_request(**options), find(space), strategy or SearchOptions(rounds=3, trials_per_round=4)
        )

    return asked


def score_of(trial):
    """Some score that depends on all that is searched."""
    numbers = trial.hyperparameters
    weight = numbers.penalty_weight or 1
    return 10 + (math.log10(numbers.learning_rate) + 3.5) ** 2 + numbers.beta1 + math.log10(weight) ** 2 / numbers.n_dis


def finish(planned, status=FINISHED, scores=None):
    """Writes the part of a trial."""
    trial, context = planned.trial, planned.context
    scores = [score_of(trial) + 5, score_of(trial)] if scores is None else scores
    record = make_record(
        context, status, None, started="2026-01-01T00:00:00+00:00", device="cpu", position=None, trial=trial
    )
    evaluations = [
        Evaluation(
            trial_id=trial.id,
            discriminator_step=25 * (step + 1),
            protocol_id=context.protocol.id,
            frechet_distance=score,
            discriminator_loss=1.0,
            generator_loss=1.0,
            penalty=0.0,
        )
        for step, score in enumerate(scores)
    ]
    write_part(context.results, trial, context.protocol, record, evaluations)
    return Outcome(
        trial_id=trial.id,
        dataset=trial.dataset,
        method=trial.method.name,
        status=status,
        reason=None,
        best_frechet_distance=min(scores, default=None),
        seconds=1.0,
    )


def work_off(work, count=None, end=finish):
    """Takes trials and ends them, one at a time; returns them."""
    done = []
    while len(done) != count and (pack := work.take()):
        (planned,) = pack
        done.append(planned.trial)
        work.ended(planned, end(planned))
    return done


def silent(line):
    raise AssertionError(line)


def proposed(results, search):
    """What stands in the memberships of a search, by round."""
    found = {}
    for row in memberships(results, "bo", search.name):
        found.setdefault(row["round"], []).append(row["trial_id"])
    return found


def test_a_search_for_each_method_and_n_dis(ask):
    searches = ask()
    assert len(searches) == len({search.name for search in searches}) == 7 * 2
    assert {(s.method.name, s.n_dis) for s in ask(methods="none,l2", n_dis=5)} == {("none", 5), ("l2", 5)}
    none, weighted = ask(methods="none,l2", n_dis=5)
    assert sorted(none.ranges) == ["beta1", "beta2", "learning_rate"]
    assert weighted.ranges["penalty_weight"].low == 1e-4  # Table 2 has a range of its own for L2


def test_all_rounds_of_all_searches(ask, tmp_path):
    searches = ask(methods="none,gradient_penalty")
    trials = work_off(Rounds(searches, silent))
    assert len(trials) == len({trial.id for trial in trials}) == 4 * 3 * 4
    for search in searches:
        rounds = proposed(tmp_path / "results", search)
        assert {number: len(ids) for number, ids in rounds.items()} == {1: 4, 2: 4, 3: 4}
    assert all(trial.seed == 0 for trial in trials)


def test_searches_advance_on_their_own(ask):
    """The one that waits for a trial does not hold up the other."""
    work = Rounds(ask(methods="none"), silent)
    (slow,) = work.take()
    others = work_off(work)
    assert len(others) == 3 + 3 * 4
    mine = [trial for trial in others if trial.hyperparameters.n_dis == slow.trial.hyperparameters.n_dis]
    assert len(mine) == 3
    assert work.take() is None
    work.ended(slow, finish(slow))
    assert len(work_off(work)) == 2 * 4


def work_off_packs(work, count=None):
    """Takes packs and ends their trials, in order, until so many have ended; returns all packs that were taken."""
    taken, ended = [], 0
    while ended != count and (pack := work.take()):
        taken.append(pack)
        for planned in pack[: count - ended if count else None]:
            work.ended(planned, finish(planned))
            ended += 1
    return taken


def test_a_round_is_trained_in_packs(ask):
    """Of at most so many trials, of one round of one search; the next round follows when all of them have ended."""
    searches = ask(methods="none", strategy=SearchOptions(rounds=2, trials_per_round=5))
    taken = work_off_packs(Rounds(searches, silent, pack_limit=lambda _: 3))
    assert [len(pack) for pack in taken] == [2, 3] * 4
    for pack in taken:
        assert all(planned.pack == tuple(one.trial.id for one in pack) for planned in pack)
    round_of = {
        id_: (s.name, n) for s in searches for n, trials in s.rounds().items() for id_ in (t.id for t in trials)
    }
    assert all(len({round_of[planned.trial.id] for planned in pack}) == 1 for pack in taken)


@pytest.mark.parametrize("stop_at", [1, 4, 6, 8])
def test_a_search_that_was_killed_goes_on_with_the_same_packs(ask, tmp_path, stop_at):
    strategy = SearchOptions(rounds=2, trials_per_round=5)
    (search,) = ask(methods="none", n_dis=1, strategy=strategy)
    whole = {pack[0].pack for pack in work_off_packs(Rounds([search], silent, pack_limit=lambda _: 3))}
    (again,) = ask(methods="none", n_dis=1, strategy=strategy, results=tmp_path / "again")
    work_off_packs(Rounds([again], silent, pack_limit=lambda _: 3), stop_at)
    rest = work_off_packs(Rounds([again], silent, pack_limit=lambda _: 3))
    assert sum(map(len, rest)) == 10 - stop_at
    assert {planned.pack for pack in rest for planned in pack} <= whole


def test_trials_that_may_be_stopped_early_are_in_no_pack(ask):
    (search,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=1, trials_per_round=4, stop_early=True))
    taken = work_off_packs(Rounds([search], silent, pack_limit=lambda _: 3))
    assert [len(pack) for pack in taken] == [1] * 4 and not any(pack[0].pack for pack in taken)


@pytest.mark.parametrize("stop_at", [1, 4, 6, 8, 11])
def test_a_search_that_was_killed_asks_for_the_same(ask, tmp_path, stop_at):
    """Whenever it is killed: nothing done is asked for again, and every round is the one of an undisturbed search."""
    (search,) = ask(methods="gradient_penalty", n_dis=1)
    whole = [trial.id for trial in work_off(Rounds([search], silent))]

    (again,) = ask(methods="gradient_penalty", n_dis=1, results=tmp_path / "again")
    before = [trial.id for trial in work_off(Rounds([again], silent), stop_at)]
    compact(tmp_path / "again")
    work = Rounds([again], silent)
    (taken,) = work.take()  # handed out, and lost with its worker
    after = [trial.id for trial in work_off(Rounds([again], silent))]
    assert taken.trial.id == after[0]
    assert before + after == whole
    assert proposed(tmp_path / "again", again) == proposed(tmp_path / "results", search)
    assert Rounds([again], silent).take() is None


def test_a_disk_that_is_full_for_a_moment_is_waited_for(ask, tmp_path, monkeypatch):
    (search,) = ask(methods="none", n_dis=1)
    whole, left = rounds.add_memberships, [2]

    def full(*arguments, **rest):
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        whole(*arguments, **rest)

    monkeypatch.setattr(rounds, "add_memberships", full)
    monkeypatch.setattr("study.storage.retry.PAUSES", (0.01, 0.02))
    said = []
    work = Rounds([search], said.append)
    assert said == ["results cannot be written (No space left on device); waiting"]
    assert work.take() and len(proposed(tmp_path / "results", search)[1]) == 4


def test_a_part_that_is_damaged_while_a_search_runs_is_set_aside(ask, tmp_path):
    (search,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=2, trials_per_round=2))
    said = []
    work = Rounds([search], said.append)
    (first,), (second,) = work.take(), work.take()
    work.ended(first, finish(first))
    path = part_path(tmp_path / "results", first.trial.id, first.context.protocol.id)
    path.write_text("{")
    work.ended(second, finish(second))
    assert [line.partition(" as ")[0] for line in said] == ["set aside a damaged file"]
    assert not path.exists() and list(path.parent.glob("*.damaged-*"))
    assert len(work_off(work)) == 2
    assert list(proposed(tmp_path / "results", search)) == [1, 2]


def test_a_round_is_proposed_from_the_rounds_before_it(ask):
    (search,) = ask(methods="gradient_penalty", n_dis=1, strategy=SearchOptions(rounds=4, trials_per_round=5))
    work_off(Rounds([search], silent))
    rounds = search.rounds()
    told = []
    for number in range(1, 5):
        points = propose(search.ranges, told, 5, sampler="gp-bucb", seed=0)
        assert [search.trial(point) for point in points] == rounds[number]
        told += [(point, math.log(score_of(search.trial(point)))) for point in points]


def test_what_a_search_is_told(ask):
    """The logarithm of the lowest checkpoint; None for a diverged trial; nothing of one that failed."""
    (search,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=1, trials_per_round=6, stop_early=True))
    work = Rounds([search], silent)
    ends = [
        (FINISHED, [30.0, 10.0, 20.0]),
        (DIVERGED, [5.0]),
        (FAILED, []),
        (FAILED, [3.0]),
        (STOPPED, [50.0, 40.0]),
        (FINISHED, [0.0]),
    ]
    trials = []
    for status, scores in ends:
        (planned,) = work.take()
        trials.append(planned.trial)
        work.ended(planned, finish(planned, status, scores))
    points = [{n: getattr(trial.hyperparameters, n) for n in search.ranges} for trial in trials]
    values = [math.log(10), None, math.log(40), math.log(1e-6)]
    assert search.observations(trials) == list(zip([points[i] for i in (0, 1, 4, 5)], values, strict=True))
    compact(search.context.results)
    assert search.observations(trials) == list(zip([points[i] for i in (0, 1, 4, 5)], values, strict=True))


def test_trials_that_were_stopped_early_count_only_where_that_is_meant(ask):
    (early,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=1, trials_per_round=3, stop_early=True))
    stopped = work_off(Rounds([early], silent), end=lambda planned: finish(planned, STOPPED))
    assert len(stopped) == 3 and early.left() == 0
    compact(early.context.results)  # as every command does first
    (whole,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=1, trials_per_round=3))
    assert whole.name != early.name
    assert work_off(Rounds([whole], silent)) == stopped
    compact(whole.context.results)
    assert {row["status"] for row in read_table(whole.context.results, "trials").to_pylist()} == {FINISHED}


def test_rows_that_were_removed_run_again_and_are_named(ask, tmp_path):
    (search,) = ask(methods="none", n_dis=1)
    trials = work_off(Rounds([search], silent))
    compact(tmp_path / "results")
    rounds = proposed(tmp_path / "results", search)
    gone = [rounds[1][2], rounds[2][0], rounds[2][3]]
    for name in ("trials", "evaluations"):
        table = read_table(tmp_path / "results", name)
        kept = [row for row in table.to_pylist() if row["trial_id"] not in gone]
        write_table(tmp_path / "results", name, pa.Table.from_pylist(kept, schema=table.schema))
    said = []
    assert search.left() == 3
    assert [trial.id for trial in work_off(Rounds([search], said.append))] == gone
    assert said == [
        f"{search.name}: 1 trial of round 1 has no row and runs again",
        f"{search.name}: 2 trials of round 2 have no row and run again",
    ]
    assert proposed(tmp_path / "results", search) == rounds
    assert len(trials) == 12


def test_more_rounds_go_on_and_fewer_do_nothing(ask, tmp_path):
    (three,) = ask(methods="none", n_dis=1)
    work_off(Rounds([three], silent))
    before = proposed(tmp_path / "results", three)
    (two,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=2, trials_per_round=4))
    assert two.name == three.name and two.left() == 0
    (five,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=5, trials_per_round=2))
    assert five.left() == 4
    assert len(work_off(Rounds([five], silent))) == 4
    after = proposed(tmp_path / "results", five)
    assert {number: after[number] for number in before} == before
    assert {number: len(ids) for number, ids in after.items()} == {1: 4, 2: 4, 3: 4, 4: 2, 5: 2}


def test_failed_trials_run_again_once_on_request(ask):
    (search,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=2, trials_per_round=3))
    work = Rounds([search], silent)
    (bad,) = work.take()
    work.ended(bad, finish(bad, FAILED, []))
    assert len(work_off(work)) == 5
    assert work_off(Rounds([search], silent)) == []
    compact(search.context.results)
    again = work_off(
        Rounds([search], lambda line: None, retry_failed=True), end=lambda planned: finish(planned, FAILED, [])
    )
    assert again == [bad.trial]
    assert search.left() == 0 and search.left(retry_failed=True) == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_failed_trial_is_not_proposed_again(ask, sampler):
    """It would be the same trial, which is not run again: the round would be the shorter for it."""
    (search,) = ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=3, trials_per_round=4, sampler=sampler))
    work = Rounds([search], silent)
    bad = []
    while pack := work.take():
        (planned,) = pack
        late = len(bad) < 3 and planned.trial in search.rounds()[1][1:]
        bad += [planned.trial] if late else []
        work.ended(planned, finish(planned, FAILED, []) if late else finish(planned))
    proposed = [trial.id for trials in search.rounds().values() for trial in trials]
    assert len(bad) == 3 and len(proposed) == len(set(proposed)) == 12


def test_a_round_that_failed_as_a_whole_ends_the_search(ask):
    """The place is at fault, not the points: eleven more such rounds help nobody."""
    (search,) = ask(methods="none", n_dis=1)
    said = []
    fail = lambda planned: finish(planned, FAILED, [])  # noqa: E731
    assert len(work_off(Rounds([search], said.append), end=fail)) == 4
    assert said == [f"{search.name}: all trials of round 1 failed; the search ends"]
    assert work_off(Rounds([search], said.append)) == [] and len(said) == 2
    compact(search.context.results)  # as every command does first
    assert len(work_off(Rounds([search], silent, retry_failed=True))) == 12


def test_searches_that_differ_in_anything_are_told_apart(ask):
    def name(strategy=None, **request):
        (search,) = ask(strategy=strategy, **{"methods": "gradient_penalty", "n_dis": 1, **request})
        return search.name

    names = [
        name(),
        name(SearchOptions(sampler="tpe")),
        name(SearchOptions(seed=1)),
        name(SearchOptions(stop_early=True)),
        name(n_dis=5),
        name(methods="dragan"),
        name(discriminator_steps=7),
        name(n_fake=100),
        name(methods="gradient_penalty+spectral_norm"),
    ]
    assert len(set(names)) == len(names)
    assert name(SearchOptions(rounds=99, trials_per_round=3)) == name()


def test_the_seed_is_of_proposals_and_of_training(ask):
    zero, one = (ask(methods="none", n_dis=1, strategy=SearchOptions(rounds=1, seed=seed))[0] for seed in (0, 1))
    first, second = (work_off(Rounds([search], silent)) for search in (zero, one))
    assert {trial.seed for trial in second} == {1}
    assert not {t.hyperparameters for t in first} & {t.hyperparameters for t in second}


def test_ranges_of_ones_own(ask, tmp_path):
    path = tmp_path / "narrow.toml"
    path.write_text(
        """
        [[random]]
        methods = ["dragan"]
        count = 1
        learning_rate = { low = 1e-4, high = 1e-3, log = true }
        beta1 = 0.5
        beta2 = { low = 0.9, high = 0.99 }
        n_dis = [2]
        penalty_weight = 3
        """
    )
    (search,) = ask(str(path), strategy=SearchOptions(rounds=2, trials_per_round=3))
    trials = work_off(Rounds([search], silent))
    numbers = [trial.hyperparameters for trial in trials]
    assert len(numbers) == 6 and sorted(search.ranges) == ["beta2", "learning_rate"]
    assert {(n.n_dis, n.beta1, n.penalty_weight) for n in numbers} == {(2, 0.5, 3.0)}
    assert all(1e-4 <= n.learning_rate <= 1e-3 and 0.9 <= n.beta2 <= 0.99 for n in numbers)


RANGES = """
[[random]]
methods = {methods}
count = 1
learning_rate = {rate}
beta1 = 0.5
beta2 = 0.9
n_dis = {n_dis}
{weight}
"""
LOW, HIGH = "{ low = 1e-5, high = 1e-4 }", "{ low = 1e-4, high = 1e-3 }"


@pytest.fixture
def own(tmp_path):
    """Writes a space of [[random]] blocks; returns its path."""

    def written(*blocks):
        path = tmp_path / "own.toml"
        path.write_text("".join(RANGES.format(**{"weight": "", **block}) for block in blocks))
        return str(path)

    return written


def test_each_n_dis_is_searched_in_the_ranges_of_its_block(ask, own):
    one = {"methods": ["none", "spectral_norm"], "rate": HIGH, "n_dis": [1]}
    path = own(one, {"methods": ["none"], "rate": LOW, "n_dis": [5, 2]})
    searches = ask(path)
    assert [(s.method.name, s.n_dis, s.ranges["learning_rate"].low) for s in searches] == [
        ("none", 1, 1e-4),
        ("none", 5, 1e-5),
        ("none", 2, 1e-5),
        ("spectral_norm", 1, 1e-4),
    ]
    (two,) = ask(path, n_dis=2)
    assert two.n_dis == 2
    with pytest.raises(InputError, match=r"--n-dis 3: own has no such n_dis; it has \[1, 2, 5\]"):
        ask(path, n_dis=3)


def test_ranges_that_are_missing_or_not_clear(ask, own):
    again = [{"methods": ["none"], "rate": rate, "n_dis": [1]} for rate in (HIGH, LOW)]
    with pytest.raises(InputError, match="space own: has different ranges for none at n_dis 1; a search needs"):
        ask(own(*again))
    methods = ["none", "gradient_penalty"]
    weight = "penalty_weight = { low = 1, high = 10 }"
    path = own({"methods": methods, "rate": 1e-4, "n_dis": [1], "weight": weight})
    with pytest.raises(InputError, match="space own: has no range for none; `study bo` needs at least one"):
        ask(path)


def test_methods_that_differ_in_defaults_only_are_one_search(ask, tmp_path):
    """Twice under one key, the second would have taken the place of the first."""
    path = tmp_path / "twice.py"
    path.write_text(
        """
from search_spaces import SearchSpace
from search_spaces.ranges import random_settings

METHODS = ({"penalty": "dragan"}, {"penalty": "dragan", "options": (("dragan_noise", "uniform"),)})
SPACE = SearchSpace(name="twice", description="", source="", seeds=1, blocks=(random_settings(METHODS, 1),))
"""
    )
    assert [search.n_dis for search in ask(str(path))] == [1, 5]


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (None, "Expecting value"),
        ("{", "Expecting property name"),
        ("{}", "trial: 'method'"),
        ("[]", ""),
        ("null", "'NoneType' object is not iterable"),
        ("other", "it is defined as"),
    ],
)
def test_memberships_that_cannot_be_told(ask, tmp_path, definition, why):
    (search,) = ask(methods="none", n_dis=1)
    work_off(Rounds([search], silent), 1)
    table = read_table(tmp_path / "results", "memberships")
    rows = table.to_pylist()
    rows[1]["trial"] = rows[0]["trial"] if definition == "other" else definition
    write_table(tmp_path / "results", "memberships", pa.Table.from_pylist(rows, schema=table.schema))
    with pytest.raises(InputError) as caught:
        Rounds([search], silent)
    message = str(caught.value)
    assert f"round 1: the definition of trial {rows[1]['trial_id']} is not readable ({why}" in message
    assert "restore the file" in message and "\n" not in message


def test_a_membership_says_what_its_trial_is(ask, tmp_path):
    (search,) = ask(methods="none", n_dis=1)
    (trial,) = work_off(Rounds([search], silent), 1)
    row = read_table(tmp_path / "results", "memberships").to_pylist()[0]
    assert (row["trial_id"], json.loads(row["trial"])) == (trial.id, trial.to_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", 0], "--rounds 0: must be 1 or more."),
        (["--trials-per-round", 0], "--trials-per-round 0: must be 1 or more."),
        (
            ["--rounds", 1001],
            "--rounds 1001: with --trials-per-round 10, a search has 10,010 trials; must be 10,000 or fewer.",
        ),
        (["--seed", -1], "--seed -1: must be a whole number, 0 or more (and below 2**63)."),
        (["--seed", 2**63], "--seed 9223372036854775808: must be a whole number, 0 or more (and below 2**63)."),
        (["--sampler", "gp-ucb"], "--sampler gp-ucb: unknown; did you mean gp-bucb?"),
        (["--methods", "spectral"], "--methods spectral: unknown; did you mean"),
        (["--n-dis", 3], "--n-dis 3: ranges has no such n_dis; it has [1, 5]."),
        (["--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
        (["--architecture", "resnet19"], "--architecture resnet19: 8 px does not fit"),
        (["gird"], "space gird: unknown; did you mean grid?"),
        (["published"], "space published: has nothing for digits"),
        (["bo"], "space bo: has no fixed settings"),
        (["--dataset", "all", "smoke"], "--dataset all: smoke is not an experiment of the paper; name a dataset."),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(study, tmp_path, arguments, message):
    answer = study("bo", *arguments, "--results", tmp_path / "results", "--data-dir", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_dry_run_counts_and_writes_nothing(study, tmp_path):
    answer = study("bo", "--dry-run", "--methods", "none,l2", "--results", tmp_path / "results")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("bo on digits: 480 trials, 0 done, 480 to run\n")
    assert not (tmp_path / "results").exists()


def test_the_space_of_ranges_is_the_default():
    assert {block.n_dis for block in get("ranges").blocks} == {(1, 5)}
