"""What is shown of searches when they end, and later."""

from types import SimpleNamespace

import pytest
import typer

from study.cli import session
from study.cli.run.bo import _conclude
from study.storage.schema import FAILED
from tests.analysis.conftest import CLASSIFIER, SPECTRAL, Study


@pytest.fixture
def rows(tmp_path):
    return Study(tmp_path / "results")


def ended(rows, name, trials=()):
    """A search as `_conclude` sees it."""
    return SimpleNamespace(
        name=name,
        context=SimpleNamespace(dataset="digits", protocol=CLASSIFIER),
        strategy=SimpleNamespace(rounds=1),
        rounds=lambda: {1: list(trials), 2: [SimpleNamespace(id="asked for another time")]},
        planned=lambda trial: SimpleNamespace(trial=trial, key=(trial.id, CLASSIFIER.id)),
    )


def test_report_shows_all_searches_from_the_rows_alone(study, rows):
    rows.search([[3.0], [2.0]])
    rows.search([[4.0]], method=SPECTRAL)
    answer = study("report", "--bo", "--results", rows.folder)
    assert (answer.code, answer.err) == (0, "")
    assert [line.split(", n_dis")[0] for line in answer.out.splitlines() if "n_dis 1" in line] == ["W/O", "SN"] * 2
    for said in (
        f"rows: {rows.folder / 'trials.parquet'}",
        f"figure: {rows.folder / 'figures' / 'bo.png'}",
        f"`study run seeds --results {rows.folder}`",
    ):
        assert said in answer.out
    assert (rows.folder / "figures" / "bo.png").exists()


def test_report_takes_an_output_and_refuses_a_folder_without_searches(study, rows, tmp_path):
    rows.add(score=1.0)
    assert "`study bo --results" in study("report", "--bo", "--results", rows.folder).err
    rows.search([[3.0]])
    assert study("report", "--bo", "--results", rows.folder, "--output", tmp_path / "my.svg").code == 0
    assert (tmp_path / "my.svg").exists()


def test_end_shows_only_the_searches_of_the_command(rows, capsys):
    mine, _ = rows.search([[3.0]]), rows.search([[4.0]], method=SPECTRAL)
    _conclude([ended(rows, mine)], rows.folder)
    said = capsys.readouterr().out
    assert "W/O, n_dis 1" in said
    assert "SN" not in said


def test_failed_trials_end_with_their_exit_code(rows, capsys):
    name = rows.search([[3.0]])
    failed = rows.add(score=FAILED, seed=5)
    with pytest.raises(typer.Exit) as stopped:
        _conclude([ended(rows, name, [failed])], rows.folder)
    assert stopped.value.exit_code == session.FAILED_EXIT
    assert "1 trial failed" in capsys.readouterr().err
