"""`study report`: show the best trials, and write a page with all figures, tables and claims."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options, terminal
from study.cli.show.view import View, names
from study.cli.terminal import folder_of, rows_path
from study.core.errors import InputError, look_up
from study.core.output import show
from study.driver.request import OUTPUT_PANEL, one_of

if TYPE_CHECKING:
    from analysis.rows.view import Rows

HTML, MARKDOWN = "html", "markdown"
SUFFIXES = {HTML: (".html", ".htm"), MARKDOWN: (".md", ".markdown")}
"""Allowed suffixes of a page, by format; the first is the default."""
IMAGES = 36
"""Number of images in a grid of samples."""


app = typer.Typer()


@app.command("report", epilog="Example: `study report --results results --fraction 0.1`")
@options.keeps("The page was not written; a page from before is unchanged")
@options.spread
def report_command(
    view: View,
    page_format: Annotated[
        str | None,
        one_of(SUFFIXES, "--format", help="Page format.  [default: from --output, else html]", panel=OUTPUT_PANEL),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File of the page.  [default: report/index.html in the results folder]",
            metavar="FILE",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    searches: Annotated[
        bool,
        typer.Option(
            "--bo",
            help="Show only the searches of `study bo`, and draw their figure (to --output) instead of a page.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
) -> None:
    """Show the best trials of each method, and write a page with all figures, tables and claims.

    This needs only the rows of the results folder, and also works while the study is running; the page then says so.
    """
    if searches:
        from study.cli.terminal import show_searches

        show_searches(view.results, names(view.dataset), names(view.protocol), output=output)
        return
    path = _page_path(view.results, page_format, output)
    rows = view.open()
    _print_best(rows)
    show(f"rows: {rows_path(view.results)}", f"page: {_write_page(rows, view.results, path)}")


def _print_best(rows: "Rows") -> None:
    """Print the table of the best trials of each method."""
    from analysis.frames.methods.top import top_fraction, top_table
    from analysis.tables import words

    terminal.print_tables(words(top_table(top_fraction(rows.trials, rows.fraction, rows.rule, rows.pool))))


def _page_path(results: Path, page_format: str | None, output: Path | None) -> Path:
    """The path of the page. Its suffix decides the format.

    Raises:
        InputError: the format is unknown, or the suffix of `output` does not fit it.
    """
    if page_format is not None:
        look_up("--format", page_format, SUFFIXES)
    if output is None:
        return folder_of(results) / "report" / f"index{SUFFIXES[page_format or HTML][0]}"
    allowed = (
        SUFFIXES[page_format] if page_format else [suffix for suffixes in SUFFIXES.values() for suffix in suffixes]
    )
    if output.suffix not in allowed:
        raise InputError(
            f"--output {output}: a page must end in {' or '.join(allowed)}; for one figure use `study figures top`."
        )
    return output


def _write_page(rows: "Rows", results: Path, path: Path) -> Path:
    """Write the page, with the sample images, the running processes and the command; returns its path."""
    from datetime import UTC, datetime

    from analysis.page import compose, write_html, write_markdown
    from study.storage.lock import holders

    running = holders(results) if rows.folder is not None else []
    page = compose(
        rows,
        images=sample_grids(rows, path.parent / "samples"),
        command=["study", *sys.argv[1:]],
        at_work=[f"{each['what']}, process {each['pid']} on {each['host']}" for each in running],
        now=datetime.now(UTC) if running else None,
    )
    write = write_markdown if path.suffix in SUFFIXES[MARKDOWN] else write_html
    return write(page, path)


def sample_grids(rows: "Rows", folder: Path) -> dict[str, bytes | str]:
    """Draw grids of images from the best and the median trial of each method, to TRIAL_ID.png in `folder`.

    A grid has the file time of its generator, and is not drawn again while that stays the same: the clock may be set.

    Returns:
        By trial id, the bytes of a PNG file; or a sentence that says why there are no images.
    """
    from analysis.frames.methods.typical import typical_trials

    trial_ids = typical_trials(rows.scored)["trial_id"].dropna().unique()
    if rows.folder is None:
        return dict.fromkeys(trial_ids, "Images need the results folder, not its table alone.")
    try:
        return {trial_id: _grid(rows.folder, trial_id, folder / f"{trial_id}.png") for trial_id in trial_ids}
    except ImportError as error:
        return dict.fromkeys(trial_ids, f"Images need PyTorch here ({error}).")


def _grid(results: Path, trial_id: str, path: Path) -> bytes | str:
    """One grid of `sample_grids`."""
    from study.storage.layout import generator_path

    saved = generator_path(results, trial_id)
    try:
        if not saved.is_file():
            return "This trial has no saved generator."
        when = saved.stat().st_mtime_ns
        if not path.is_file() or path.stat().st_mtime_ns != when:
            from study.worker.checkpoint import load_generator
            from study.worker.image_grid import fixed_latents, save_grid

            generator = load_generator(saved)
            save_grid(path, generator(fixed_latents(IMAGES, generator.trial.training.latent_dim)))
            os.utime(path, ns=(when, when))
        return path.read_bytes()
    except (InputError, OSError) as error:
        return f"No images: {' '.join(str(error).split())}"
