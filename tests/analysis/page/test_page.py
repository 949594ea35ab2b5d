"""The page about a study: what it says, whatever the rows; that names are harmless in it; that it is written whole."""

import base64
import html.parser
import re
from datetime import UTC, datetime

import pandas as pd
import pytest

from analysis.figures import figures
from analysis.frames.methods.overview import dataset_overview
from analysis.frames.methods.typical import typical_trials
from analysis.page import compose, write_html, write_markdown
from analysis.page.document import Absent, Drawing, Gallery, KeyNumbers, Table, Text, sort_key
from analysis.page.html import html as render
from analysis.page.markdown import markdown, plain
from analysis.rows.coverage import count_without_row, coverage, failure_reasons
from analysis.rows.provenance import protocols, provenance, times
from analysis.rows.scores import SETTINGS
from analysis.rows.view import open_rows
from analysis.tables import tables
from study.core.errors import InputError
from study.core.evaluation import MetricProtocol
from study.core.trial import Method
from study.storage.files import replace
from study.storage.memberships import add_memberships
from study.storage.schema import DIVERGED, FAILED, STOPPED

OTHER = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=100, n_fake=100)
CLASSIFIER_ID = MetricProtocol(extractor="classifier", weights_sha256="c" * 64, n_real=360, n_fake=360).id
PNG = b"\x89PNG not really"


pytestmark = pytest.mark.usefixtures("few_figures")


@pytest.fixture
def few_figures(monkeypatch):
    """The page with two figures of the menu, which is enough where figures are not what is tested, and quick."""
    monkeypatch.setattr("analysis.page.sections.figures", lambda: {name: figures()[name] for name in ("top", "bo")})


