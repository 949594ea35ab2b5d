"""The tables: the menu, numbers by hand, and layouts that can be read back."""

import io
import math
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from analysis.rows.scores import SETTINGS
from analysis.rows.view import NotEnough, open_rows
from analysis.tables import LAYOUTS, ORDER, csv, latex, markdown, plain, search_words, tables, words
from analysis.tables.layouts import is_words, latex_text
from analysis.tables.methods.comparisons import MOST, compared_pairs
from study.core.trial import Method
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED

NAMES = ("best", "settings", "comparisons", "published", "paper", "searches")


def computed(name, rows):
    return tables()[name].compute(rows)


def printed(name, rows):
    kind, frame = tables()[name], computed(name, rows)
    return plain(kind.words(frame), kind.caption(rows, frame))


def test_the_menu_is_the_folder_in_its_order():
    assert tuple(tables()) == ORDER and set(NAMES) <= set(ORDER)
    assert all(kind.name == name and kind.title for name, kind in tables().items())


@pytest.mark.parametrize("name", ["best", "settings", "comparisons"])
def test_captions_say_rule_pool_and_protocol(small_study, name):
    rows = open_rows(small_study.folder)
    said = printed(name, rows)
    for words_ in ("best scored checkpoint", "each seed of a setting", "1 diverged, 1 failed; FD (classifier)"):
        assert words_ in said
    assert "SN: spectral_norm" in said


def test_settings_by_hand(study):
    """Medians over seeds, those without a score last: of 1, 2, 9 it is 2; of 3, 3.5 and none 3.5; of 0.5 alone none."""
    for rate, scores in ((1e-3, [1.0, 2.0, 9.0]), (2e-3, [3.0, DIVERGED, 3.5]), (3e-3, [0.5, DIVERGED, DIVERGED])):
        study.add_many(None, scores, learning_rate=rate)
    study.add_many(None, [2.5], learning_rate=4e-3)
    frame = computed("settings", open_rows(study.folder))
    assert frame["learning_rate"].tolist() == [1e-3, 4e-3, 2e-3]
    assert frame["place"].tolist() == [1, 2, 3] and set(frame["settings"]) == {4}
    assert frame["seeds"].tolist() == [3, 1, 3] and frame["scored"].tolist() == [3, 1, 2]
    assert frame["median"].tolist() == [2.0, 2.5, 3.5]
    assert frame[["low", "high"]].to_numpy().tolist() == [[1, 9], [2.5, 2.5], [3, 3.5]]
    assert frame["spread"].tolist() == pytest.approx([8, math.nan, 0.5], nan_ok=True, abs=0)
    block = next(iter(tables()["settings"].words(frame)))[1]
    assert block["method"] == ["W/O", "", ""]
    assert block["seeds"] == ["3", "1", "3 (2 scored)"]
    assert block["over seeds"] == ["[1.00, 9.00]", "-", "[3.00, 3.50]"]


def test_settings_are_the_same_whatever_the_pool(small_study):
    trainings = computed("settings", open_rows(small_study.folder))
    pd.testing.assert_frame_equal(trainings, computed("settings", open_rows(small_study.folder, pool=SETTINGS)))


def test_comparisons_are_those_of_compare_with_both_statistics(study, methods):
    rng = np.random.default_rng(0)
    for method, shift in (("none", 50), ("spectral_norm", 0), ("dragan", 100)):
        study.add_many(methods[method], [float(score) for score in rng.uniform(10, 20, 60) + shift])
    rows = open_rows(study.folder)
    frame = computed("comparisons", rows)
    assert frame[["a", "b"]].to_numpy().tolist() == [["W/O", "DR"], ["W/O", "SN"], ["DR", "SN"]]
    assert frame["verdict"].tolist() == ["lower", "higher", "higher"]
    assert set(frame["level"]) == {1 - 0.05 / 3}
    cells = next(iter(tables()["comparisons"].words(frame)))[1]
    assert cells["verdict"] == ["a lower", "b lower", "b lower"]
    assert cells["n"] == ["60 : 60"] * 3
    assert "Simultaneous intervals for all pairs of a dataset at 95 %" in printed("comparisons", rows)


