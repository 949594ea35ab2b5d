"""The commands that score what was trained before: under other protocols, and protocols beside each other."""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study import cli, options, session
from study.names import InputError

if TYPE_CHECKING:
    from study.checkpoint import Generator
    from study.context import Context
    from study.metrics.scoring import Scored
    from study.plan import Planned, Request

TrialIds = Annotated[
    list[str] | None, typer.Argument(help="Finished trials, as in trials.parquet; their first digits suffice.")
]
All = Annotated[bool, typer.Option("--all", help="Every trial that kept a generator.")]
ImageFolder = Annotated[Path | None, typer.Option(help="A folder of images instead of kept generators.", metavar="DIR")]
Real = Annotated[str, typer.Option("--dataset", help="For --images: whose real images they are compared with.")]
NAMES = "study,rounded,test-5k,train-50k"


@cli.app.command(epilog="Example: `study evaluate --all --protocol train-50k --metrics kid,prc`")
def evaluate(
    trial_ids: TrialIds = None,
    every: All = False,
    images: ImageFolder = None,
    dataset: Real = "digits",
    protocol: options.Protocol = "study",
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    n_real: options.NReal = None,
    n_fake: options.NFake = None,
    metrics: options.Metrics = None,
    kid_subset: options.KidSubset = None,
    feature_precision: options.FeaturePrecision = "float32",
    results: options.Results = Path("results"),
    data_dir: options.DataDir = None,
) -> None:
    """Score kept generators under another protocol without training them again, or a folder of images.

    The rows of generators join the others of the results folder; the scores of a folder of images are only shown.
    """
    request = cli.make_request(
        [dataset],
        results,
        data_dir,
        protocol=protocol,
        extractor=extractor,
        extractor_weights=extractor_weights,
        n_real=n_real,
        n_fake=n_fake,
        metrics=metrics,
        kid_subset=kid_subset,
        feature_precision=feature_precision,
    )
    _check_asked(trial_ids, every, images, results)
    if images is not None:
        context, scored = _score_folder(request, images)
        print(f"{images}: {context.protocol.n_fake} images, {_line(context, scored)}")
        return
    with session.opened(request.results):
        failed = _evaluate(request, _generators(request.results, trial_ids))
    if failed:
        print(f"{failed} could not be scored: see `study status`.", file=sys.stderr)
        raise typer.Exit(session.FAILED_EXIT)


@cli.app.command("compare-protocols", epilog="Example: `study compare-protocols --all --protocols study,train-50k`")
def compare_protocols(
    trial_ids: TrialIds = None,
    every: All = False,
    images: ImageFolder = None,
    dataset: Real = "digits",
    protocols: Annotated[str, typer.Option(help="Names of protocols, separated by commas.")] = NAMES,
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    n_real: options.NReal = None,
    n_fake: options.NFake = None,
    feature_precision: options.FeaturePrecision = "float32",
    results: options.Results = Path("results"),
    data_dir: options.DataDir = None,
) -> None:
    """Show how much a score moves with its protocol: the same generators, or images, under several side by side.

    The paper finds differences of more than 10 % (section 4). Nothing is written. Of several generators each row shows
    the median, and the range of the ratio to the first protocol.
    """
    names = cli.split(protocols)
    common: dict[str, Any] = {"extractor": extractor, "extractor_weights": extractor_weights}
    common |= {"n_real": n_real, "n_fake": n_fake, "feature_precision": feature_precision}
    requests = [
        cli.make_request([dataset], results, data_dir, protocol=name, metrics="none", **common) for name in names
    ]
    _check_asked(trial_ids, every, images, results)
    generators = [] if images is not None else list(_generators(results, trial_ids))
    sets: dict[str, Any] = {}
    for name, request in zip(names, requests, strict=True):
        if images is not None:
            context, scored = _score_folder(request, images)
            sets[name] = [(context, scored.frechet_distance)]
        else:
            sets[name] = _score_all(request, generators)
    print("\n".join(_comparison(sets)))


def _check_asked(trial_ids: list[str] | None, every: bool, images: Path | None, results: Path) -> None:
    """Raises InputError unless exactly one thing to score is named, and is there."""
    if sum((bool(trial_ids), every, images is not None)) != 1:
        raise InputError("TRIAL_ID, --all, --images: name trials, or all of them, or a folder of images; one of these.")
    if images is None and not (results / "trials.parquet").is_file() and not (results / "parts").is_dir():
        raise InputError(f"--results {results}: nothing has been run there; `study run grid --results DIR` does it.")


def _score_folder(request: "Request", folder: Path) -> tuple["Context", "Scored"]:
    """The scores of the first n_fake images of a folder, whose names decide the order."""
    from study import data, plan
    from study.execute import load
    from study.metrics.folder import image_paths, read_images
    from study.metrics.scoring import BATCH_SIZE

    (dataset,) = request.datasets
    context, _ = plan.make_context(request, dataset)
    images = data.load(dataset, request.data_dir)
    paths = image_paths(folder, context.protocol.n_fake)
    _, scorer = load(context, "cpu")
    scored = scorer.score_images(read_images(paths, images.test.shape[1:], BATCH_SIZE))
    if scored is None:
        raise InputError(f"--extractor-weights: features of {folder} are not finite; give other weights.")
    return context, scored


def _generators(results: Path, trial_ids: list[str] | None) -> Iterator["Generator"]:
    """The kept generators of the named trials, or of all; those of all that kept none are counted on standard error."""
    from study.checkpoint import load_generator
    from study.results import generator_path, statuses

    known = sorted({trial_id for trial_id, _ in statuses(results)})
    chosen = known if trial_ids is None else [_whole_id(asked, known, results) for asked in trial_ids]
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


