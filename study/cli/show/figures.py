"""`study figures`: draw figures of a study."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from study.cli import options
from study.cli.show.view import View
from study.cli.terminal import folder_of
from study.core.errors import InputError, look_up

app = typer.Typer()


@app.command("figures", epilog="Example: `study figures top budget --format pdf,svg`")
@options.spread
def figures_command(
    view: View,
    names: Annotated[list[str] | None, typer.Argument(help="Figures.  [default: all that the rows allow]")] = None,
    formats: Annotated[str, typer.Option("--format", help="png, svg and pdf, separated by commas.")] = "png",
    output: Annotated[Path | None, typer.Option(help="A folder.  [default: figures in the results folder]")] = None,
) -> None:
    """Draw figures of a study, each to a file of its name."""
    from analysis.figures import NotEnough, figures
    from analysis.figures.drawing.files import FORMATS, save

    menu = figures()
    wanted = [look_up("NAME", name, menu) for name in dict.fromkeys(names or menu)]
    known = {suffix[1:]: suffix for suffix in FORMATS}
    suffixes = [look_up("--format", each, known) for each in options.split(formats)]
    folder = output or folder_of(view.results) / "figures"
    rows = view.open()
    lacking = []
    for kind in wanted:
        try:
            frames = kind.compute(rows)
        except NotEnough as reason:
            lacking.append(f"{kind.name}: {reason}")
            continue
        figure = kind.draw(frames, kind.caption(rows, frames))
        for suffix in suffixes:
            print(save(figure, folder / f"{kind.name}{suffix}"), flush=True)
    for line in lacking:
        print(f"left out: {line}", file=sys.stderr)
    if names and len(lacking) == len(wanted):
        raise InputError(f"NAME {' '.join(names)}: these rows hold none of what was asked for.")