class Tags(html.parser.HTMLParser):
    """The tags, with attributes, and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def items(page, kind):
    return [item for section in page.sections for item in section.items if isinstance(item, kind)]


def said(page):
    texts = [paragraph for item in items(page, Text) for paragraph in item.paragraphs]
    return " ".join([*texts, *(item.sentence for item in items(page, Absent))])


def section(page, name):
    (found,) = [section for section in page.sections if section.name == name]
    return found


def test_every_figure_and_table_of_the_menus_is_there_or_says_what_it_takes(small_study, monkeypatch):
    monkeypatch.setattr("analysis.page.sections.figures", figures)
    page = compose(open_rows(small_study.folder))
    shown = [item.title for item in items(page, (Drawing, Table, Absent)) if item.title]
    wanted = [kind.title for kind in (*figures().values(), *tables().values())]
    assert set(wanted) <= set(shown)
    assert "No search has a trial" in said(page)
    names = ["summary", "figures", "tables", "claims", "samples", "searches", "coverage", "failures", "provenance"]
    assert [section.name for section in page.sections] == names


def test_the_page_needs_nothing_else_and_its_images_say_what_they_show(small_study):
    page = compose(open_rows(small_study.folder))
    found = Tags(render(page))
    addresses = [value for _, all_ in found.tags for name, value in all_.items() if name in ("src", "href")]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert not any(tag in ("link", "iframe") and not all_["href"].startswith("data:") for tag, all_ in found.tags)
    images = [all_ for tag, all_ in found.tags if tag == "img"]
    assert [image["alt"] for image in images] == [drawing.caption for drawing in items(page, Drawing)]
    anchors = {all_["id"] for _, all_ in found.tags if "id" in all_}
    assert {address[1:] for address in addresses if address.startswith("#")} <= anchors


@pytest.mark.full
def test_clouds_of_many_points_are_pixels_and_few_are_lines(small_study, monkeypatch):
    page = compose(open_rows(small_study.folder))
    assert "data:image/svg+xml" in render(page)
    monkeypatch.setattr("analysis.page.images.LARGE", 1000)
    assert "data:image/svg+xml" not in render(page)


@pytest.mark.full
def test_the_same_rows_give_the_same_page(small_study):
    rows = open_rows(small_study.folder)
    assert render(compose(rows)) == render(compose(rows))


@pytest.mark.full
def test_summary_names_the_leader_and_what_is_not_resolved(study, methods):
    study.add_many(methods["none"], [float(score) for score in range(100, 160)])
    study.add_many(methods["spectral_norm"], [float(score) for score in range(1, 61)])
    study.add_many(methods["dragan"], [float(score) for score in range(2, 62)])
    rows = open_rows(study.folder, fraction=0.2)
    (row,) = dataset_overview(rows).to_dict("records")
    assert (row["leader"], row["n"], row["k"], row["median"]) == ("SN", 60, 12, 6.5)
    assert (row["better_than"], row["not_resolved"]) == (("W/O",), ("DR",))
    assert row["level"] == pytest.approx(1 - 0.05 / 3)
    # The quantile at 0.1 of 60: P(Bin(60, 0.1) <= 1) = 0.0138, <= 2) = 0.0530, <= 10) = 0.9658, <= 11) = 0.9872.
    assert (row["interval_fraction"], row["low"], row["high"]) == (0.2, 2.0, 12.0)
    assert (row["best"], row["best_method"]) == (1.0, "SN")
    text = said(compose(rows))
    assert "SN leads: the best 20 % (k = 12) of its 60 trainings have the lowest median, 6.50 [2.00, 12.00]." in text
    assert "better than W/O, simultaneously for all pairs at 95 %. Not resolved: the comparisons with DR." in text


@pytest.mark.full
def test_too_few_trials_for_an_interval_are_said_so(small_study):
    text = said(compose(open_rows(small_study.folder)))
    assert "18 trainings are too few for an interval of that median; for their best" in text


def test_all_diverged(study, methods):
    study.add_many(methods["none"], [DIVERGED] * 3)
    study.add_many(methods["spectral_norm"], [FAILED])
    page = compose(open_rows(study.folder))
    assert "no trial has a score (4 trials, 3 diverged, 1 failed)" in said(page)
    (gallery,) = items(page, Gallery)
    assert {sample.image for sample in gallery.samples} == {"The trial of this rank has no score."}
    assert render(page)


@pytest.mark.full
def test_one_method_and_one_trial(study):
    study.add(score=3.0)
    page = compose(open_rows(study.folder))
    assert "There is only one method, so no comparison." in said(page)
    assert "1 trainings are too few for an interval of that median, or of any." in said(page)
    assert render(page)


@pytest.mark.full
def test_stopped_trials_count_in_no_pool(study, methods):
    study.add_many(methods["none"], [1.0, 2.0, STOPPED])
    (row,) = dataset_overview(open_rows(study.folder)).to_dict("records")
    assert (row["trials"], row["n"], row["stopped"]) == (3, 2, 1)
    assert ("stopped early", "1") in items(compose(open_rows(study.folder)), KeyNumbers)[0].pairs


@pytest.mark.full
def test_several_datasets_each_have_their_paragraph(study):
    for dataset in ("digits", "cifar10"):
        study.add(score=1.0, dataset=dataset)
    page = compose(open_rows(study.folder))
    assert "On cifar10, by FD (classifier)" in said(page) and "On digits, by FD (classifier)" in said(page)
    assert [gallery.title for gallery in items(page, Gallery)] == ["cifar10", "digits"]


HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"`|*['


def test_hostile_names_are_text(study):
    study.add(Method(architecture="sndcgan", loss=HOSTILE), 1.0)
    study.add(Method(architecture="sndcgan", loss=HOSTILE), DIVERGED, seed=1)
    add_memberships(study.folder, HOSTILE, f"digits {HOSTILE}", [study.add(score=2.0)])
    rows = open_rows(study.folder)
    rows.trials["reason"] = rows.trials["reason"].where(rows.trials["reason"].isna(), HOSTILE)
    rows.trials["host"] = HOSTILE
    page = compose(
        rows,
        at_work=[HOSTILE],
        command=["study", "report", HOSTILE],
        images=dict.fromkeys(rows.trials["trial_id"], HOSTILE),
    )
    text = render(page)
    found = Tags(text)
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert not any(name.startswith("on") for _, all_ in found.tags for name in all_)
    assert not any(all_.get("src") == "x" for _, all_ in found.tags)
    assert HOSTILE in "".join(found.text)
    policy = next(all_["content"] for tag, all_ in found.tags if "http-equiv" in all_)
    assert re.search(
        r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[\w+/]+='", policy
    )
    written, _ = markdown(page)
    assert not re.search(r"<(script|img)", re.sub(r"^    .*$", "", written, flags=re.M))


@pytest.mark.full
def test_the_policy_allows_the_script_that_is_there(small_study):
    import hashlib

    text = render(compose(open_rows(small_study.folder)))
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in text


def test_coverage_tells_what_is_done_begun_missing_and_scored_otherwise(study, methods):
    done = [study.add(score=1.0, seed=0), study.add(score=DIVERGED, seed=1)]
    other = study.add(score=1.0, seed=2, protocol=OTHER)
    probe = [study.add(methods["dragan"], 1.0, seed=seed, protocol=OTHER) for seed in range(2)]
    for trial in probe:
        next(study.folder.glob(f"parts/*/{trial.id}-*.json")).unlink()
    (study.folder / "unfinished").mkdir()
    (study.folder / "unfinished" / f"{probe[0].id}-{'a' * 12}.pt").touch()
    (study.folder / "unfinished" / f".{probe[1].id}-{'a' * 12}.pt.1-2.tmp").touch()
    (study.folder / "unfinished" / f"{done[0].id}-{'a' * 12}.pt").touch()
    add_memberships(study.folder, "mine", "digits", [*done, other, *probe])
    add_memberships(study.folder, "again", "digits", done[:1])
    add_memberships(study.folder, "later", "cifar10", probe[:1])
    rows = open_rows(study.folder, protocol=CLASSIFIER_ID)
    found = coverage(rows).set_index(["space", "context"])
    assert dict(found.loc[("mine", "digits")]) == {
        "planned": 5, "finished": 1, "diverged": 1, "failed": 0, "stopped": 0,
        "other_protocol": 1, "begun": 1, "missing": 1,
    }  # fmt: skip
    assert dict(found.loc[("again", "digits")])["finished"] == 1
    assert list(found.index) == [("mine", "digits"), ("again", "digits"), ("later", "cifar10")]
    assert count_without_row(rows) == 2
    page = compose(rows, at_work=["all trials, process 7 on here"])
    assert (
        "This study is not finished: 2 planned trials have no row yet. It is running now (all trials, process 7"
        in said(page)
    )
    assert ("trials", "2 of 5") in items(page, KeyNumbers)[0].pairs
    table = section(page, "coverage").items[0]
    assert table.cells["done"][:2] == ["40 %", "100 %"]


def test_other_datasets_are_not_in_the_coverage_of_one(study):
    for dataset in ("digits", "cifar10"):
        add_memberships(study.folder, "mine", dataset, [study.add(score=1.0, dataset=dataset)])
    assert list(coverage(open_rows(study.folder, dataset="digits"))["context"]) == ["digits"]


@pytest.mark.full
def test_a_finished_study_says_nothing_of_being_unfinished(small_study):
    page = compose(open_rows(small_study.folder))
    assert not any(item.note for item in items(page, Text))
    assert "No plan was recorded" in said(page)


@pytest.mark.full
def test_a_table_alone_gives_a_page_too(small_study):
    folder = small_study.compact()
    page = compose(open_rows(folder / "trials.parquet"))
    assert "No plan was recorded" in said(page)
    assert render(page)


@pytest.mark.full
def test_troubles_are_counted_by_reason_without_their_numbers(study, methods):
    study.add_many(methods["none"], [DIVERGED] * 5 + [FAILED] * 2)
    study.add_many(methods["dragan"], [DIVERGED] * 2)
    rows = open_rows(study.folder)
    assert section(compose(rows), "failures").items[0].cells["trials"] == ["2", "7"]
    steps = iter((3, 100, 7, 8, 9, 10, 11))
    wrong = rows.trials["status"] == DIVERGED
    rows.trials.loc[wrong, "reason"] = [f"D's loss is not finite at step {next(steps)}" for _ in range(7)]
    rows.trials.loc[rows.trials["status"] == FAILED, "reason"] = ["out of 12 bytes at 0xff", "out of 7.5 bytes at 0x1"]
    found = failure_reasons(rows).to_dict("records")
    assert [(row["status"], row["trials"], row["methods"]) for row in found] == [
        ("failed", 2, "W/O 2"),
        ("diverged", 7, "W/O 5, DR 2"),
    ]
    assert (found[1]["reason"], found[1]["first_step"], found[1]["last_step"]) == ("D's loss is not finite", 3, 100)
    assert section(compose(rows), "failures").items[0].cells["at steps"] == ["-", "3 to 100"]


def test_typical_trials_are_the_best_and_the_lower_middle_one(study, methods):
    trials = [study.add(score=float(score), seed=score) for score in (5, 1, 4, 2)]
    study.add(methods["dragan"], 7.0)
    study.add(methods["dragan"], DIVERGED, seed=1)
    study.add(methods["dragan"], DIVERGED, seed=2)
    found = typical_trials(open_rows(study.folder).scored).set_index(["method", "which"])
    assert tuple(found.loc[("W/O", "best")][["rank", "n", "score", "trial_id"]]) == (1, 4, 1.0, trials[1].id)
    assert tuple(found.loc[("W/O", "median")][["rank", "n", "score", "trial_id"]]) == (2, 4, 2.0, trials[3].id)
    assert found.loc[("DR", "best"), "score"] == 7.0
    assert pd.isna(found.loc[("DR", "median"), "trial_id"])


def test_of_pooled_settings_the_median_one_is_of_the_settings(study):
    for rate, scores in enumerate(((1.0, 9.0, 5.0), (2.0, 3.0, 4.0), (8.0, 8.0, 8.0)), 1):
        for seed, score in enumerate(scores):
            study.add(score=score, seed=seed, learning_rate=rate * 1e-4)
    found = typical_trials(open_rows(study.folder, pool=SETTINGS).scored)
    assert list(found["score"]) == [3.0, 5.0]


@pytest.mark.full
def test_samples_are_shown_or_it_is_said_why_not(study):
    best, worst = study.add(score=1.0), study.add(score=2.0, seed=1)
    study.add(score=3.0, seed=2)
    page = compose(open_rows(study.folder), images={best.id: PNG, worst.id: "No generator was kept of this trial."})
    assert base64.b64encode(PNG).decode() in render(page)
    assert "No generator was kept of this trial." in render(page)


def test_a_run_does_not_end_before_it_started_if_the_clock_was_set_back(study):
    study.add(score=1.0)
    rows = open_rows(study.folder)
    rows.trials["finished_at"] -= pd.Timedelta(days=1)
    assert times(rows)["ended"] == times(rows)["started"]


def test_provenance_counts_rows_by_what_made_them(study):
    study.add(score=1.0)
    study.add(score=1.0, seed=1, protocol=OTHER)
    rows = open_rows(study.folder, protocol=OTHER.id)
    rows.trials["source"] = "continued from 0123456789abcdef"
    found = provenance(rows).set_index("field")
    assert tuple(found.loc["images"]) == (f"digits {'d' * 64}", 1)
    assert tuple(found.loc["torch"]) == ("2.13.0", 1)
    assert found.loc["source", "value"] == "continued from a shorter trial"
    both = protocols(rows).set_index("protocol_id")
    assert list(both.loc[OTHER.id, ["shown", "trials", "n_real"]]) == [True, 1, 100]
    assert not both.loc[CLASSIFIER_ID, "shown"]


def test_searches_have_their_figure_and_tables(study):
    study.search([[5.0, 4.0], [3.0, DIVERGED]])
    page = compose(open_rows(study.folder))
    found = section(page, "searches").items
    assert isinstance(found[0], Drawing) and len(found) > 2
    assert all(isinstance(item, Table) for item in found[1:])
    assert "4 trials were chosen by the scores of others" in said(page)
    assert "Bayesian trials are adaptive" in found[0].caption


@pytest.mark.full
def test_who_leads_is_judged_without_trials_that_scores_chose(study, methods):
    study.search([[1.0, 2.0], [1.5, 2.5]])
    study.add_many(methods["none"], list(range(40, 60)))
    study.add_many(methods["spectral_norm"], list(range(10, 30)))
    page = said(compose(open_rows(study.folder)))
    assert "SN leads: the best 5 % (k = 1) of its 20 trainings" in page
    assert "The best single trial is one of W/O: 1.00" in page
    assert "4 trials were chosen by the scores of others: adaptive, not exchangeable. They are excluded from" in page


def test_numbers_sort_by_size_and_what_is_missing_is_empty():
    texts = ["1,200", "40.86 [40.74, 40.98]", "5 %", "-", "", "2e-4", "[-1.5, 2]", "-inf", "\N{MINUS SIGN}3", "< 7"]
    keys = ["1200.0", "40.86", "5.0", "", "", "0.0002", "-1.5", "-Infinity", "-3.0", "7.0"]
    assert [sort_key(text, number=True) for text in texts] == keys
    table = Table(title="", cells={"n": ["1", "-", "20 (3 scored)"], "id": ["5e1", "1a2b", "77"], "none": ["-"] * 3})
    assert table.numeric == {"n": True, "id": False, "none": False}


def test_lines_that_repeat_a_method_say_so_once_they_can_be_sorted(study, methods):
    for rate in range(1, 5):
        study.add_many(methods["none"], [float(rate), 2.0], learning_rate=rate * 1e-4)
    page = compose(open_rows(study.folder))
    (settings,) = [item for item in items(page, Table) if item.title == tables()["settings"].title]
    assert set(settings.cells["method"]) == {"W/O"} and len(settings.cells["method"]) > 1


@pytest.mark.full
def test_it_is_written_whole_or_not_at_all(small_study, tmp_path, monkeypatch):
    page = compose(open_rows(small_study.folder))
    path = write_html(page, tmp_path / "new" / "page.html")
    before = path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]

    def full(path, write, *rest):
        def half(file):
            write(file)
            raise OSError(28, "No space left on device")

        replace(path, half, *rest)

    monkeypatch.setattr("analysis.page.html.replace", full)
    monkeypatch.setattr("analysis.page.markdown.replace", full)
    for write, name in ((write_html, "page.html"), (write_markdown, "page.md")):
        with pytest.raises(InputError, match="cannot be written \\(No space left on device\\)"):
            write(page, path.with_name(name))
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.rglob("*") if each.is_file()] == ["page.html"]


@pytest.mark.full
def test_markdown_shows_files_that_are_there(small_study, tmp_path):
    rows = open_rows(small_study.folder)
    first = typical_trials(rows.scored)["trial_id"].iloc[0]
    path = write_markdown(compose(rows, images={first: PNG}), tmp_path / "page.md")
    text = path.read_text()
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert f"samples/{first}.png" in shown and "figures/top.png" in shown
    for name in shown:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^\| method \| trials \|.*\n\| --- \| ---: \|", text, flags=re.M)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)


def test_markdown_escapes_its_marks():
    assert plain("a|b `c` *d* <e> [f](g)\nh_i") == r"a\|b \`c\` \*d\* &lt;e&gt; [f]\(g) h_i"


@pytest.mark.full
def test_the_time_of_the_page_is_on_it(small_study):
    page = compose(open_rows(small_study.folder), now=datetime(2026, 5, 4, 3, 2, tzinfo=UTC))
    assert page.subtitle == "As of 2026-05-04 03:02 UTC"
