"""Lines are printed in any encoding, and no work fails because they cannot be printed."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.core import output
from study.core.output import show


def said(encoding: str, *lines: str) -> bytes:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="study.degrade", newline="\n")
    show(*lines, file=stream)
    return stream.buffer.getvalue()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "lr=2e-4 β=(0.5, 0.9) λ=10 ±3 … naïve 猫\n"),
        ("latin-1", "lr=2e-4 beta=(0.5, 0.9) lambda=10 ±3 ... naïve \\u732b\n"),
        ("ascii", "lr=2e-4 beta=(0.5, 0.9) lambda=10 +/-3 ... na\\xefve \\u732b\n"),
    ],
)
def test_what_an_encoding_lacks_has_another_form(encoding: str, expected: str) -> None:
    assert said(encoding, "lr=2e-4 β=(0.5, 0.9) λ=10 ±3 … naïve 猫") == expected.encode(encoding)


def test_every_character_is_printed_in_every_encoding() -> None:
    letters = "".join(map(chr, [*range(0x3000), 0xD800, 0xDCFF, 0x1F600, 0x10FFFF]))
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        text = said(encoding, letters).decode(encoding)
        assert text.endswith("\n") and text[:-1].isprintable()


def test_lines_stay_lines_and_names_do_not_make_more() -> None:
    assert said("utf-8", "one", "a\x1b[2J\nb", "") == b"one\na\\x1b[2J\\nb\n\n"


def test_nothing_else_prints() -> None:
    """`print` fails in some encodings, and shows control characters."""
    root = Path(__file__).parents[2]
    files = [path for folder in ("study", "search_spaces", "analysis") for path in (root / folder).rglob("*.py")]
    printing = {
        str(path.relative_to(root))
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == {"study/__main__.py", "study/core/output.py"}


CODE = """
import sys
from pathlib import Path
from study.core import output
output.prepare_streams()
for number in range(3):
    output.show("x" * 100_000)
print("behind")
Path(sys.argv[1]).write_text(f"done, {len(output.lost)} lost")
"""


def process(tmp_path: Path, redirection: str) -> tuple[int, str, str]:
    """Run CODE with its standard output redirected by the shell; returns exit code, standard error and its file."""
    done = tmp_path / "done"
    command = f'"$0" -c "$1" "$2" {redirection}'
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, CODE, str(done)], capture_output=True, text=True
    )
    return ran.returncode, ran.stderr, done.read_text()


@pytest.mark.parametrize("redirection", ["| head -c 1", "| true"])
def test_a_reader_that_has_gone_ends_no_work(tmp_path: Path, redirection: str) -> None:
    assert process(tmp_path, redirection) == (0, "", "done, 1 lost")


def test_a_closed_output_ends_no_work(tmp_path: Path) -> None:
    assert process(tmp_path, ">&-") == (0, "", "done, 0 lost")
    assert process(tmp_path, ">&- 2>&-") == (0, "", "done, 0 lost")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_no_work_and_is_told(tmp_path: Path) -> None:
    told = "standard output: cannot be written (No space left on device); the command goes on without it\n"
    assert process(tmp_path, "> /dev/full") == (0, told, "done, 1 lost")


def test_a_lost_stream_is_remembered_until_the_streams_are_prepared() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        show("a", file=stream)
        show("b", file=stream)
    assert [type(error) for error in output.lost] == [BrokenPipeError]
    output.prepare_streams()
    assert output.lost == []