def _whole_id(asked: str, known: list[str], results: Path) -> str:
    from study.results import generator_path

    found = [trial_id for trial_id in known if asked and trial_id.startswith(asked)]
    if len(found) != 1:
        what = f"{len(found)} trials begin so" if found else "no such trial"
        raise InputError(f"TRIAL_ID {asked}: {what} in {results}; ids stand in {results / 'trials.parquet'}.")
    if not generator_path(results, found[0]).is_file():
        why = "one is kept when a trial finishes with a score; train it again"
        raise InputError(
            f"TRIAL_ID {asked}: no generator is kept in {generator_path(results, found[0]).parent}; {why}."
        )
    return found[0]


def _planned(request: "Request", generators: Iterator["Generator"]) -> list["Planned"]:
    """The generators' trials with the context of their dataset under the asked protocol."""
    from study.plan import Planned, make_context

    contexts: dict[str, Any] = {}
    planned = []
    for generator in generators:
        dataset = generator.trial.dataset
        if dataset not in contexts:
            contexts[dataset] = make_context(request, dataset)
        context, shape = contexts[dataset]
        planned.append(Planned(trial=generator.trial, context=context, shape=shape, kept=True))
    return planned


def _evaluate(request: "Request", generators: Iterator["Generator"]) -> int:
    """Score and write what is not there yet, one line each; returns how many failed."""
    from study.execute import best_device, execute
    from study.plan import pending
    from study.results import compact

    planned = _planned(request, generators)
    todo = {p.key for p in pending(planned, request.results, retry_failed=True)}
    failed = 0
    for one in planned:
        if one.key in todo:
            failed += execute(one.trial, one.context, best_device(), kept=True).status == "failed"
            compact(request.results)
            note = ""
        else:
            note = " (metrics added)" if request.metrics and _fill(one) else " (stood there)"
        print(_row_line(one) + note, flush=True)
    return failed


def _fill(planned: "Planned") -> bool:
    """Add metrics to the row of a kept generator that lack there; False where none do, or the row has no score."""
    from study.checkpoint import load_generator
    from study.execute import best_device, load, score_generator
    from study.metrics.menu import columns
    from study.results import fill_scores, generator_path, rows_of

    context = planned.context
    generator = load_generator(generator_path(context.results, planned.trial.id)).to(best_device())
    rows = rows_of(context.results, "evaluations", planned.key)
    at = next((row for row in rows if row["discriminator_step"] == generator.step), None)
    if at is None or not any(at[column] is None for column in columns(context.metrics)):
        return False
    _, scorer = load(context, best_device())
    return fill_scores(context.results, score_generator(generator, scorer).to_row())


def _row_line(planned: "Planned") -> str:
    """A trial under a protocol as its rows tell it: its best checkpoint, and the other metrics there."""
    from study.results import rows_of
    from study.rows import SCORES

    results, trial = planned.context.results, planned.trial
    (row,) = rows_of(results, "trials", planned.key)
    who = f"{trial.id}  {trial.method.name} on {trial.dataset}"
    if row["best_step"] is None:
        return f"{who}: {row['status']}, {row['reason']}"
    rows = rows_of(results, "evaluations", planned.key)
    best = next(evaluation for evaluation in rows if evaluation["discriminator_step"] == row["best_step"])
    numbers = _numbers({name: best[name] for name in SCORES})
    return f"{who}, step {row['best_step']}: {_label(planned.context)} {row['best_frechet_distance']:.2f}{numbers}"


def _label(context: "Context") -> str:
    from study.rows import score_label

    return score_label(vars(context.protocol))


def _numbers(scores: dict[str, Any]) -> str:
    return "".join(f", {name} {value:.4g}" for name, value in scores.items() if value is not None)


def _line(context: "Context", scored: "Scored") -> str:
    return f"{_label(context)} {scored.frechet_distance:.2f}{_numbers(vars(scored.scores))}"


def _score_all(request: "Request", generators: list["Generator"]) -> list[tuple["Context", float]]:
    """The Frechet distance of each generator under one protocol, in order."""
    from study.execute import best_device, load, score_generator

    planned = _planned(request, iter(generators))
    scores = []
    for generator, one in zip(generators, planned, strict=True):
        _, scorer = load(one.context, best_device())
        scores.append((one.context, float(score_generator(generator.to(best_device()), scorer).frechet_distance or 0)))
    return scores


def _comparison(sets: dict[str, list[tuple["Context", float]]]) -> Iterator[str]:
    """A table of protocols, one block per dataset; every score is divided by the same set's under the first one."""
    datasets = list(dict.fromkeys(context.dataset for context, _ in next(iter(sets.values()))))
    for dataset in datasets:
        rows = {name: [one for one in pairs if one[0].dataset == dataset] for name, pairs in sets.items()}
        first = [score for _, score in next(iter(rows.values()))]
        context = next(iter(rows.values()))[0][0]
        yield f"{dataset}: {_label(context)} of {len(first)} set{'s' * (len(first) > 1)} of images"
        yield f"{'protocol':12} {'split':6} {'real':>7} {'generated':>9} {'rounded':>7} {'score':>9}  ratio"
        for name, pairs in rows.items():
            used = pairs[0][0].protocol
            median = statistics.median(score for _, score in pairs)
            ratios = sorted(
                score / before if before else float("nan") for (_, score), before in zip(pairs, first, strict=True)
            )
            span = f" [{ratios[0]:.3f}, {ratios[-1]:.3f}]" if len(ratios) > 1 else ""
            numbers = f"{used.n_real:7,} {used.n_fake:9,} {'yes' if used.quantize else 'no':>7} {median:9.3f}"
            yield f"{name:12} {used.split:6} {numbers}  {statistics.median(ratios):.3f}{span}"
