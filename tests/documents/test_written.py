"""What documents and help texts say of the command line is true of it: commands, options, values, files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from tests.documents.documents import ROOT, documents
from tests.documents.written import Written, every_command, in_document, in_help, parse

COMMANDS = dict(every_command())
PRESENT = [path for path in documents() if path.name != "CHANGELOG.md"]
"""The documents that speak of what is there now."""
WRITTEN = [
    pytest.param(written, id=f"{path.relative_to(ROOT)}: {written.text}")
    for path in PRESENT
    for written in in_document(path.read_text())
]
MAP = re.compile(r"## The house\n+```\n(.*?)```", re.S)
ENTRY = re.compile(r"[\w.]+\.(?:py|csv)|\w+/")


@pytest.mark.parametrize("written", WRITTEN)
def test_the_command_line_knows_what_documents_write(written: Written) -> None:
    parse(written.text, whole=written.whole)


def test_commands_are_found_wherever_they_stand() -> None:
    assert in_document(
        "Say `study run` or `study\nrun --pack auto`; not `study.gan`.\n\n"
        "| `study sample TRIAL_ID` | images, as of `study train` |\n\n"
        "```\nmake && .venv/bin/study run grid   # a comment\nstudy bench --json > rows.json\n"
        "ssh there 'study status --watch' | head\n  study.py    what a study is\n```\n\n"
        "```\n$ study plan\nstudy of something\n```\n\n"
        "```python\nstudy = 1\n```\n\n"
        "<!-- study spaces -->\n```\n$ study spaces\n```\n<!-- end -->\n"
    ) == [
        Written("study run grid", True),
        Written("study bench --json", True),
        Written("study status --watch", True),
        Written("study plan", True),
        Written("study run", False),
        Written("study run --pack auto", False),
        Written("study sample TRIAL_ID", True),
        Written("study train", False),
    ]
    assert {path.name for path in PRESENT} >= {"README.md", "CONTRIBUTING.md"}
    assert len(WRITTEN) > 50


@pytest.mark.parametrize(
    "wrong",
    [
        "study rnu grid",
        "study run",
        "study run grid --adress auto",
        "study run grid --seeds three",
        "study data prepar mine",
        "study data verify",
        "study status now",
        "study export",
    ],
)
def test_a_command_that_is_not_there_is_noticed(wrong: str) -> None:
    with pytest.raises(TyperException):
        parse(wrong)


def test_a_command_within_a_sentence_may_lack_arguments_and_nothing_else() -> None:
    parse("study run", whole=False)
    parse("study data baseline --results DIR", whole=False)
    for wrong in ("study rnu", "study run --pakc 1", "study run --seeds three", "study status now"):
        with pytest.raises(TyperException):
            parse(wrong, whole=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_in_examples_of_it(name: str) -> None:
    epilog = COMMANDS[name].epilog or ""
    examples = in_help(epilog)
    assert re.fullmatch(r"Examples?: `.+`", epilog), "its epilog is `Example: ...` or `Examples: ..., ...`"
    assert epilog.startswith("Examples: ") == (len(examples) > 1)
    for example in examples:
        assert f"{example} ".startswith(f"{name} ")
        parse(example)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_texts_name_only_commands_that_are_there(name: str) -> None:
    command = COMMANDS[name]
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    assert all(texts), "everything is explained"
    for each in in_help("\n\n".join(texts)):
        parse(each, whole=False)


def entries(text: str) -> Iterator[tuple[Path, str]]:
    """The files and folders that a map names at the starts of its lines, each in its folder, with what it says of them.

    Those of a folder are indented by two characters more than itself.
    """
    folders: list[str] = []
    for line in text.splitlines():
        depth, words = (len(line) - len(line.lstrip())) // 2, line.split()
        names = words[: next((at for at, word in enumerate(words) if not ENTRY.fullmatch(word)), len(words))]
        if not names or depth > len(folders):
            continue  # words that go on from the line above
        del folders[depth:]
        for name in names:
            yield Path(*folders, name), line
        if names[-1].endswith("/"):
            folders.append(names[-1])


def not_on(text: str, root: Path, packages: tuple[str, ...]) -> set[str]:
    """The Python files that a map should name and does not.

    It need not name those of a folder of which it says that each file is one of a kind, or of which it names none.
    """
    named = dict(entries(text))
    listed = {path.parent for path in named}
    told = {path for path, line in named.items() if "one file" in line or (path not in listed and path.suffix == "")}
    files = {path.relative_to(root) for package in packages for path in (root / package).rglob("*.py")}
    return {str(path) for path in files - named.keys() if path.stem.strip("_") == path.stem and path.parent not in told}


def test_the_map_names_what_is_there_and_all_of_it() -> None:
    (text,) = MAP.findall((ROOT / "CONTRIBUTING.md").read_text())
    named = [path for path, _ in entries(text)]
    assert len(named) > 100
    assert not [str(path) for path in named if not (ROOT / path).exists()], "they are on the map and not there"
    assert not [str(path) for path in named if named.count(path) > 1], "they are on the map twice"
    assert not_on(text, ROOT, ("study", "search_spaces", "analysis")) == set(), "they are not on the map"


def test_files_are_short() -> None:
    files = [path for package in ("study", "search_spaces", "analysis") for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    assert not [str(path.relative_to(ROOT)) for path in files if path.read_text().count("\n") > 300]


def test_a_file_that_is_not_on_the_map_is_noticed(tmp_path: Path) -> None:
    for name in ("room/__init__.py", "room/a.py", "room/b.py", "room/menu/c.py", "room/menu/d.py", "room/data/e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    text = "room/     what there is\n  a.py gone.py\n          of both b.py reads\n  menu/   one file each\n    c.py\n"
    assert [str(path) for path, _ in entries(text)] == [
        "room",
        "room/a.py",
        "room/gone.py",
        "room/menu",
        "room/menu/c.py",
    ]
    assert not_on(text, tmp_path, ("room",)) == {"room/b.py", "room/data/e.py"}
    assert not_on(text + "  data/\n  b.py\n", tmp_path, ("room",)) == set()
