"""How often trials are scored, which settings their training takes from where, and what a plan says of it."""

from dataclasses import replace

import pytest

from search_spaces import get
from study import data
from study.cli.terminal import plan_lines
from study.driver.cost.estimate import estimate
from study.driver.planning.plan import checkpoint_interval, make_plan, training_of
from study.driver.resources import Slots
from tests.requests import make_request

GRID = get("grid")
DIGITS = data.get("digits")


def interval(space=None, **options):
    return checkpoint_interval(make_request(datasets=["digits"], **options), DIGITS, space)


def test_the_datasets_own_interval_serves_its_own_trials():
    assert (DIGITS.discriminator_steps, DIGITS.checkpoint_every) == (100, 25)
    assert interval() == interval(GRID) == interval(discriminator_steps=100) == 25


@pytest.mark.parametrize("steps", [250, 251, 500, 8000, 12345])
def test_longer_trials_have_at_most_ten_checkpoints_at_multiples_of_the_datasets_interval(steps):
    every = interval(discriminator_steps=steps)
    assert every % 25 == 0 and -(-steps // every) <= 10
    assert every == 25 or -(-steps // (every - 25)) > 10, "and no fewer than need be"


def test_eight_thousand_updates_are_scored_ten_times():
    assert interval(discriminator_steps=8000) == 800


def test_the_users_interval_wins_then_the_spaces_then_the_datasets():
    space = replace(GRID, checkpoint_every=40)
    assert interval(space) == 40
    assert interval(space, checkpoint_every=10) == 10
    assert interval(space, discriminator_steps=8000) == 40
    assert interval(space, discriminator_steps=8000, checkpoint_every=10) == 10
    assert interval(replace(GRID, checkpoint_every=None)) == 25


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 500}])
def test_an_interval_is_never_longer_than_a_trial(options):
    assert interval(discriminator_steps=10, **options) == 10
    assert interval(replace(GRID, checkpoint_every=500), discriminator_steps=10, **options) == 10


def test_training_takes_each_size_from_the_options_then_the_space_then_the_dataset():
    def sizes(space, **options):
        training = training_of(make_request(datasets=["digits"], **options), DIGITS, space)
        return training.width, training.batch_size, training.latent_dim

    declared = (DIGITS.width, DIGITS.batch_size, DIGITS.latent_dim)
    given = {"width": 5, "batch_size": 6, "latent_dim": 7}
    own = replace(GRID, width=12, batch_size=13, latent_dim=14)
    assert len({*declared, *given.values(), 12, 13, 14}) == 9, "each value tells where it is from"
    assert sizes(None) == sizes(GRID) == declared
    assert sizes(own) == (12, 13, 14)
    assert sizes(own, **given) == sizes(None, **given) == (5, 6, 7)
    for place, (name, value) in enumerate(given.items()):
        assert sizes(own, **{name: value}) == (*(12, 13, 14)[:place], value, *(12, 13, 14)[place + 1 :])
    assert sizes(replace(own, batch_size=None)) == (12, declared[1], 14)


@pytest.fixture
def plan(tmp_path):
    def plan(**options):
        folders = {"results": tmp_path / "results", "data_dir": tmp_path / "data"}
        return make_plan(make_request(datasets=["digits"], methods="none", settings=2, **folders, **options), GRID)

    return plan


def lines(planned):
    """The lines of a plan that say how often trials are scored."""
    estimated = estimate(planned, planned, planned[0].context.results, Slots(concurrent=1, gpus_per_trial=0))
    return [line for line in plan_lines("grid", planned, estimated) if "scored every" in line]


def test_a_plan_says_how_often_trials_are_scored(plan):
    assert lines(plan()) == ["scored every 25 discriminator updates (4 times)"]
    assert lines(plan(checkpoint_every=30)) == ["scored every 30 discriminator updates (4 times)"]
    assert lines(plan(discriminator_steps=20_000)) == ["scored every 2,000 discriminator updates (10 times)"]
    assert lines(plan(discriminator_steps=4)) == ["scored every 4 discriminator updates (once)"]


def test_a_plan_says_so_by_dataset_where_they_differ(plan):
    planned = plan()

    def copies(every):
        return [
            replace(one, trial=replace(one.trial, dataset="mine"), context=replace(one.context, checkpoint_every=every))
            for one in planned
        ]

    assert lines([*planned, *copies(25)]) == ["scored every 25 discriminator updates (4 times)"]
    assert lines([*planned, *copies(50)]) == [
        "digits: scored every 25 discriminator updates (4 times)",
        "mine: scored every 50 discriminator updates (2 times)",
    ]
