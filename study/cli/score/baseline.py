"""`study data baseline`: the Frechet distance between the real images of the two splits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.core.evaluation import PROTOCOLS, STUDY
from study.core.output import show
from study.driver.request import (
    FOLDERS_PANEL,
    SCORING_PANEL,
    DataFolder,
    FeatureOptions,
    Folders,
    Request,
    ScoringOptions,
    one_of,
)
from study.storage.files import parse_location

if TYPE_CHECKING:
    from study.core.context import Context
    from study.metrics.baseline import SplitDistance
    from study.storage.baselines import RecordedBaseline


app = typer.Typer()


@app.command("baseline", epilog="Example: `study data baseline digits`")
@options.keeps("Nothing was recorded")
@options.spread
def baseline(
    name: options.DatasetArgument,
    *,
    protocol: Annotated[
        str, one_of(PROTOCOLS, help="Metric protocol: which and how many images are compared.", panel=SCORING_PANEL)
    ] = STUDY,
    features: FeatureOptions,
    results: Annotated[
        Path | None,
        typer.Option(
            parser=parse_location,
            metavar="PATH",
            help="Also record the distance in baselines.json of this results folder.",
            rich_help_panel=FOLDERS_PANEL,
        ),
    ] = None,
    folder: DataFolder,
) -> None:
    """Show the Frechet distance between the real images of the two splits: the best score of a perfect generator."""
    from study import data
    from study.driver.planning import plan
    from study.metrics.baseline import PAPER, split_distance
    from study.metrics.extractors.menu import load_extractor
    from study.storage.schema import score_label

    request = Request(
        datasets=[name],
        folders=Folders(data_dir=folder.data_dir),
        scoring=ScoringOptions(protocol=protocol, metrics="none", **vars(features)),
    )
    context, _ = plan.make_context(request, data.get(name, request.data_dir))
    loaded = data.load(name, request.data_dir)
    network = load_extractor(
        context.protocol.extractor, dataset=name, data_dir=request.data_dir, weights=features.extractor_weights
    )
    measured = split_distance(loaded, network, context.protocol, request.data_dir)
    label = score_label(vars(context.protocol))
    numbers = f"{measured.n_real:,} {measured.split} images against {measured.n_other:,} of the other split"
    show(f"{name}: {label} {measured.distance:.2f} ({numbers})")
    if label == "FID" and name in PAPER:
        show(f"the paper's value, section 2.5: {PAPER[name]} (10,000 or all {measured.split} images per side)")
    if results is not None:
        from study.storage.baselines import record_baseline

        show(f"recorded in {record_baseline(results, _record(context, loaded.sha256, measured))}")


def _record(context: "Context", dataset_sha256: str, measured: "SplitDistance") -> "RecordedBaseline":
    """The entry of baselines.json."""
    from study.storage.baselines import RecordedBaseline

    protocol = context.protocol
    return RecordedBaseline(
        dataset=context.dataset,
        protocol_id=protocol.id,
        dataset_sha256=dataset_sha256,
        extractor=protocol.extractor,
        weights_sha256=protocol.weights_sha256,
        feature_precision=protocol.feature_precision,
        split=measured.split,
        n_real=measured.n_real,
        n_other=measured.n_other,
        frechet_distance=measured.distance,
    )
