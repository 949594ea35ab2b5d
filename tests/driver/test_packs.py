"""Which trials are trained together: a pure function of the plan, from a measured table or as it was asked."""

import csv
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from study.cli.terminal import plan_lines
from study.core.errors import InputError
from study.driver.cost.estimate import estimate, longest_first
from study.driver.planning import packs
from study.driver.planning.packs import DECIDES, TABLE, add_measured, assign_packs, group_by_pack, pack_limit
from study.driver.planning.plan import make_plan, pending
from study.driver.planning.shard import Shard
from study.driver.resources import Slots
from study.gan.architectures import ARCHITECTURES
from study.storage.layout import generator_path
from study.storage.parts import write_part
from study.storage.tables import compact
from study.worker.record import make_record
from tests.requests import make_request

GRID = search_spaces.get("grid")
NOWHERE = Path("/nowhere")
SHIPPED = Path(packs.__file__).with_name(TABLE)


@pytest.fixture
def plan(tmp_path):
    def plan(most, **how):
        asked = {"datasets": ["digits"], "results": tmp_path / "results", "data_dir": tmp_path / "data", **how}
        return assign_packs(make_plan(make_request(**asked), GRID), lambda _: most)

    return plan


def alike(planned):
    """What trials of a pack share."""
    return planned.context, planned.trial.cell, planned.trial.seed


def by_id(planned):
    return {one.trial.id: one for one in planned}


