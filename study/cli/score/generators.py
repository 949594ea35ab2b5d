"""The commands that score what was trained before: under other protocols, and protocols beside each other."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.core.errors import InputError

if TYPE_CHECKING:
    from study.core.context import Context
    from study.driver.planning.planned import Planned, Shape
    from study.driver.request import Request
    from study.metrics.scoring import Scored
    from study.worker.snapshot import KeptGenerator

TrialIds = Annotated[
    list[str] | None, typer.Argument(help="Finished trials, as in trials.parquet; their first digits suffice.")
]
All = Annotated[bool, typer.Option("--all", help="Every trial that kept a generator.")]
ImageFolder = Annotated[Path | None, typer.Option(help="A folder of images instead of kept generators.", metavar="DIR")]
Real = Annotated[str, typer.Option("--dataset", help="For --images: whose real images they are compared with.")]


def check_named(trial_ids: list[str] | None, every: bool, images: Path | None, results: Path) -> None:
    """Raises InputError unless exactly one thing to score is named, and is there."""
    if sum((bool(trial_ids), every, images is not None)) != 1:
        raise InputError("TRIAL_ID, --all, --images: name trials, or all of them, or a folder of images; one of these.")
    if images is None and not (results / "trials.parquet").is_file() and not (results / "parts").is_dir():
        raise InputError(f"--results {results}: nothing has been run there; `study run grid --results DIR` does it.")


def score_folder(request: "Request", folder: Path) -> tuple["Context", "Scored"]:
    """The scores of the first n_fake images of a folder, whose names decide the order."""
    from study import data
    from study.driver.planning import plan
    from study.metrics.image_folder import image_paths, read_images
    from study.metrics.scoring import BATCH_SIZE
    from study.worker.execute import load

    (dataset,) = request.datasets
    context, _ = plan.make_context(request, data.get(dataset, request.data_dir))
    images = data.load(dataset, request.data_dir)
    paths = image_paths(folder, context.protocol.n_fake)
    _, scorer = load(context, "cpu")
    scored = scorer.score_images(read_images(paths, images.test.shape[1:], BATCH_SIZE))
    if scored is None:
        raise InputError(f"--extractor-weights: features of {folder} are not finite; give other weights.")
    return context, scored


def kept_generators(results: Path, trial_ids: list[str] | None) -> Iterator["KeptGenerator"]:
    """The kept generators of the named trials, or of all; those of all that kept none are counted on standard error."""
    from study.storage.layout import generator_path
    from study.storage.tables import statuses
    from study.worker.checkpoint import load_generator, resolve_trial

    known = sorted({trial_id for trial_id, _ in statuses(results)})
    chosen = known if trial_ids is None else [resolve_trial(results, prefix, known) for prefix in trial_ids]
    kept = [trial_id for trial_id in dict.fromkeys(chosen) if generator_path(results, trial_id).is_file()]
    if trial_ids is None and len(kept) < len(known):
        print(f"{len(known) - len(kept)} trials kept no generator and are left out", file=sys.stderr)
    if not kept:
        raise InputError(f"--all: no generator is kept in {results}; one is kept when a trial finishes with a score.")
    for trial_id in chosen if trial_ids is not None else kept:
        path = generator_path(results, trial_id)
        generator = load_generator(path)
        if generator.trial.id != trial_id:
            raise InputError(f"{path}: holds a generator of trial {generator.trial.id}; train {trial_id} again.")
        yield generator


def planned_of(request: "Request", generators: Iterator["KeptGenerator"]) -> list["Planned"]:
    """The generators' trials with the context of their dataset under the asked protocol."""
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
    """What scores of a context are called: FID, or FD with the extractor."""
    from study.storage.schema import score_label

    return score_label(vars(context.protocol))


def number_words(scores: dict[str, Any]) -> str:
    """The scores that there are, each after a comma."""
    return "".join(f", {name} {value:.4g}" for name, value in scores.items() if value is not None)


def score_line(context: "Context", scored: "Scored") -> str:
    """All scores of a set of images."""
    return f"{label(context)} {scored.frechet_distance:.2f}{number_words(vars(scored.scores))}"
