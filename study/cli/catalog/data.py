"""The commands about data: what there is, its preparation, its check, and how far its splits are apart."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options
from study.cli.catalog.datasets import _bytes, _defaults
from study.core.errors import InputError
from study.driver.request import DataFolder

if TYPE_CHECKING:
    pass


app = typer.Typer(help="Prepare datasets, and check them.", no_args_is_help=True)


@app.command(
    epilog="Examples: `study data prepare celeba-hq-128 --source ~/celeba-hq/data128x128`,"
    " `study data prepare cifar10 --download`, `study data prepare mine --source DIR --resolution 64 --fit crop`"
)
@options.spread
def prepare(
    name: Annotated[str, typer.Argument(help="A dataset of `study datasets`, or a new name for images of your own.")],
    *,
    source: Annotated[
        str | None,
        typer.Option(help="What holds the images: a folder, an archive, an LMDB, parquet files, hf://OWNER/NAME."),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch them from where they are published.")] = False,
    resolution: Annotated[int | None, typer.Option(help="Side of your own images in pixels.", metavar="R")] = None,
    fit: Annotated[
        str | None, typer.Option(help="How your own reach it: crop, pad, resize or exact.  [default: resize]")
    ] = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Share of your own held out where no test/ is.  [default: 0.1]", metavar="F")
    ] = None,
    folder: DataFolder,
) -> None:
    """Prepare a dataset once, as memory-mapped arrays with a manifest, or register images of your own under a new name.

    Of your own, sub-folders are classes, train/ and test/ are the splits where both exist, and an .npz has arrays
    x_train, x_test, y_train and y_test. Images of other kinds are converted in one stated way, and counted.
    """
    if download == (source is not None):
        if download:
            raise InputError(f"--source {source} --download: give one of the two.")
        raise InputError("--source: missing; give what holds the images, or --download where there is one.")
    from study import data

    wanted: dict[str, Any] = {"resolution": resolution, "fit": fit, "test_fraction": test_fraction}
    with _Bar() as show:
        made = data.prepare(name, source, folder.data_dir, show, **wanted)
    _show_prepared(made)
    if name not in data.built_in():
        dataset = data.get(name, folder.data_dir)
        n = min(dataset.n_score, made.manifest["splits"]["test"]["shape"][0])
        print(f"defaults: {_defaults(dataset)} on {n:,} images; fit {dataset.fit}")
        print(f"use it: study run grid --dataset {name}")


def _show_prepared(made: Any) -> None:
    from study.data import report_lines

    manifest = made.manifest
    splits = ", ".join(f"{split['shape'][0]:,} {title}" for title, split in manifest["splits"].items())
    channels, side, _ = manifest["splits"]["train"]["shape"][1:]
    print(f"{'kept, as it holds the same images' if made.kept else 'prepared'}: {made.folder}")
    colour = "RGB" if channels == 3 else "grey"
    print(f"{splits}, {side}x{side} {colour}; {manifest['sha256'][:16]}; {made.images / made.seconds:,.0f} images/s")
    if classes := manifest.get("classes"):
        print(f"{len(classes)} classes: {', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}")
    print("\n".join(report_lines(manifest)))


class _Bar:
    """A progress bar with rate and time left on a terminal; elsewhere a line now and then where it takes long."""

    EVERY = 30.0

    def __enter__(self) -> Any:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        what, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
        columns = (what, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
        self._terminal = sys.stdout.isatty()
        self._bar = Progress(*columns, disable=not self._terminal)
        self._tasks: dict[str, Any] = {}
        self._said = self._last = self._start = time.monotonic()
        self._bar.__enter__()
        return self.show

    def show(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what not in self._tasks:
            self._tasks[what], self._start = self._bar.add_task(what, total=total, rate=""), self._last
        self._last = now
        rate = f"{done / (now - self._start):,.0f}/s" if now > self._start else ""
        self._bar.update(self._tasks[what], completed=done, total=total, rate=rate)
        if not self._terminal and now - self._said > self.EVERY:
            self._said = now
            print(f"{what}: {done:,} of {total:,}, {rate}", file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


@app.command(epilog="Example: `study data verify celeba-hq-128`")
@options.spread
def verify(name: options.DatasetArgument, *, folder: DataFolder) -> None:
    """Read every prepared pixel and label, and compare with the hashes in the manifest."""
    from study import data

    start = time.perf_counter()
    images = data.verify(name, folder.data_dir)
    size, seconds = images.train.nbytes + images.test.nbytes, time.perf_counter() - start
    counts = f"{len(images.train):,} train, {len(images.test):,} test"
    print(f"{name}: intact; {counts}; {images.sha256[:16]}; {_bytes(size)} in {seconds:.1f} s")
