"""Names from outside as text that can be printed."""

import os

import pytest

from study.core.text import printable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("größe β 猫 😀 a\\b 'x' \"y\" [red]", "größe β 猫 😀 a\\b 'x' \"y\" [red]"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\x7f\x9b31m\x85", "\\x7f\\x9b31m\\x85"),
        (os.fsdecode(b"bad\xff.png"), "bad\\udcff.png"),
        ("gnp.\u202egpj\u2066\u200b\ufeff", "gnp.\\u202egpj\\u2066\\u200b\\ufeff"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\U000e0001", "\\U000e0001"),
        ("", ""),
    ],
)
def test_what_is_not_printable_is_escaped_and_all_else_stays(name: str, expected: str) -> None:
    assert printable(name) == expected
    assert printable(expected) == expected
    assert expected.isprintable()
