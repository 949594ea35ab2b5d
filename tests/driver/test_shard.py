"""A plan that is split among drivers: nothing is left out, nothing done twice, nobody disturbed."""

import pytest

from study.core.errors import InputError
from study.core.trial import content_id
from study.data import data_dir
from study.driver.planning.shard import Shard, parse_shard
from study.driver.request import SearchOptions
from study.driver.search.rounds import searches
from study.driver.spaces.user_space import find
from study.storage.tables import read_table
from tests.requests import make_request

SMALL = ("--methods", "none,spectral_norm", "--settings", "3", "--discriminator-steps", "4")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_every_trial_falls_to_one_part_and_parts_are_about_as_large(count):
    ids = [content_id({"trial": number}) for number in range(6400)]
    sizes = [sum(Shard(index, count).has(each) for each in ids) for index in range(1, count + 1)]
    assert sum(sizes) == len(ids)
    assert all(0.5 * len(ids) / count < size < 1.5 * len(ids) / count for size in sizes)


def test_a_shard_is_read_as_it_is_written():
    assert parse_shard("2/4") == Shard(2, 4)
    assert str(Shard(2, 4)) == "2/4"


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "1/4/2", "a/b", "-1/4", "1.0/2", "1/ 2", "٢/٤"])
def test_anything_else_is_refused(study, text, tmp_path):
    with pytest.raises(InputError, match="must be I/N"):
        parse_shard(text)
    answer = study("run", "grid", *SMALL, "--shard", text, "--results", tmp_path / "r")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert not (tmp_path / "r").exists()


def test_a_dry_run_counts_the_trials_of_the_part(study, tmp_path):
    counts = []
    for index in (1, 2, 3):
        answer = study("run", "grid", *SMALL, "--shard", f"{index}/3", "--results", tmp_path / "r", "--dry-run")
        assert answer.code == 0, answer.err
        title, _, rest = answer.out.partition(":")
        assert title == f"part {index}/3 of grid on digits"
        counts.append(int(rest.split()[0]))
    assert sum(counts) == 6
    assert read_table(tmp_path / "r", "memberships").num_rows == 0


@pytest.mark.parametrize("methods", ["none,spectral_norm", "spectral_norm,none"])
def test_searches_are_split_whole_and_by_name(study, tmp_path, methods):
    """So that drivers whose lists differ in order never run the same search."""
    options = ("--rounds", 1, "--trials-per-round", 2, "--methods", methods, "--dry-run")
    request = make_request(
        datasets=["digits"], results=tmp_path / "r", data_dir=data_dir(None), methods="none,spectral_norm"
    )
    names = {search.name for search in searches(request, find("ranges"), SearchOptions(rounds=1, trials_per_round=2))}
    assert len(names) == 4
    counts = []
    for index in (1, 2, 3):
        mine = [name for name in names if Shard(index, 3).has(content_id({"search": name}))]
        answer = study("bo", *options, "--shard", f"{index}/3", "--results", tmp_path / "r")
        assert answer.code == 0, answer.err
        if mine:
            assert int(answer.out.partition(": ")[2].split()[0]) == 2 * len(mine), "two trials each"
        else:
            assert answer.out == f"part {index}/3 contains no search.\n"
        counts.append(len(mine))
    assert sum(counts) == 4
