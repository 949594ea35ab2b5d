"""`study data prepare` and `study data verify`: prepare datasets, and check prepared ones."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.cli.catalog.datasets import defaults_line, size_in_bytes
from study.core.errors import InputError
from study.core.output import show, show_error
from study.core.text import plural
from study.driver.request import DataFolder, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from study.data.prepared import Preparation
    from study.data.report import ProgressCallback

IMAGES_PANEL = "Your own images"
SECONDS_PER_LINE = 30.0
"""Seconds between progress lines if the output is not a terminal."""

app = typer.Typer(
    help="Prepare datasets, check them, and measure the distance between their splits.", no_args_is_help=True
)


@app.command(
    epilog="Examples: `study data prepare celeba-hq-128 --source ~/celeba-hq/data128x128`,"
    " `study data prepare cifar10 --download`, `study data prepare mine --source DIR --resolution 64 --fit crop`"
)
@options.keeps("Nothing was prepared, but a complete download is kept")
@options.spread
def prepare(
    name: Annotated[str, typer.Argument(help="A dataset of `study datasets`, or a new name for your own images.")],
    *,
    source: Annotated[
        str | None,
        typer.Option(
            help="The images: a folder, a zip or tar archive, an .npz file, an LMDB, parquet files, or a Hugging Face"
            " dataset hf://OWNER/NAME.",
            metavar="PATH",
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Download the images from their publisher.")] = False,
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Height and width of the prepared images, in pixels.", metavar="R", rich_help_panel=IMAGES_PANEL
        ),
    ] = None,
    fit: Annotated[
        str | None,
        one_of(
            ("crop", "pad", "resize", "exact"),
            help="How images of another size reach the resolution.  [default: resize]",
            panel=IMAGES_PANEL,
        ),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the images for the test split, if the source has no splits.  [default: 0.1]",
            metavar="F",
            rich_help_panel=IMAGES_PANEL,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        one_of(
            ("auto", "flat", "classes", "splits"),
            help="What the folders in the source are: classes, or the splits train, val and test; flat: nothing."
            "  [default: auto]",
            panel=IMAGES_PANEL,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Where labels come from: folders, none, or a file like StyleGAN's dataset.json or Hugging Face's"
            " metadata.csv; auto: such a file or a column of labels in the source, otherwise folders.  [default: auto]",
            metavar="auto|none|folders|FILE",
            rich_help_panel=IMAGES_PANEL,
        ),
    ] = None,
    folder: DataFolder,
) -> None:
    """Prepare a dataset once, as memory-mapped arrays with a manifest; or register your own images under a new name.

    In a folder or archive of your own images, folders named like train, val and test are the splits, and other folders
    are classes; StyleGAN's dataset.json, metadata.csv or metadata.jsonl with the columns file_name and label, and
    columns of labels are read. An .npz file has the arrays x_train, x_test,
    y_train and y_test, or images and labels. A source that can be read in two ways is refused. The plan is shown before
    the images are read: splits, classes, and what is passed over. Images are turned as their EXIF orientation says;
    those of another format are converted and counted.
    """
    if download == (source is not None):
        if download:
            raise InputError(f"--source {source} --download: give only one of the two.")
        raise InputError(
            "--source: missing; give the folder or file of the images, or --download if the dataset has a download."
        )
    from study import data

    bar = _ProgressBar()
    with bar as progress:
        preparation = data.prepare(
            name,
            source,
            folder.data_dir,
            progress,
            resolution=resolution,
            fit=fit,
            test_fraction=test_fraction,
            layout=layout,
            labels=labels,
            announce=bar.tell,
        )
    _show_prepared(preparation)
    if name not in data.built_in():
        dataset = data.get(name, folder.data_dir)
        n = min(dataset.n_score, preparation.manifest["splits"]["test"]["shape"][0])
        show(f"defaults: {defaults_line(dataset)} on {n:,} {plural(n, 'image')}; fit {dataset.fit}")
        show(f"use it: study run grid --dataset {name}")


def _show_prepared(preparation: "Preparation") -> None:
    from study.data import report_lines

    manifest = preparation.manifest
    splits = ", ".join(f"{split['shape'][0]:,} {title}" for title, split in manifest["splits"].items())
    channels, side, _ = manifest["splits"]["train"]["shape"][1:]
    outcome = "already prepared from the same images" if preparation.kept else "prepared"
    show(f"{outcome}: {preparation.folder}")
    colour = "RGB" if channels == 3 else "grey"
    rate = preparation.images / preparation.seconds
    show(f"{splits}, {side}x{side} {colour}; {manifest['sha256'][:16]}; {rate:,.0f} images/s")
    show(*report_lines(manifest))


class _ProgressBar:
    """Shows progress: on a terminal a bar with rate and remaining time, otherwise a line every 30 seconds."""

    def __enter__(self) -> "ProgressCallback":
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as ProgressBars

        name, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
        columns = (name, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
        self._terminal = sys.stdout.isatty()
        self._bar = ProgressBars(*columns, disable=not self._terminal)
        self._tasks: dict[str, TaskID] = {}
        self._last_line = self._last_call = self._start = time.monotonic()
        self._bar.__enter__()
        return self.show

    def tell(self, lines: "Sequence[str]") -> None:
        """Print lines above the bars, without breaking them."""
        if self._terminal:
            self._bar.console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        else:
            show(*lines)

    def show(self, task: str, done: int, total: int) -> None:
        """Show that `done` of the `total` steps of a task are done; a new task gets a bar of its own."""
        now = time.monotonic()
        if task not in self._tasks:
            self._tasks[task], self._start = self._bar.add_task(task, total=total, rate=""), self._last_call
        self._last_call = now
        rate = f"{done / (now - self._start):,.0f}/s" if now > self._start else ""
        self._bar.update(self._tasks[task], completed=done, total=total, rate=rate)
        if not self._terminal and now - self._last_line > SECONDS_PER_LINE:
            self._last_line = now
            show_error(f"{task}: {done:,} of {total:,}, {rate}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


@app.command(epilog="Example: `study data verify celeba-hq-128`")
@options.keeps("Nothing is written by this command")
@options.spread
def verify(name: options.DatasetArgument, *, folder: DataFolder) -> None:
    """Read all prepared images and labels, and compare them with the hashes in the manifest."""
    from study import data

    start = time.perf_counter()
    images = data.verify(name, folder.data_dir)
    size, seconds = images.train.nbytes + images.test.nbytes, time.perf_counter() - start
    counts = f"{len(images.train):,} train, {len(images.test):,} test"
    show(f"{name}: intact; {counts}; {images.sha256[:16]}; {size_in_bytes(size)} in {seconds:.1f} s")