def test_pairs_differ_in_one_thing():
    first = ["W/O, sndcgan", "SN, sndcgan", "SN, resnet19", "GP, resnet19"]
    pairs = compared_pairs(first)
    assert ("W/O, sndcgan", "GP, resnet19") not in pairs and ("SN, sndcgan", "GP, resnet19") not in pairs
    assert ("SN, sndcgan", "SN, resnet19") in pairs and len(pairs) == 3
    many = [f"{number}, {network}" for number in range(20) for network in ("a", "b")]
    assert len(many) * (len(many) - 1) / 2 > MOST
    assert compared_pairs(many) == [
        (f"{n}, {network}", f"0, {network}") for n in range(1, 20) for network in ("a", "b")
    ]


def test_nothing_to_show_says_what_it_takes(study):
    study.add_many(None, [DIVERGED] * 3)
    rows = open_rows(study.folder)
    assert "no trial has a score" in printed("best", rows)
    for name, said in (
        ("settings", "No setting has a median"),
        ("comparisons", "No trial has a score"),
        ("published", "The published models are of cifar10, celeba-hq-128, lsun-bedroom-128"),
        ("paper", "Figures 1 to 4 show celeba-hq-128, lsun-bedroom-128"),
        ("searches", "No search has a trial"),
    ):
        with pytest.raises(NotEnough, match=said):
            computed(name, rows)


def test_one_method_has_no_comparison(study):
    study.add_many(None, [1.0, 2.0])
    with pytest.raises(NotEnough, match="needs two methods"):
        computed("comparisons", open_rows(study.folder))


def test_one_method_in_two_datasets_is_not_compared(study):
    study.add_many(None, [1.0, 2.0])
    study.add_many(None, [1.0, 2.0], dataset="cifar10")
    with pytest.raises(NotEnough, match="needs two methods"):
        computed("comparisons", open_rows(study.folder))


def test_searches_are_as_the_report_of_searches_shows_them(study):
    from analysis import search_report

    study.search([[float(50 - number)] for number in range(6)])
    study.search([[DIVERGED], [30.0]], n_dis=5)
    study.random([float(score) for score in range(1, 9)])
    rows = open_rows(study.folder)
    made = search_report(study.folder)
    frame = computed("searches", rows)
    assert [*tables()["searches"].words(frame)] == [*search_words(made.rounds, made.chosen)]
    assert tables()["searches"].caption(rows, frame) == made.caption
    assert frame["best_after_round_6"].tolist() == pytest.approx([45.0, math.nan], nan_ok=True)
    assert frame["best_after_round_1"].tolist() == pytest.approx([50.0, math.nan], nan_ok=True)


def test_a_file_alone_has_no_searches(study, tmp_path):
    study.search([[1.0]])
    alone = shutil.copy(study.compact() / "trials.parquet", tmp_path)
    with pytest.raises(NotEnough, match="No search"):
        computed("searches", open_rows(alone))


def test_trials_of_searches_are_said_to_be_adaptive_and_are_not_compared_with_others(study, methods):
    study.search([[1.0, 2.0]])
    assert "2 trials were chosen by the scores of others: adaptive, not exchangeable." in printed(
        "best", open_rows(study.folder)
    )
    study.search([[3.0, 4.0]], method=methods["spectral_norm"])
    among = open_rows(study.folder)
    assert among.without_adaptive is among and computed("comparisons", among)["n_a"].tolist() == [2]
    study.add_many(methods["spectral_norm"], [5.0, 6.0, 7.0])
    study.add_many(methods["none"], [8.0])
    beside = open_rows(study.folder)
    (pair,) = computed("comparisons", beside).to_dict("records")
    assert (pair["n_a"], pair["n_b"], pair["raw_b"]) == (1, 3, 5.0)
    assert "Trials that were selected by the scores of other trials are excluded." in printed("comparisons", beside)


STRANGE = {"method": ["a|b", "my_loss & more", "SN"], "median": ["1.50", "-", "[2.00, inf]"], "λ": ["5 %", "", "0.1"]}


