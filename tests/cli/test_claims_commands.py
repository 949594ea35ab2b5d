"""`study claims`: a claim a line, its comparisons, JSON, and what a user may get wrong."""

import json
import re

import pytest

from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED
from tests.analysis.conftest import CLASSIFIER, NONE, PENALTY, SPECTRAL, Study


@pytest.fixture
def folder(tmp_path):
    """Spectral norm ahead of none, and gradient penalty behind at n_dis 5."""
    made = Study(tmp_path / "results")
    made.add_many(SPECTRAL, list(range(10, 40)))
    made.add_many(NONE, [*range(60, 88), DIVERGED, DIVERGED])
    made.add_many(PENALTY, list(range(10, 40)), n_dis=1)
    made.add_many(PENALTY, list(range(60, 90)), n_dis=5)
    return made.compact()


def test_a_claim_is_a_line_that_starts_with_its_id(study, folder):
    answer = study("claims", "--results", folder)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines] == [f"C{number}" for number in range(1, 21)]
    assert "\x1b" not in answer.out
    assert re.match(
        r"C1   holds            Spectral norm beats .* 1 of 1 for; digits sndcgan, SN - W/O: -50\.00 \[", lines[0]
    )
    assert lines[3].startswith("C4   does not hold    ") and "1 against" in lines[3]
    assert lines[1].startswith("C2   not enough data  ") and "needs trainings of none and batch_norm" in lines[1]


def test_all_shows_the_comparisons(study, folder):
    lines = study("claims", "--results", folder, "--all").out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("C3"))
    below = lines[at + 1 : at + 3]
    assert all(line.startswith("     ") for line in below)
    assert ["GP - W/O" in below[0], "interquartile range, GP - SN" in below[1]] == [True, True]


def test_json_has_the_tests_and_the_evidence(study, folder):
    content = json.loads(study("claims", "--results", folder, "--json").out)
    assert list(content) == ["claims"] and len(content["claims"]) == 20
    first = content["claims"][0]
    assert (first["id"], first["verdict"], first["cells"], first["against"]) == ("C1", "holds", 1, 0)
    assert first["paper"] and first["test"] and first["needs"]
    every = json.loads(study("claims", "--results", folder, "--json", "--all").out)
    compared = [each for each in every["evidence"] if each["claim"] == "C1"]
    assert [(each["a"], each["b"], each["n_a"], each["outcome"]) for each in compared] == [("SN", "W/O", 30, "for")]
    assert compared[0]["low"] < compared[0]["estimate"] < compared[0]["high"] < 0


def test_a_terminal_gets_a_table(study, folder, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    answer = study("claims", "--results", folder, "--all")
    assert answer.code == 0 and "what the rows say" in answer.out and "does not hold" in answer.out


def test_the_level_and_the_fraction_are_the_user_s(study, folder):
    wide, narrow = (study("claims", "--results", folder, "--level", level).out for level in ("0.5", "0.999"))
    assert wide.splitlines()[0] != narrow.splitlines()[0]
    assert "best 100 %" in study("claims", "--results", folder, "--fraction", "1").out.splitlines()[0]


def test_trials_of_searches_are_left_out_and_counted(study, folder):
    rows = Study(folder)
    add_memberships(folder, "bo", "search", [rows.add(SPECTRAL, 1.0, learning_rate=0.5)])
    answer = study("claims", "--results", folder)
    assert answer.err == "1 trial that only `study bo` proposed is left out\n"
    assert "(n 30 and 30," in answer.out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "digitz"], "did you mean digits?"),
        (["--protocol", "none"], "--protocol none: unknown"),
        (["--level", "1"], "level 1: must be between 0 and 1"),
        (["--fraction", "0"], "fraction 0: must be above 0"),
        (["--fraction", "some"], "--fraction"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(study, folder, arguments, said):
    answer = study("claims", "--results", folder, *arguments)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err


def test_nothing_there_and_two_protocols(study, tmp_path, folder):
    answer = study("claims", "--results", tmp_path / "none")
    assert answer.code == 2 and "no trials; run some" in answer.err
    from dataclasses import replace

    other = replace(CLASSIFIER, n_fake=100)
    Study(folder).add(SPECTRAL, 1.0, protocol=other)
    assert study("claims", "--results", folder).code == 2
    answer = study("claims", "--results", folder, "--protocol", CLASSIFIER.id)
    assert answer.code == 0 and answer.out.startswith("C1   holds")
