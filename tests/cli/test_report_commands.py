"""`study report` and `study figures` as a person uses them."""

import io
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from analysis.figures import figures
from study.storage.layout import generator_path
from study.storage.schema import DIVERGED
from study.storage.tables import compact
from tests.analysis.conftest import NONE, SPECTRAL, Study


@pytest.fixture
def few_figures(monkeypatch):
    """Pages with two figures of the menu, which is enough where figures are not what is tested, and quick."""
    monkeypatch.setattr("analysis.page.sections.figures", lambda: {name: figures()[name] for name in ("top", "bo")})


@pytest.fixture
def rows(tmp_path):
    """A results folder of two methods."""
    made = Study(tmp_path / "results")
    made.add_many(NONE, [5.0, 6.0, 7.0, DIVERGED])
    made.add_many(SPECTRAL, [1.0, 2.0, 3.0])
    return made


@pytest.fixture
def trained(study, tmp_path):
    """A results folder with one short trial of `study train`."""
    folder = tmp_path / "results"
    answer = study("train", "--discriminator-steps", 2, "--results", folder, "--data-dir", tmp_path / "data")
    assert answer.code == 0, answer.err
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_it_prints_the_best_trials_and_writes_a_page_beside_the_rows(study, rows):
    answer = study("report", "--results", rows.folder)
    assert answer.code == 0, answer.err
    table, _, rest = answer.out.partition("rows: ")
    assert re.search(r"^W/O +4 +1 +0 +1 +5\.00 +5\.00", table, flags=re.M)
    page = rows.folder / "report" / "index.html"
    assert rest == f"{rows.folder / 'trials.parquet'}\npage: {page}\n"
    text = page.read_text()
    assert f"study report --results {rows.folder}" in text
    assert "As of 2026-01-01 00:01 UTC" in text, "nobody is at work, so that the page is of the last trial's end"
    assert "This trial has no saved generator." in text
    assert files(rows.folder / "report") == ["index.html"]


