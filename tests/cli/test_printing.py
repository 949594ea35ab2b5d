"""Names from outside and symbols of our own, printed on every terminal, in every encoding and in every document."""

import contextlib
import html
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study.storage.memberships import add_memberships
from study.storage.tables import compact, read_table
from tests.cli.test_status import trial
from tests.conftest import quick_only
from tests.parts import leave

EVIL = "a\x1b]0;title\x07\nb\x9b31m[red]x[/red]:x:\u202e<script>"
SHOWN = "a\\x1b]0;title\\x07\\nb\\x9b31m[red]x[/red]:x:\\u202e<script>"
CONTROL = {"\x1b", "\x07", "\x9b", "\u202e"}
PLAIN = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder, in which someone has put control characters and markup into every name."""
    folder = tmp_path_factory.mktemp("evil")
    for seed in range(3):
        leave(folder, trial(seed), status="failed" if seed == 2 else "finished", seconds=1.0)
    add_memberships(folder, "grid", "digits", [trial(seed) for seed in range(4)])
    compact(folder)
    changes = {
        "trials": {"dataset": EVIL, "host": EVIL, "device": EVIL},
        "memberships": {"space": EVIL, "context": EVIL},
    }
    for name, change in changes.items():
        table = read_table(folder, name)
        rows = [row | change | ({"reason": EVIL} if row.get("reason") else {}) for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def evil(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "r"))


def check(text: str) -> None:
    assert not set(text) & CONTROL
    assert "\nb" not in text
    assert SHOWN in text


@pytest.mark.parametrize("words", ["status", "table best", "table costs --format csv"])
def test_names_in_rows_are_escaped(study, evil: Path, words: str) -> None:
    answer = study(*words.split(), "--results", evil)
    assert (answer.code, answer.err) == (0, "")
    check(answer.out)


@pytest.mark.parametrize(("form", "shown"), [("latex", r"\textbackslash{}x1b"), ("markdown", r"\\x1b")])
def test_formats_escape_the_escapes(study, evil: Path, form: str, shown: str) -> None:
    answer = study("table", "best", "--format", form, "--results", evil)
    assert answer.code == 0
    assert not set(answer.out) & CONTROL and shown in answer.out


@pytest.mark.full
@pytest.mark.parametrize("page", ["page.html", "page.md"])
def test_names_in_a_page_are_escaped(study, evil: Path, page: str) -> None:
    answer = study("report", "--results", evil, "--output", evil / page)
    assert answer.code == 0
    check(answer.out)
    text = (evil / page).read_text("utf-8")
    assert not set(text) & CONTROL
    assert SHOWN in html.unescape(text) if page.endswith("html") else SHOWN.replace("\\", "\\\\") in html.unescape(text)
    assert text.count("<script>") == 1 or page.endswith("md")  # the page's own


def test_a_name_with_control_characters_selects_rows(study, evil: Path) -> None:
    for options in (["--dataset", EVIL], ["--dataset", SHOWN], ["--space", EVIL]):
        assert study("table", "best", *options, "--results", evil).code == 0
    lost = os.fsdecode(b"\xff\x1b")
    answer = study("table", "best", "--dataset", lost, "--results", evil)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith("--dataset \\udcff\\x1b: unknown.") and SHOWN in answer.err


def on_terminal(*words: object, **variables: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "study", *map(str, words)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", **variables}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # raised when the other side has closed it
            while more := os.read(ours, 4096):
                seen += more
        os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode()


@pytest.mark.parametrize("words", quick_only(["status", "table best", "claims"], ["status"]))
def test_on_a_terminal_names_are_neither_commands_nor_markup(evil: Path, words: str) -> None:
    text = on_terminal(*words.split(), "--results", evil)
    assert not set(text) & (CONTROL - {"\x1b"}) and "\x1b]" not in text
    assert words == "claims" or SHOWN in text


@pytest.mark.parametrize("name", quick_only(PLAIN, ["C"]))
def test_every_encoding_prints_our_symbols(tmp_path: Path, name: str) -> None:
    for seed in range(2):
        leave(tmp_path / "résultats", trial(seed))
    command = [sys.executable, "-m", "study", "table", "best", "--results", str(tmp_path / "résultats")]
    ran = subprocess.run(command, env={**os.environ, **PLAIN[name]}, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b" beta=(" in ran.stdout


@pytest.mark.parametrize("name", quick_only(PLAIN, ["C"]))
def test_on_a_terminal_without_unicode_tables_are_drawn_with_other_signs(evil: Path, name: str) -> None:
    text = on_terminal("status", "--results", evil, **PLAIN[name])
    assert text.isascii() and "PYTHONIOENCODING" not in text
    assert "----" in text  # the bar of what is done


def test_names_of_files_and_classes_are_escaped(study, tmp_path: Path) -> None:
    name = os.fsdecode(b"a\x1b[31m\xff\n[red]x")
    for place in (name, "other"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number, 0, len(place))).save(tmp_path / "images" / place / f"{number}.png")
    (tmp_path / "images" / "other" / f"broken{name}.png").write_text("no image")
    answer = study(
        *("data", "prepare", "mine", "--source", tmp_path / "images", "--resolution", 8, "--test-fraction", 0.5),
        *("--data-dir", tmp_path / name),
    )
    assert (answer.code, answer.err) == (0, "")
    assert "\x1b" not in answer.out and "\n[red]" not in answer.out
    shown = "a\\x1b[31m\\udcff\\n[red]x"
    assert f"prepared: {tmp_path}/{shown}/mine\n" in answer.out
    assert f"2 classes: {shown}, other\n" in answer.out
    assert f"(the first: other/broken{shown}.png)" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        *(["status", "--results"], ["run"], ["spaces"], ["train", "--dataset"], ["data", "verify"], ["table"], []),
        *(["evaluate", "--images"], ["data", "prepare", "cifar10", "--source"], ["plan", "--bench"]),
    ],
    ids=" ".join,
)
def test_names_in_errors_are_escaped(study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    answer = study(*words, EVIL)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert not set(answer.err) & CONTROL
    assert "b\\x9b31m[red]x[/red]:x:\\u202e<script>" in answer.err


def test_a_reason_that_no_table_can_store_is_stored_escaped(tmp_path: Path) -> None:
    """It would otherwise be set aside as damaged, and the trial would have no row."""
    from study.core.trial import Hyperparameters, Method
    from study.driver.planning import plan
    from study.worker.outcome import record_loss
    from tests.requests import make_request

    request = make_request(datasets=["digits"], results=tmp_path / "r", data_dir=tmp_path, n_fake=64)
    numbers = Hyperparameters(learning_rate=1e-3, beta1=0.5, beta2=0.9, n_dis=1)
    planned = plan.plan_trial(request, Method(architecture="sndcgan"), numbers, 0)
    record_loss(planned.trial, planned.context, os.fsdecode(b"no file \xff\x1b"))
    assert compact(tmp_path / "r") == 1
    assert read_table(tmp_path / "r", "trials")["reason"].to_pylist() == ["no file \\udcff\\x1b"]


def test_the_reader_of_a_watch_that_has_gone_ends_it(tmp_path: Path) -> None:
    leave(tmp_path, trial(0))
    add_memberships(tmp_path, "grid", "digits", [trial(0), trial(1)])
    command = f"{sys.executable} -m study status --watch --every 0.1 --results {tmp_path} | true"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.full
@pytest.mark.parametrize("redirection", ["| true", "> /dev/full", ">&-"])
def test_training_does_not_fail_for_a_line_that_nobody_reads(tmp_path: Path, redirection: str) -> None:
    words = "train --width 8 --batch-size 8 --n-real 64 --n-fake 64 --discriminator-steps 4 --checkpoint-every 2"
    command = f"{sys.executable} -m study {words} --results {tmp_path / 'r'} {redirection}"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert ran.returncode == (1 if "full" in redirection else 0)
    assert ("cannot be written" in ran.stderr) == ("full" in redirection) and "Traceback" not in ran.stderr
    assert read_table(tmp_path / "r", "trials")["status"].to_pylist() == ["finished"]


@pytest.mark.full
def test_a_study_runs_in_a_folder_whose_name_is_not_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"r\xff\x1b")
    words = "run grid --methods none --settings 1 --width 8 --n-real 64 --n-fake 64 --discriminator-steps 4 --yes"
    command = [sys.executable, "-m", "study", *words.split(), "--results", str(folder)]
    ran = subprocess.run(command, env={**os.environ, **PLAIN["C"]}, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert f"rows: {tmp_path}/r\\udcff\\x1b/trials.parquet\n".encode() in ran.stdout
    assert len(read_table(folder, "trials")) == 1
