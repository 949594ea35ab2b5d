"""The commands about data: what there is, its preparation, its check, and how far its splits are apart."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study import cli, options
from study.files import place
from study.names import InputError

if TYPE_CHECKING:
    from study.baselines import Baseline
    from study.context import Context
    from study.metrics.baseline import Baseline as Between

Name = Annotated[str, typer.Argument(help="The dataset; see `study datasets`.")]


@cli.app.command(epilog="Example: `study datasets`")
def datasets(data_dir: options.DataDir = None) -> None:
    """List the datasets: which are ready, what a study does with them, and how to get the others."""
    from study import data
    from study.data import user

    folder = data.data_dir(data_dir)
    for name, dataset in data.datasets(folder).items():
        ready = data.is_ready(name, folder)
        size = _bytes(data.size_on_disk(name, folder))
        print(f"{name}  ({'embedded' if dataset.embedded else f'{size} in {folder}' if ready else 'not prepared'})")
        print(f"    {dataset.description}")
        print(f"    {_defaults(dataset)}")
        if not ready:
            print(f"    {data.command(name, folder)}")
    for name, found in user.registered(folder).items():
        if isinstance(found, InputError) and name not in data.built_in():
            print(f"{name}  (damaged)\n    {found}")


def _defaults(dataset: Any) -> str:
    steps = f"{dataset.discriminator_steps:,} D updates, scored every {dataset.checkpoint_every:,}"
    return f"{dataset.architecture} of width {dataset.width}, {steps} by {dataset.extractor}"


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


@cli.data_app.command(
    epilog="Examples: `study data prepare celeba-hq-128 --source ~/celeba-hq/data128x128`,"
    " `study data prepare cifar10 --download`, `study data prepare mine --source DIR --resolution 64 --fit crop`"
)
def prepare(
    name: Annotated[str, typer.Argument(help="A dataset of `study datasets`, or a new name for images of your own.")],
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
    data_dir: options.DataDir = None,
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

    options: dict[str, Any] = {"resolution": resolution, "fit": fit, "test_fraction": test_fraction}
    with _Bar() as show:
        made = data.prepare(name, source, data_dir, show, **options)
    _show_prepared(made)
    if name not in data.built_in():
        dataset = data.get(name, data_dir)
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


@cli.data_app.command(epilog="Example: `study data verify celeba-hq-128`")
def verify(name: Name, data_dir: options.DataDir = None) -> None:
    """Read every prepared pixel and label, and compare with the hashes in the manifest."""
    from study import data

    start = time.perf_counter()
    images = data.verify(name, data_dir)
    size, seconds = images.train.nbytes + images.test.nbytes, time.perf_counter() - start
    counts = f"{len(images.train):,} train, {len(images.test):,} test"
    print(f"{name}: intact; {counts}; {images.sha256[:16]}; {_bytes(size)} in {seconds:.1f} s")


@cli.data_app.command("baseline", epilog="Example: `study data baseline digits`")
def baseline(
    name: Name,
    protocol: options.Protocol = "study",
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    n_real: options.NReal = None,
    n_fake: options.NFake = None,
    feature_precision: options.FeaturePrecision = "float32",
    results: Annotated[
        Path | None, typer.Option(parser=place, metavar="PATH", help="Put it on record there, in baselines.json.")
    ] = None,
    data_dir: options.DataDir = None,
) -> None:
    """Show the Frechet distance between the real images of the two splits: what a perfect generator could reach."""
    from study import data, plan
    from study.metrics.baseline import PAPER, between_splits
    from study.metrics.extractors import load_extractor
    from study.rows import score_label

    request = cli.make_request(
        [name],
        results or Path("results"),
        data_dir,
        protocol=protocol,
        extractor=extractor,
        extractor_weights=extractor_weights,
        n_real=n_real,
        n_fake=n_fake,
        feature_precision=feature_precision,
        metrics="none",
    )
    context, _ = plan.make_context(request, name)
    loaded = data.load(name, request.data_dir)
    network = load_extractor(
        context.protocol.extractor, dataset=name, data_dir=request.data_dir, weights=request.extractor_weights
    )
    found = between_splits(loaded, network, context.protocol, request.data_dir)
    label = score_label(vars(context.protocol))
    numbers = f"{found.n_real:,} {found.split} images against {found.n_other:,} of the other split"
    print(f"{name}: {label} {found.distance:.2f} ({numbers})")
    if label == "FID" and name in PAPER:
        print(f"the paper's, section 2.5: {PAPER[name]} (10,000 or all {found.split} images on either side)")
    if results is not None:
        from study.baselines import record_baseline

        print(f"on record: {record_baseline(results, _recorded(context, loaded.sha256, found))}")


def _recorded(context: "Context", dataset_sha256: str, found: "Between") -> "Baseline":
    from study.baselines import Baseline

    protocol = context.protocol
    return Baseline(
        dataset=context.dataset,
        protocol_id=protocol.id,
        dataset_sha256=dataset_sha256,
        extractor=protocol.extractor,
        weights_sha256=protocol.weights_sha256,
        feature_precision=protocol.feature_precision,
        split=found.split,
        n_real=found.n_real,
        n_other=found.n_other,
        frechet_distance=found.distance,
    )