@pytest.mark.usefixtures("few_figures")
def test_the_page_does_not_say_where_on_the_machine_its_rows_are(study, rows, monkeypatch):
    """So that a copy elsewhere makes the same page."""
    rows.random([4.0, 5.0])
    monkeypatch.chdir(rows.folder.parent)
    assert study("report", "--results", rows.folder.name).code == 0
    text = (rows.folder / "report" / "index.html").read_text()
    commands = re.findall(r"study run \w+ --dataset digits --results (.+)", text)
    assert commands and {re.sub("<.*", "", name) for name in commands} == {rows.folder.name}
    assert str(rows.folder) not in text


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_its_options_reach_the_page(study, rows, tmp_path):
    how = ["--fraction", 0.5, "--rule", "final", "--pool", "settings", "--level", 0.9]
    answer = study("report", "--results", rows.folder, "--output", tmp_path / "out" / "mine.html", *how)
    assert answer.code == 0, answer.err
    text = (tmp_path / "out" / "mine.html").read_text()
    for words in ("best 50 %", "final score", "settings, each by its median over seeds", "at 90 %"):
        assert words in text
    assert not (rows.folder / "report").exists()


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_markdown_by_its_name_or_the_suffix(study, rows, tmp_path):
    assert study("report", "--results", rows.folder, "--format", "markdown").code == 0
    text = (rows.folder / "report" / "index.md").read_text()
    assert text.startswith("# GAN study: digits\n")
    assert "figures/top.png" in files(rows.folder / "report")
    assert study("report", "--results", rows.folder, "--output", tmp_path / "page.md").code == 0
    assert (tmp_path / "page.md").read_text().startswith("# GAN study: digits\n")


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_images_are_drawn_from_kept_generators_once(study, trained):
    assert study("report", "--results", trained).code == 0
    (grid,) = (trained / "report" / "samples").iterdir()
    assert Image.open(io.BytesIO(grid.read_bytes())).size == (6 * 33 - 1, 6 * 33 - 1)
    assert "data:image/png;base64" in (trained / "report" / "index.html").read_text()
    before = grid.stat().st_ctime_ns
    assert study("report", "--results", trained).code == 0
    assert grid.stat().st_ctime_ns == before
    generator = generator_path(trained, grid.stem)
    generator.write_bytes(generator.read_bytes()[:1000])
    os.utime(generator, (0, 0))  # the clock was set back before it was saved again
    assert study("report", "--results", trained).code == 0
    assert "not a readable generator" in (trained / "report" / "index.html").read_text()


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_without_torch_it_says_so(study, trained, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "study.worker.checkpoint":
            raise ImportError("No module named 'torch'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert study("report", "--results", trained).code == 0
    assert "Images need PyTorch here (No module named" in (trained / "report" / "index.html").read_text()


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_a_table_alone_is_enough(study, rows, tmp_path):
    compact(rows.folder)
    alone = shutil.copy(rows.folder / "trials.parquet", tmp_path)
    answer = study("report", "--results", alone, "--output", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    assert "Images need the results folder" in (tmp_path / "page.html").read_text()


BAD = [
    (["--rule", "bset"], "--rule bset: unknown; did you mean best?"),
    (["--pool", "setting"], "--pool setting: unknown; did you mean settings?"),
    (["--format", "htm"], "--format htm: unknown; did you mean html?"),
    (["--fraction", "0"], "fraction 0: must be above 0"),
    (["--level", "1"], "level 1"),
    (
        ["--output", "page.png"],
        "page.png: a page must end in .html or .htm or .md or .markdown; for one figure use `study figures top`",
    ),
    (["--format", "markdown", "--output", "page.html"], "page.html: a page must end in .md or .markdown"),
    (["--dataset", "digit"], "--dataset digit: unknown; did you mean digits?"),
]


@pytest.mark.parametrize(("options", "words"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_options_are_one_line_and_write_nothing(study, rows, options, words):
    before = files(rows.folder)
    answer = study("report", "--results", rows.folder, *options)
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert words in answer.err
    assert files(rows.folder) == before


@pytest.mark.full
@pytest.mark.usefixtures("few_figures")
def test_a_place_that_cannot_be_written(study, rows, tmp_path):
    (tmp_path / "file").touch()
    answer = study("report", "--results", rows.folder, "--output", tmp_path / "file" / "page.html")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "cannot be written" in answer.err


@pytest.mark.full
def test_figures_draws_all_that_the_rows_allow_and_says_what_not(study, rows):
    answer = study("figures", "--results", rows.folder)
    assert answer.code == 0, answer.err
    drawn = [Path(line) for line in answer.out.splitlines()]
    assert rows.folder / "figures" / "top.png" in drawn
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    assert "left out: bo: No search has a trial among these rows; run one with `study bo`.\n" in answer.err


@pytest.mark.full
def test_figures_by_name_in_several_formats(study, rows, tmp_path):
    answer = study("figures", "top", "budget", "--results", rows.folder, "--format", "svg,pdf", "--output", tmp_path)
    assert answer.out.split() == [
        str(tmp_path / f"{name}.{kind}") for name in ("top", "budget") for kind in ("svg", "pdf")
    ]
    assert (tmp_path / "top.svg").read_text().startswith("<?xml")
    assert (tmp_path / "budget.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["tpo"], "NAME tpo: unknown; did you mean top?"),
        (["top", "--format", "jpg"], "--format jpg: unknown; did you mean png? Known: pdf, png, svg"),
        (["bo"], "NAME bo: these rows are not enough for any of these figures."),
    ],
)
def test_bad_figures_are_one_line(study, rows, options, words):
    answer = study("figures", *options, "--results", rows.folder)
    assert answer.code == 2
    assert words in answer.err.splitlines()[-1]
    assert not (rows.folder / "figures").exists()
