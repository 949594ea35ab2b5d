"""`study figures`: draw the figures of a study."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli import options
from study.cli.show.view import View
from study.cli.terminal import folder_of
from study.core.errors import InputError, look_up
from study.core.output import show, show_error
from study.driver.request import OUTPUT_PANEL, several_of

FORMAT_NAMES = ("png", "svg", "pdf")
"""The suffixes of `analysis.ink.FORMATS`, which a help text must not import: matplotlib is slow to load."""

app = typer.Typer()


@app.command("figures", epilog="Example: `study figures top budget --format pdf,svg`")
@options.keeps("All figures named so far are complete")
@options.spread
def figures_command(
    view: View,
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of figures.  [default: all that have enough rows]")
    ] = None,
    formats: Annotated[
        str,
        several_of(
            lambda: FORMAT_NAMES,
            "--format",
            help="Comma-separated file formats: png, svg, pdf.",
            panel=OUTPUT_PANEL,
        ),
    ] = "png",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to.  [default: figures/ in the results folder]",
            metavar="DIR",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
) -> None:
    """Draw figures of a study, each to a file with the name of the figure."""
    from analysis.figures import NotEnough, figures
    from analysis.figures.drawing.files import FORMATS, save

    menu = figures()
    kinds = [look_up("NAME", name, menu) for name in dict.fromkeys(names or menu)]
    by_name = {suffix[1:]: suffix for suffix in FORMATS}
    suffixes = [look_up("--format", name, by_name) for name in options.split(formats)]
    folder = output or folder_of(view.results) / "figures"
    rows = view.open()
    left_out = []
    for kind in kinds:
        try:
            frames = kind.compute(rows)
        except NotEnough as reason:
            left_out.append(f"{kind.name}: {reason}")
            continue
        figure = kind.draw(frames, kind.caption(rows, frames))
        for suffix in suffixes:
            show(str(save(figure, folder / f"{kind.name}{suffix}")))
    for line in left_out:
        show_error(f"left out: {line}")
    if names and len(left_out) == len(kinds):
        raise InputError(f"NAME {' '.join(names)}: these rows are not enough for any of these figures.")
