"""Documents show what the commands print, and name only what is there."""

import pytest

from tests.documents.documents import ROOT, blocks, documents, shown, written

FULL = "study plan"
"""What counts the operations of all networks of the paper."""
BLOCKS = [
    pytest.param(
        *(path, block),
        id=f"{path.relative_to(ROOT)}: {block.command or block.code[:40]}",
        marks=[pytest.mark.full] if str(block.command).startswith(FULL) else [],
    )
    for path in documents()
    for block in blocks(path.read_text())
]


@pytest.mark.parametrize(("path", "block"), BLOCKS)
def test_a_document_shows_what_is_printed(path, block):
    body = path.read_text()[block.start : block.end]
    assert body == shown(block), f"run `python tests/documents/documents.py`: {path} is not up to date"


def test_blocks_are_written_anew():
    text = "a\n<!-- study methods --help -->\nold\n<!-- end -->\nb\n"
    new = written(text)
    assert new.startswith("a\n<!-- study methods --help -->\n```\n$ study methods --help\n Usage: study methods")
    assert new.endswith("```\n<!-- end -->\nb\n") and "old" not in new and written(new) == new


def test_code_is_followed_by_what_it_prints():
    code = "```python\nprint(6 * 7)\n```\n\n"
    other = code.replace("6", "8")
    text = f"{other}and\n\n{code}<!-- prints -->\n<!-- end -->\n"
    assert written(text) == f"{other}and\n\n{code}<!-- prints -->\n```\n42\n```\n<!-- end -->\n"


def test_a_block_that_cannot_be_made_is_an_error():
    with pytest.raises(ValueError, match=r"study nonsense: .*No such command"):
        written("<!-- study nonsense -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="no code"):
        written("<!-- prints -->\n<!-- end -->\n")
