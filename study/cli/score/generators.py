"""What `study evaluate` and `study compare-protocols` share: finding and scoring generators and sets of images."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.core.errors import InputError
from study.core.output import show_error
from study.core.text import plural

if TYPE_CHECKING:
    from study.core.context import Context
    from study.driver.planning.planned import Planned, Shape
    from study.driver.request import Request
    from study.metrics.scoring import ScoreResult
    from study.worker.snapshot import KeptGenerator

TrialIds = Annotated[
    list[str] | None, typer.Argument(help="Ids of finished trials, as in trials.parquet; the first digits are enough.")
]
All = Annotated[bool, typer.Option("--all", help="Score all saved generators.")]
ImageSource = Annotated[
    str | None,
    typer.Option(
        help="Score these images instead of generators: a folder, zip, tar, .npz, LMDB, parquet files, or"
        " hf://OWNER/NAME.",
        metavar="PATH",
    ),
]
RealDataset = Annotated[
    str,
    typer.Option(
        "--dataset", help="Only with --images: dataset whose real images they are compared with.", metavar="NAME"
    ),
]


def check_targets(trial_ids: list[str] | None, every: bool, images: str | None, results: Path) -> None:
    """Check that the user gave exactly one of trial ids, --all and --images, and that there are results.

    Raises:
        InputError: none or several were given, or the results folder has no trials.
    """
    if sum((bool(trial_ids), every, images is not None)) != 1:
        raise InputError("TRIAL_ID, --all, --images: give exactly one of these: trial ids, or --all, or images.")
    if images is None and not (results / "trials.parquet").is_file() and not (results / "parts").is_dir():
        raise InputError(
            f"--results {results}: nothing has been run there; run `study run grid --results {results}` first."
        )


def score_images(request: "Request", source: str, *, tell: bool = True) -> tuple["Context", "ScoreResult"]:
    """Score the first n_fake images of a source; in a folder or archive, in the order of their names.

    With `tell`, the files that are passed over are counted on standard error.

    Returns:
        The context with the protocol, and the scores.

    Raises:
        InputError: the source has too few images, or they do not fit the dataset; features are not finite.
    """
    from study import data
    from study.data.report import passed_over_lines
    from study.driver.planning import plan
    from study.metrics.image_folder import open_images, read_images
    from study.metrics.scoring import BATCH_SIZE
    from study.worker.execute import load

    (dataset,) = request.datasets
    context, _ = plan.make_context(request, data.get(dataset, request.data_dir))
    images = data.load(dataset, request.data_dir)
    n = context.protocol.n_fake
    opened = open_images(source, n)
    for line in passed_over_lines(opened.passed_over.summary()) if tell else ():
        show_error(line)
    _, scorer = load(context, "cpu")
    scored = scorer.score_images(read_images(opened, n, images.test.shape[1:], BATCH_SIZE))
    if scored is None:
        raise InputError(f"--extractor-weights: the features of {opened.source} are not finite; give other weights.")
    return context, scored


def kept_generators(results: Path, trial_ids: list[str] | None) -> Iterator["KeptGenerator"]:
    """Load the saved generators of the given trials, or of all (None).

    Of all, the trials without a saved generator are counted on standard error.

    Raises:
        InputError: an id is unknown or ambiguous, there is no saved generator, or a file is damaged.
    """
    from study.storage.layout import generator_path
    from study.storage.tables import statuses
    from study.worker.checkpoint import load_generator, resolve_trial

    known = sorted({trial_id for trial_id, _ in statuses(results)})
    chosen = known if trial_ids is None else [resolve_trial(results, prefix, known) for prefix in trial_ids]
    kept = [trial_id for trial_id in dict.fromkeys(chosen) if generator_path(results, trial_id).is_file()]
    if trial_ids is None and len(kept) < len(known):
        without = len(known) - len(kept)
        words = plural(without, "trial has no saved generator and is", "trials have no saved generator and are")
        show_error(f"{without} {words} left out")
    if not kept:
        raise InputError(f"--all: no generator is saved in {results}; a trial saves one when it finishes with a score.")
    for trial_id in chosen if trial_ids is not None else kept:
        path = generator_path(results, trial_id)
        generator = load_generator(path)
        if generator.trial.id != trial_id:
            raise InputError(f"{path}: contains the generator of trial {generator.trial.id}; train {trial_id} again.")
        yield generator


def planned_of(request: "Request", generators: Iterator["KeptGenerator"]) -> list["Planned"]:
    """The trials of the generators, each with the context of its dataset under the requested protocol."""
    from study import data
    from study.driver.planning.plan import make_context
    from study.driver.planning.planned import Planned

    contexts: dict[str, tuple[Context, Shape]] = {}
    planned = []
    for generator in generators:
        dataset = generator.trial.dataset
        if dataset not in contexts:
            contexts[dataset] = make_context(request, data.get(dataset, request.data_dir))
        context, shape = contexts[dataset]
        planned.append(Planned(trial=generator.trial, context=context, shape=shape, kept=True))
    return planned


def label(context: "Context") -> str:
    """The name of the score in a context: FID, or FD with the feature network."""
    from study.storage.schema import score_label

    return score_label(vars(context.protocol))


def scores_text(scores: Mapping[str, float | None]) -> str:
    """Names and values of the scores that are not None, each after a comma."""
    return "".join(f", {name} {value:.4g}" for name, value in scores.items() if value is not None)


def score_line(context: "Context", scored: "ScoreResult") -> str:
    """All scores of a set of images in one line."""
    return f"{label(context)} {scored.frechet_distance:.2f}{scores_text(vars(scored.scores))}"
