"""The commands that show what a study found: its best trials, a page, and figures."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli import options, terminal
from study.cli.show.view import View, names
from study.cli.terminal import folder_of, rows_path
from study.core.errors import InputError, look_up

HTML, MARKDOWN = "html", "markdown"
SUFFIXES = {HTML: (".html", ".htm"), MARKDOWN: (".md", ".markdown")}
"""Of pages, by format."""
IMAGES = 36
"""In a sample grid."""


app = typer.Typer()


@app.command("report", epilog="Example: `study report --results results --fraction 0.1`")
@options.spread
def report_command(
    view: View,
    page_format: Annotated[
        str | None, typer.Option("--format", help="Of the page: html or markdown.  [default: html]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The page.  [default: report/index.html in the results folder]")
    ] = None,
    searches: Annotated[
        bool, typer.Option("--bo", help="Only what `study bo` found, here and as a figure, which --output names.")
    ] = False,
) -> None:
    """Show the best trials of each method, and write a page of all figures, tables and claims, from the rows alone.

    Works on a study that is still running, and says so.
    """
    if searches:
        from study.cli.terminal import show_searches

        show_searches(view.results, names(view.dataset), names(view.protocol), output=output)
        return
    path = _page_path(view.results, page_format, output)
    rows = view.open()
    _print_best(rows)
    print(f"rows: {rows_path(view.results)}\npage: {_write_page(rows, view.results, path)}")


def _print_best(rows: Any) -> None:
    from analysis.frames.methods.top import top_fraction, top_table
    from analysis.tables import words

    terminal.print_tables(words(top_table(top_fraction(rows.trials, rows.fraction, rows.rule, rows.pool))))


def _page_path(results: Path, page_format: str | None, output: Path | None) -> Path:
    """Where the page is written: the format follows the suffix of `output`, unless it is given."""
    if page_format is not None:
        look_up("--format", page_format, SUFFIXES)
    if output is None:
        return folder_of(results) / "report" / f"index{SUFFIXES[page_format or HTML][0]}"
    allowed = SUFFIXES[page_format] if page_format else [suffix for some in SUFFIXES.values() for suffix in some]
    if output.suffix not in allowed:
        raise InputError(
            f"--output {output}: a page ends in {' or '.join(allowed)}; `study figures top` draws the figure alone."
        )
    return output


def _write_page(rows: Any, results: Path, path: Path) -> Path:
    """The page with all that is not in the rows: sample grids, who is at work, and the command that makes it again."""
    from datetime import UTC, datetime

    from analysis.page import compose, write_html, write_markdown
    from study.storage.lock import holders

    at_work = holders(results) if rows.folder is not None else []
    page = compose(
        rows,
        images=sample_grids(rows, path.parent / "samples"),
        command=["study", *sys.argv[1:]],
        at_work=[f"{each['what']}, process {each['pid']} on {each['host']}" for each in at_work],
        now=datetime.now(UTC) if at_work else None,
    )
    write = write_markdown if path.suffix in SUFFIXES[MARKDOWN] else write_html
    return write(page, path)


def sample_grids(rows: Any, folder: Path) -> dict[str, bytes | str]:
    """Grids of the best and the median trial of each method, drawn from their kept generators to TRIAL_ID.png.

    A grid that is newer than its generator is not drawn again.

    Returns:
        By trial id, the bytes of a PNG; or in words, why there are none.
    """
    from analysis.frames.methods.typical import typical_trials

    wanted = typical_trials(rows.scored)["trial_id"].dropna().unique()
    if rows.folder is None:
        return dict.fromkeys(wanted, "Images need the results folder, not its table alone.")
    try:
        return {trial_id: _grid(rows.folder, trial_id, folder / f"{trial_id}.png") for trial_id in wanted}
    except ImportError as error:
        return dict.fromkeys(wanted, f"Images need PyTorch here ({error}).")


def _grid(results: Path, trial_id: str, path: Path) -> bytes | str:
    from study.storage.layout import generator_path

    kept = generator_path(results, trial_id)
    try:
        if not kept.is_file():
            return "No generator was kept of this trial."
        if not path.is_file() or path.stat().st_mtime < kept.stat().st_mtime:
            from study.worker.checkpoint import load_generator
            from study.worker.image_grid import fixed_latents, save_grid

            generator = load_generator(kept)
            save_grid(path, generator(fixed_latents(IMAGES, generator.trial.training.latent_dim)))
        return path.read_bytes()
    except (InputError, OSError) as error:
        return f"No images: {' '.join(str(error).split())}"
