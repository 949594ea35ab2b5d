"""The commands that documents and help texts write out, and the real command line that has to know them."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import typer
from typer.exceptions import TyperException

from study.cli import main
from tests.documents.documents import BLOCK

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.M | re.S)
SHELL = ("", "sh", "bash", "console")
IN_LINE = re.compile(r"(?:^|&& |-- |[\w.]+/|(?P<quote>'))(?=study )(?P<rest>(?(quote)[^']*|.*))")
"""A command in a line of a shell: at its start, after another one, of an environment, in quotes for another machine."""
SPAN = re.compile(r"`(study\s(?:[^`\n]|\n(?!\n))+)`")
OPERATORS = {"&&", "||", "|", ";", ">", ">>", "&"}


class Written(NamedTuple):
    """A command: `text` without what a shell would take of its line; `whole`: to be typed so, and not just named."""

    text: str
    whole: bool


@cache
def root() -> Any:
    """The whole command line; its commands are in `commands`, as those of its groups."""
    import study.cli.catalog.data
    import study.cli.catalog.spaces
    import study.cli.run.bench
    import study.cli.run.bo
    import study.cli.run.plan
    import study.cli.run.train
    import study.cli.score.generators
    import study.cli.show.claims
    import study.cli.show.export
    import study.cli.show.report
    import study.cli.show.table  # noqa: F401  they add themselves

    return typer.main.get_command(main.app)


def every_command(group: Any = None, name: str = "study") -> Iterator[tuple[str, Any]]:
    """Each command with its name, as in `study data prepare`; not the groups."""
    for word, command in (group or root()).commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def parse(command: str, *, whole: bool = True) -> None:
    """Raises a usage error where the command line has no such command or option, or cannot read a value.

    `whole`: also where something required is missing; else a command may be named without it.
    """
    found, context, rest = root(), None, shlex.split(command)
    while hasattr(found, "commands"):
        context = found.make_context(rest[0], rest[1:], parent=context)
        rest = [*context._protected_args, *context.args]
        name, found, _ = found.resolve_command(context, rest)
        rest[0] = name
    try:
        found.make_context(rest[0], rest[1:], parent=context)
    except TyperException as error:
        if whole or type(error).__name__ != "MissingParameter":  # a subclass that typer does not export
            raise


def in_help(text: str) -> list[str]:
    """The commands in a help text, in order."""
    return [_alone(found) for found in SPAN.findall(text)]


def in_document(text: str) -> list[Written]:
    """The commands of a Markdown document, each once: lines of code, cells of tables, and those within sentences.

    What stands in its blocks (`tests.documents.documents`) was written by the commands themselves, and is left out.
    """
    text = BLOCK.sub("", text)
    found = [_alone(each["rest"]) for fence in FENCE.finditer(text) for each in _in_fence(fence)]
    rest = FENCE.sub("", text)
    cells = {_alone(span) for line in rest.splitlines() for span in re.findall(r"(?<=\| )`(study [^`]+)`(?= \|)", line)}
    written = [*(Written(each, True) for each in found), *(Written(each, each in cells) for each in in_help(rest))]
    return list(dict.fromkeys(written))


def _in_fence(fence: re.Match[str]) -> Iterator[re.Match[str]]:
    """Commands of a block of code; where some line has a prompt, the others are what it printed."""
    lines = fence["body"].splitlines() if fence["language"] in SHELL else []
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return (found for line in prompted or lines for found in IN_LINE.finditer(line))


def _alone(command: str) -> str:
    """Without what follows it in its line: another command, a redirection, a comment."""
    words = shlex.shlex(command, posix=False, punctuation_chars=True)
    words.whitespace_split = True
    kept: list[str] = []
    for word in words:
        if word in OPERATORS:
            break
        kept.append(word)
    return " ".join(kept)
