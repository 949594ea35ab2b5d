"""Options that several commands share: told once, and the same on each."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from study.cli.options import spread


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