def markdown_table(text):
    """The cells of the first table of a Markdown text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in row] for row in rows]


def test_markdown_reads_back():
    header, rule, *rows = markdown_table(markdown([("t", STRANGE)], "one\ntwo"))
    assert header == list(STRANGE)
    assert rule == [":--", "--:", "--:"]
    assert rows == [list(row) for row in zip(*STRANGE.values(), strict=True)]


def test_markdown_of_a_study_reads_back(small_study):
    rows = open_rows(small_study.folder)
    kind = tables()["best"]
    frame = kind.compute(rows)
    ((title, cells),) = kind.words(frame)
    text = markdown(kind.words(frame), kind.caption(rows, frame))
    header, _, *body = markdown_table(text)
    assert header == list(cells) and body == [list(row) for row in zip(*cells.values(), strict=True)]
    assert text.startswith(f"**{title}**")
    assert "FD (classifier), protocol" in text and "n_dis" in text


@pytest.mark.parametrize("name", ["best", "settings", "comparisons"])
def test_csv_is_the_frame_to_the_last_bit(small_study, name):
    frame = computed(name, open_rows(small_study.folder))
    back = pd.read_csv(io.StringIO(csv(frame)))
    assert list(back.columns) == list(frame.columns)
    for column in frame.select_dtypes("number"):
        np.testing.assert_array_equal(back[column].to_numpy(float), frame[column].to_numpy(float), err_msg=column)
    assert back["dataset"].tolist() == frame["dataset"].tolist()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("5 %", r"5 \%"),
        ("n_dis", r"n\_dis"),
        ("a & b", r"a \& b"),
        ("λ=10", r"$\lambda$=10"),
        ("β=(0.5, 0.9)", r"$\beta$=(0.5, 0.9)"),
        ("{x} #1 $2", r"\{x\} \#1 \$2"),
        ("a\\b ~ ^", r"a\textbackslash{}b \textasciitilde{} \textasciicircum{}"),
        ("[1, 2] < 3 | ≥", r"{[}1, 2{]} $<$ 3 \textbar{} $\geq$"),
        ("`study bo --rounds` \N{EN DASH}", r"\textasciigrave{}study bo -{}-rounds\textasciigrave{} \textendash{}"),
    ],
)
def test_latex_escapes(text, escaped):
    assert latex_text(text) == escaped


@pytest.mark.parametrize("name", ["best", "settings", "comparisons"])
def test_latex_is_balanced_and_ascii(small_study, name):
    """What a compiler would trip over: unequal columns, open braces or environments, letters of no font."""
    rows = open_rows(small_study.folder)
    kind = tables()[name]
    frame = kind.compute(rows)
    text = latex(kind.words(frame), kind.caption(rows, frame))
    assert text.isascii()
    bare = re.sub(r"\\[\\{}%&_#$]", "", text)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0 and "_" not in bare
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"]
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
    lines = [re.sub(r"\\&", "", line) for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} == {columns - 1}
    assert [line for line in text.splitlines() if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]


def test_columns_of_words_start_at_the_left():
    assert is_words("status", ["compared", "missing"]) and is_words("method", ["1-GP", "-"])
    assert not is_words("score", ["-", "1.5"]) and not is_words("interval", ["[-inf, 3.00]", "-"])
    assert not is_words("difference", ["+1.20", "-0.30"]) and not is_words("empty", ["-", "-"])


def test_names_of_ones_own_are_shown_in_every_layout(study):
    study.add_many(Method(architecture="mine", loss="my_loss", options=(("gain_a", 2),)), [1.0, 2.0])
    rows = open_rows(study.folder)
    for name in ("best", "settings"):
        kind = tables()[name]
        frame = kind.compute(rows)
        for layout in LAYOUTS.values():
            text = layout(kind.words(frame), kind.caption(rows, frame))
            assert "my loss" in text
            assert "gain" in text


def test_words_are_those_that_stood(small_study):
    """`words` of `analysis.tables` is the block of the table `best`."""
    frame = computed("best", open_rows(small_study.folder))
    assert [*words(frame)] == [*tables()["best"].words(frame)]


def test_memberships_of_others_are_no_searches(study):
    trial = study.add(score=1.0)
    add_memberships(study.folder, "grid", "digits", [trial])
    with pytest.raises(NotEnough, match="No search"):
        computed("searches", open_rows(study.folder))
