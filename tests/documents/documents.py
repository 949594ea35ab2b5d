"""What documents show of the command line is what it prints: `python tests/documents/documents.py` writes it anew.

A block begins with a command in a comment, and ends with another comment:

    <!-- study claims --results results/published/digits -->
    ...
    <!-- end -->

Between them stands what the command prints where that is Markdown, and elsewhere the command with what it prints, as
code. `<!-- prints -->` behind code in Python is followed by what that prints. Commands and code look at what is
committed, and write nothing.
"""

import argparse
import contextlib
import difflib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- (?P<command>study .+?|prints) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)
CODE = re.compile(r"```python\n(?P<code>[^`]*)```\n\n?\Z")


class Block(NamedTuple):
    """Where the body of a block stands in a text, and how it is made: a command, or code in Python."""

    start: int
    end: int
    command: str
    code: str


def documents() -> list[Path]:
    """All that may have blocks."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    inside = [path for folder in folders for path in folder.rglob("*.md") if "report" not in path.parts]
    return sorted([*ROOT.glob("*.md"), *inside])


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a document; raises ValueError where no code stands before `prints`."""
    for found in BLOCK.finditer(text):
        code = CODE.search(text, 0, found.start())
        if found["command"] == "prints" and not code:
            raise ValueError(f"no code in Python before {found[0][:40]!r}")
        made = ("", code["code"]) if found["command"] == "prints" and code else (found["command"], "")
        yield Block(found.start("body"), found.end("body"), *made)


def shown(block: Block) -> str:
    """What a block's body has to be; raises ValueError where the command or the code fails."""
    output = printed(block.command, block.code)
    if "--format markdown" in block.command:
        return output.strip("\n") + "\n"
    lines = "\n".join(line.rstrip() for line in output.splitlines()).strip("\n")
    command = f"$ {block.command}\n" if block.command else ""
    return f"```\n{command}{lines}\n```\n"


def printed(command: str, code: str) -> str:
    """What a command, or else code in Python, prints; in this process, since a new one would import all anew."""
    from study.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())  # datasets on this machine are no part of a document
        stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "120", "TERM": "dumb", "STUDY_DATA": data}))
        stack.enter_context(mock.patch.object(sys, "argv", shlex.split(command)))
        # Usage lines name the program after argv only if the main module is in no package, as `python -m pytest` is.
        stack.enter_context(mock.patch.object(sys.modules["__main__"], "__package__", None))
        stack.enter_context(contextlib.chdir(ROOT))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            main() if command else exec(compile(code, "<document>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            if end.code:
                raise ValueError(f"{command or code}: {err.getvalue().strip()}") from end
    return out.getvalue()


def written(text: str) -> str:
    """A document with what its blocks have to be."""
    for block in reversed(list(blocks(text))):
        text = text[: block.start] + shown(block) + text[block.end :]
    return text


def main() -> int:
    """Writes all documents, or says which are not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and show what differs")
    check = parser.parse_args().check
    stale = 0
    for path in documents():
        text = path.read_text()
        new = written(text)
        if new == text:
            continue
        stale += 1
        if check:
            name = str(path.relative_to(ROOT))
            sys.stdout.writelines(difflib.unified_diff(text.splitlines(True), new.splitlines(True), name, "now"))
        else:
            path.write_text(new)
            print(path.relative_to(ROOT))
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