@pytest.mark.parametrize("most", [1, 2, 5, 8, 9, 12, 100])
def test_packs_are_equal_parts_of_cells_in_the_order_of_the_plan(plan, most):
    planned = plan(most, seeds=2)
    ids, cells = [one.trial.id for one in planned], Counter(map(alike, planned))
    together = group_by_pack(planned)
    for pack in together:
        assert len({alike(one) for one in pack}) == 1
        assert {one.pack for one in pack} == {tuple(one.trial.id for one in pack) if len(pack) > 1 else ()}
        assert [one.trial.id for one in pack] == sorted((one.trial.id for one in pack), key=ids.index)
    for each, count in cells.items():
        mine = [len(pack) for pack in together if alike(pack[0]) == each]
        assert sum(mine) == count and len(mine) == -(-count // most) and max(mine) - min(mine) <= 1
    assert max(map(len, together)) <= most
    assert [one.key for one in planned] == [one.key for one in plan(1, seeds=2)]


@pytest.mark.parametrize("chance", range(5))
def test_what_else_is_planned_and_what_is_left_leave_a_pack_as_it_is(plan, chance):
    chance = random.Random(chance)
    most, names = chance.randint(2, 14), sorted({one.trial.method.name for one in plan(1)})
    whole = by_id(plan(most, seeds=3))
    some = chance.sample(names, 3)
    for narrow in ({"methods": ",".join(some)}, {"seeds": 1}, {"n_dis": 5}, {"methods": some[0], "seeds": 2}):
        for one in plan(most, **{"seeds": 3, **narrow}):
            assert one.pack == whole[one.trial.id].pack
    for one in chance.sample(list(whole.values()), 100):
        leave(one)
    left = pending(list(whole.values()), one.context.results)
    assert len(left) == len(whole) - 100
    assert left == [one for one in whole.values() if one in left]
    assert Counter(pack[0].together for pack in group_by_pack(left)) == Counter({one.together for one in left})


def leave(planned, seconds=None, pack=1):
    """The part of a trial that has finished."""
    context, when = planned.context, "2026-01-01T00:00:00+00:00"
    made = make_record(context, "finished", None, started=when, device="cpu", position=None, trial=planned.trial)
    made = replace(made, training_seconds=seconds, scoring_seconds=seconds and 0.0, pack=pack)
    assert write_part(context.results, planned.trial, context.protocol, made, [])


def test_what_differs_in_more_than_its_settings_is_in_no_pack_with_it(plan):
    one = plan(1)[0]
    trial = one.trial
    others = [
        replace(one, trial=changed)
        for changed in (
            replace(trial, hyperparameters=replace(trial.hyperparameters, learning_rate=0.5)),
            replace(trial, seed=1),
            replace(trial, hyperparameters=replace(trial.hyperparameters, n_dis=7)),
            replace(trial, method=replace(trial.method, loss="hinge")),
            replace(trial, training=replace(trial.training, width=16)),
            replace(trial, training=replace(trial.training, discriminator_steps=7)),
        )
    ]
    protocol = replace(one.context.protocol, n_fake=99)
    elsewhere = replace(one, context=replace(one.context, protocol=protocol))
    first, second, *rest = assign_packs([one, *others, elsewhere], lambda _: 12)
    assert first.pack == second.pack == (one.trial.id, others[0].trial.id)
    assert [each.pack for each in rest] == [()] * 6


def test_a_trial_that_is_only_scored_leaves_its_pack_and_the_others_their_slots(plan, tmp_path):
    planned = plan(12, methods="none", n_dis=1)
    leave(planned[0])
    generator = generator_path(tmp_path / "results", planned[0].trial.id)
    generator.parent.mkdir(parents=True)
    generator.touch()
    again, *rest = pending(plan(12, methods="none", n_dis=1, n_fake=100), tmp_path / "results")
    assert (again.kept, again.pack) == (True, ())
    assert [len(one.pack) for one in rest] == [3, 3]
    assert [len(pack) for pack in group_by_pack([again, *rest])] == [1, 2]


def test_a_shard_has_whole_packs(plan):
    planned = plan(4, seeds=3)
    for count in (2, 3, 5):
        shares = [[one for one in planned if Shard(index, count).has(one.together[0])] for index in range(1, count + 1)]
        assert sum(map(len, shares)) == len(planned)
        assert sum(len(group_by_pack(share)) for share in shares) == len(group_by_pack(planned))
        assert all(shares)


def test_equal_trials_that_are_in_no_pack_stay_apart(plan):
    """As those that stand for trials of a search, which are not known yet."""
    one = plan(1)[0]
    assert group_by_pack([one, one]) == [(one,), (one,)]


def test_the_most_is_that_of_the_table_for_what_stands_there(plan):
    (one, *_) = plan(1)
    rows = list(csv.DictReader(SHIPPED.open(newline="")))
    mine = [row for row in rows if (row["architecture"], row["device"]) == (one.trial.method.architecture, "cpu")]
    (row,) = (row for row in mine if (row["width"], row["resolution"], row["batch_size"]) == ("8", "8", "64"))
    most = pack_limit("auto", "cpu", NOWHERE)
    assert most(one) == int(row["pack"]) > 1
    wider = replace(one, trial=replace(one.trial, training=replace(one.trial.training, width=9)))
    for other in (wider, replace(one, shape=(1, 9))):
        assert most(other) == 1
    assert pack_limit("auto", "a GPU that nobody measured", NOWHERE)(one) == pack_limit("auto", None, NOWHERE)(one) == 1
    assert pack_limit("5", None, NOWHERE)(one) == 5


def test_the_table_has_a_row_for_each_size_and_device():
    rows = list(csv.DictReader(SHIPPED.open(newline="")))
    assert list(rows[0]) == [*DECIDES, "pack"]
    assert len({tuple(row[name] for name in DECIDES) for row in rows}) == len(rows)
    assert {row["architecture"] for row in rows} <= set(ARCHITECTURES)
    assert all(int(row[name]) >= 1 for row in rows for name in ("width", "resolution", "batch_size", "pack"))


def test_what_was_measured_here_goes_before_what_is_shipped(plan, tmp_path):
    (one, *_) = plan(1)
    size = ("sndcgan", "8", "8", "64")
    assert add_measured(tmp_path, {(*size, "cpu"): 5, ("dcgan", "4", "16", "64", "cpu"): 2}) == tmp_path / TABLE
    assert pack_limit("auto", "cpu", tmp_path)(one) == 5
    add_measured(tmp_path, {(*size, "a GPU"): 7})
    assert [pack_limit("auto", device, tmp_path)(one) for device in ("cpu", "a GPU", "another")] == [5, 7, 1]
    assert (tmp_path / TABLE).read_text().splitlines()[:2] == [",".join([*DECIDES, "pack"]), "dcgan,4,16,64,cpu,2"]


@pytest.mark.parametrize("damage", ["", "architecture,pack\nsndcgan,3\n", "pack\n", "\0"])
def test_a_damaged_table_is_one_line(tmp_path, damage):
    add_measured(tmp_path, {("sndcgan", "8", "8", "64", "cpu"): 5})
    whole = (tmp_path / TABLE).read_text()
    (tmp_path / TABLE).write_text(damage or whole.replace(",5", ",many"))
    with pytest.raises(InputError, match=r"packs.csv: is damaged \(.*\); remove it, and measure again: study bench"):
        pack_limit("auto", "cpu", tmp_path)


@pytest.mark.parametrize("asked", ["", "0", "-1", "1.5", "many", "Auto", "٣", "1000000000"])
def test_anything_else_is_refused_before_anything_is_planned(study, tmp_path, asked):
    with pytest.raises(InputError, match=f"^--pack {asked}: must be auto, or a whole number from 1; 1 trains each"):
        pack_limit(asked, "cpu", NOWHERE)
    answer = study("run", "grid", "--pack", asked, "--results", tmp_path / "r")
    assert (answer.code, answer.err.count("\n"), answer.out) == (2, 1, "")
    assert not (tmp_path / "r").exists()


def test_a_plan_tells_its_packs_and_they_decide_how_many_work_at_once(plan, tmp_path):
    planned = plan(9, methods="none")
    alone, together = (
        estimate(each, each, tmp_path / "results", Slots(concurrent=8, gpus_per_trial=0))
        for each in (plan(1, methods="none"), planned)
    )
    assert (alone.packs, alone.packed, together.packs, together.packed) == (0, 0, 2, 12)
    assert together.seconds == pytest.approx(4 * alone.seconds)
    assert "12 are trained in 2 packs, one program per pack" in plan_lines("grid", planned, together)
    assert not any("packs" in line for line in plan_lines("grid", planned, alone))


def test_a_plan_takes_the_time_that_packs_of_its_size_took(plan):
    planned = plan(9, methods="none", n_dis=5)
    results, slots = planned[0].context.results, Slots(concurrent=1, gpus_per_trial=0)
    leave(planned[0], 8.0)
    leave(planned[1], 2.0, len(planned[1].pack))
    compact(results)
    left = pending(planned, results)
    assert len(left) == len(planned) - 2 > 0
    together, alone = ([replace(one, pack=pack) for one in left] for pack in (left[0].pack, ()))
    assert estimate(planned, together, results, slots).seconds == pytest.approx(2 * len(left))
    assert estimate(planned, alone, results, slots).seconds == pytest.approx(8 * len(left))


def test_the_longest_packs_come_first_by_all_that_is_left_of_them(plan, tmp_path):
    planned = plan(9, methods="none")
    first, second = longest_first(planned, tmp_path / "results", "cpu")
    assert (len(first), len(second)) == (9, 3)
    short = [one for one in planned if one.key not in {other.key for other in first[1:]}]
    assert [len(pack) for pack in longest_first(short, tmp_path / "results", "cpu")] == [3, 1]


def test_a_dry_run_packs_as_the_table_says_unless_it_is_told(study, tmp_path):
    options = ("--methods", "none", "--results", tmp_path / "r", "--dry-run")
    most = {row["architecture"]: int(row["pack"]) for row in csv.DictReader(SHIPPED.open(newline=""))}["sndcgan"]
    assert f"12 are trained in {-(-9 // most) + -(-3 // most)} packs" in study("run", "grid", *options).out
    assert "12 are trained in 4 packs" in study("run", "grid", *options, "--pack", 3).out
    assert "packs" not in study("run", "grid", *options, "--pack", 1).out
