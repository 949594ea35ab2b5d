"""Documents show what the commands print, and name only what is there."""

import pytest
from tests.documents import BLOCK, ROOT, documents, shown, written

BLOCKS = [
    pytest.param(path, block, id=f"{path.relative_to(ROOT)}: {block['command']}")
    for path in documents()
    for block in BLOCK.finditer(path.read_text())
]


@pytest.mark.parametrize(("path", "block"), BLOCKS)
def test_a_document_shows_what_the_command_prints(path, block):
    assert block["body"] == shown(block["command"]), f"run `python tests/documents.py`: {path} is not up to date"


def test_a_block_that_is_not_up_to_date_is_written():
    text = "a\n<!-- study methods --help -->\nold\n<!-- end -->\nb\n"
    new = written(text)
    assert new.startswith("a\n<!-- study methods --help -->\n```\n$ study methods --help\n Usage: study methods")
    assert new.endswith("```\n<!-- end -->\nb\n") and "old" not in new and written(new) == new
