"""What documents show of the command line is what it prints: `python tests/documents.py` writes it anew.

A block begins with a command in a comment and ends with another comment:

    <!-- study claims --results results/published/digits -->
    ...
    <!-- end -->

Between them stands what the command prints where that is Markdown, and elsewhere the command and what it prints as
code. Commands show what is committed, and write nothing.
"""

import argparse
import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?P<start><!-- (?P<command>study .+?) -->\n)(?P<body>.*?)(?P<end><!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    """All that may have blocks."""
    return [path for path in sorted(ROOT.rglob("*.md")) if not set(path.relative_to(ROOT).parts) & {".venv", "report"}]


def shown(command: str) -> str:
    """What stands between the comments; raises CalledProcessError where the command fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "TERM": "dumb"}
    start = "import sys; sys.argv[0] = 'study'; from study.cli import main; main()"
    arguments = [sys.executable, "-c", start, *shlex.split(command)[1:]]
    with tempfile.TemporaryDirectory() as data:  # what a machine has of its own is no part of a document
        environment["STUDY_DATA"] = data
        run = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    lines = "\n".join(line.rstrip() for line in run.stdout.splitlines()).strip("\n")
    return f"{lines}\n" if "--format markdown" in command else f"```\n$ {command}\n{lines}\n```\n"


def written(text: str) -> str:
    """A document with what its commands print now."""
    return BLOCK.sub(lambda block: f"{block['start']}{shown(block['command'])}{block['end']}", text)


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
