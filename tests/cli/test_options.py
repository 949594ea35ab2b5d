"""Options that several commands share: declared once, the same on each, with their allowed values."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from analysis.figures.drawing.files import FORMATS
from analysis.rows.scores import POOLS, RULES
from study.cli import main
from study.cli.options import spread
from study.cli.show import figures, view
from study.driver.request.declare import completer


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option("--wide")] = 3
    height: Annotated[int | None, typer.Option()] = None


@dataclass(frozen=True, kw_only=True)
class Square(Size):
    width: Annotated[int, typer.Option("--side")] = 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Square(width=4, height=None) None False"),
        (["name", "--side", "5", "--height", "2", "--loud"], "Square(width=5, height=2) name True"),
    ],
)
def test_the_fields_of_a_parameter_are_options(arguments, said):
    app = typer.Typer()

    @app.command()
    @spread
    def show(
        size: Square,
        name: Annotated[str | None, typer.Argument()] = None,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        print(size, name, loud)

    answer = CliRunner().invoke(app, arguments)
    assert (answer.exit_code, answer.output.strip()) == (0, said)
    assert CliRunner().invoke(app, ["--wide", "5"]).exit_code == 2


def test_allowed_values_in_help_texts_are_those_of_the_analysis():
    assert (tuple(RULES), tuple(POOLS)) == (view.RULE_NAMES, view.POOL_NAMES)
    assert {f".{name}" for name in figures.FORMAT_NAMES} == set(FORMATS)


def test_the_last_name_of_a_list_is_completed():
    complete = completer(lambda: ["png", "pdf", "svg"])
    assert complete("p") == ["png", "pdf"]
    assert complete("svg,p") == ["svg,png", "svg,pdf"]
    assert complete("x") == []


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("report", "--format", "html|markdown"),
        ("table", "--format", "plain|markdown|latex|csv"),
        ("claims", "--rule", "best|final"),
        ("figures", "--pool", "trainings|settings"),
    ],
)
def test_the_help_shows_the_allowed_values(command, option, values):
    commands = typer.main.get_command(main.app).commands
    (declared,) = (each for each in commands[command].params if option in each.opts)
    assert declared.metavar == values
