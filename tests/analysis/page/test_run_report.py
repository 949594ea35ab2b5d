"""The report of a results folder: what figure and tables say, and that nothing is written where none can be made."""

import io
import re

import pytest
from matplotlib.text import Text
from rich.console import Console

from analysis import load, report, top_fraction, top_table
from analysis.figures.drawing.captions import top_caption
from analysis.figures.drawing.files import save
from analysis.figures.methods.top import top_figure
from analysis.tables import plain_table, terminal_table, words
from study.core.errors import InputError
from study.core.evaluation import MetricProtocol
from study.core.trial import Method
from study.storage.files import DamagedFile
from study.storage.schema import DIVERGED, INCEPTION_SHA256

INCEPTION = MetricProtocol(extractor="inception-v3-compat", weights_sha256=INCEPTION_SHA256, n_real=3000, n_fake=3000)
UNKNOWN_WEIGHTS = MetricProtocol(extractor="inception-v3-compat", weights_sha256="0" * 64, n_real=16, n_fake=16)


def draw(study):
    marked = top_fraction(load(study.folder))
    return top_figure(marked, top_table(marked), top_caption(marked))


def texts(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_report_writes_the_figure_beside_the_results(small_study):
    made = report(small_study.folder)
    assert made.figure_path == small_study.folder / "figures" / "top-5-percent.png"
    assert made.figure_path.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in made.figure_path.parent.iterdir()] == ["top-5-percent.png"]
    assert len(made.frame) == 60
    assert list(made.table["method"]) == ["W/O", "GP", "GP 5", "SN"]
    assert report(small_study.folder, fraction=0.1).figure_path.name == "top-10-percent.png"


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_other_formats(small_study, tmp_path, suffix, start):
    path = report(small_study.folder, output=tmp_path / "new" / f"figure{suffix}").figure_path
    assert path.read_bytes().startswith(start)


def test_figure_says_n_k_rule_pool_and_protocol(small_study):
    said = texts(draw(small_study))
    flat = said.replace("\n", " ")
    assert "W/O\nn=24\nk=2" in said
    assert "GP 5\nn=18\nk=1" in said
    for sentence in (
        "best 5 % (k, rounded up) of a method's n trials, by best scored checkpoint",
        "except GP (n_dis 1) and GP 5 (n_dis 5)",
        "digits: 60 trials, 1 diverged, 1 failed; FD (classifier), protocol",
        "360 real and 360 generated images",
        "SN: spectral_norm",
    ):
        assert sentence in flat


def test_boxes_are_those_of_the_table(study):
    scores = [1.0, 2.0, 4.0, 7.0, 11.0]
    study.add_many(None, scores * 20)
    marked = top_fraction(load(study.folder))
    marked["score"] = scores * 20
    figure = top_figure(marked, top_table(marked), "")
    (box,) = figure.axes[0].patches
    assert sorted({round(y, 6) for _, y in box.get_path().vertices})[:2] == [2.0, 7.0]


def test_box_of_few_trials_is_hollow_and_box_of_many_is_filled(study, methods):
    study.add_many(methods["none"], [float(score) for score in range(1, 101)])
    study.add_many(methods["spectral_norm"], [float(score) for score in range(1, 41)])
    assert len(draw(study).axes[0].patches) == 1, "of W/O, k = 5; the box of SN, k = 2, is lines"


@pytest.mark.parametrize(
    ("protocol", "label"), [(INCEPTION, "FID"), (UNKNOWN_WEIGHTS, "FD (inception-v3-compat)")], ids=["known", "unknown"]
)
def test_score_is_called_fid_only_under_the_known_weights(study, protocol, label):
    study.add(score=1.0, protocol=protocol)
    figure = draw(study)
    assert figure.axes[0].get_ylabel() == label
    assert bool(re.search(r"\bFID\b", texts(figure))) == (label == "FID")


def test_datasets_are_facets(study):
    for dataset in ("digits", "celeba-hq-128", "cifar10"):
        study.add(score=1.0, dataset=dataset, protocol=INCEPTION if dataset != "digits" else UNKNOWN_WEIGHTS)
    figure = draw(study)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == ["celeba-hq-128", "cifar10", "digits"]
    assert [ax.get_ylabel() for ax in shown] == ["FID", "FID", "FD (inception-v3-compat)"]


def test_all_diverged_is_said_in_figure_and_table(study):
    study.add_many(None, [DIVERGED] * 3)
    said = texts(draw(study))
    assert "No trial has a score\n3 trials, 3 diverged, 0 failed" in said
    assert "none scored" in said
    assert "no trial has a score" in plain_table(words(report(study.folder).table))


@pytest.mark.parametrize("score", [0.0, -1e-9, 5.0, 1e6])
def test_one_trial_of_any_score_and_method_is_drawn(study, tmp_path, score):
    method = Method(architecture="sndcgan", loss="my_own_loss", options=(("depth", 2),))
    study.add(method, score)
    figure = draw(study)
    assert "my own loss\n[depth=2]" in texts(figure)
    save(figure, tmp_path / "one.png")


def test_trials_above_the_axis_are_counted_on_it(study):
    study.add_many(None, [1.0, 2.0, 3.5, 100.0])
    figure = draw(study)
    assert "↑2" in texts(figure)
    assert figure.axes[0].get_ylim()[1] < 3.5


def test_damaged_results_write_and_change_nothing(study):
    study.add_many(None, [1.0, 2.0])
    table = study.compact() / "trials.parquet"
    table.write_bytes(table.read_bytes()[:100])
    before = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    with pytest.raises(DamagedFile):
        report(study.folder)
    assert {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()} == before


def test_output_that_cannot_be_written(small_study, tmp_path):
    with pytest.raises(InputError, match=r"unknown figure format. Known suffixes: .png"):
        report(small_study.folder, output=tmp_path / "figure.docx")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="the figure cannot be written"):
        report(small_study.folder, output=tmp_path / "file" / "figure.png")


def test_plain_table_is_never_cut_and_agrees_with_the_terminals(small_study, methods):
    small_study.add_many(methods["dragan"], [40.0, *[DIVERGED] * 20])
    table = report(small_study.folder).table
    plain = plain_table(words(table))
    assert plain.splitlines()[0] == "digits: FD (classifier), top 5 % of each method"
    assert re.search(
        r"^W/O +24 +1 +1 +2 +31.50 \[31.25, 31.75\] +31.00  lr=1e-3 β=\(0.5, 0.9\) n_dis=1$", plain, re.MULTILINE
    )
    assert re.search(r"^GP +6 +0 +0 +1 +20.00 +20.00 ", plain, re.MULTILINE), "one trial has no quartiles"
    assert "2 (1 scored)" in plain
    shown = io.StringIO()
    Console(width=200, file=shown).print(terminal_table(words(table)))
    assert [word for word in shown.getvalue().split() if set(word) != {"─"}] == plain.split()
