"""`study compare-protocols`: score the same images under several metric protocols."""

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.cli.score.generators import (
    All,
    ImageSource,
    RealDataset,
    TrialIds,
    check_targets,
    kept_generators,
    label,
    planned_of,
    score_images,
)
from study.core.evaluation import PROTOCOLS
from study.core.output import show
from study.core.text import plural
from study.driver.request import SCORING_PANEL, FeatureOptions, Folders, Request, ScoringOptions, several_of

if TYPE_CHECKING:
    from study.core.context import Context
    from study.worker.snapshot import KeptGenerator

Scores = list[tuple["Context", float]]
"""The Frechet distance of each set of images under one protocol, with its context."""


app = typer.Typer()


@app.command("compare-protocols", epilog="Example: `study compare-protocols --all --protocols study,train-50k`")
@options.keeps("Nothing is written by this command")
@options.spread
def compare_protocols(
    trial_ids: TrialIds = None,
    *,
    every: All = False,
    images: ImageSource = None,
    dataset: RealDataset = "digits",
    protocols: Annotated[
        str, several_of(lambda: PROTOCOLS, help="Comma-separated metric protocols.", panel=SCORING_PANEL)
    ] = ",".join(PROTOCOLS),
    features: FeatureOptions,
    folders: Folders,
) -> None:
    """Show how much the score of the same generators, or images, depends on the metric protocol.

    The paper finds differences of more than 10 % (section 4). For several generators, each row shows the median score,
    and the median and range of its ratio to the score under the first protocol. Nothing is written.
    """
    names = options.split(protocols)
    scorings = [ScoringOptions(protocol=name, metrics="none", **vars(features)) for name in names]
    requests = [Request(datasets=[dataset], folders=folders, scoring=scoring) for scoring in scorings]
    results = folders.results
    check_targets(trial_ids, every, images, results)
    generators = [] if images is not None else list(kept_generators(results, trial_ids))
    by_protocol: dict[str, Scores] = {}
    for name, request in zip(names, requests, strict=True):
        if images is not None:
            context, scored = score_images(request, images, tell=not by_protocol)
            by_protocol[name] = [(context, scored.frechet_distance)]
        else:
            by_protocol[name] = _score_all(request, generators)
    show(*_comparison(by_protocol))


def _score_all(request: "Request", generators: list["KeptGenerator"]) -> "Scores":
    """The Frechet distances of the generators under one protocol, in order."""
    from study.worker.execute import best_device, load, score_generator

    planned = planned_of(request, iter(generators))
    scores = []
    for generator, trial in zip(generators, planned, strict=True):
        _, scorer = load(trial.context, best_device())
        scored = score_generator(generator.to(best_device()), scorer)
        scores.append((trial.context, float(scored.frechet_distance or 0)))
    return scores


def _comparison(by_protocol: dict[str, "Scores"]) -> Iterator[str]:
    """The lines of a table of protocols, one block per dataset.

    The ratio divides each score by the score of the same images under the first protocol.
    """
    datasets = list(dict.fromkeys(context.dataset for context, _ in next(iter(by_protocol.values()))))
    for dataset in datasets:
        rows = {
            name: [(context, score) for context, score in scores if context.dataset == dataset]
            for name, scores in by_protocol.items()
        }
        first = [score for _, score in next(iter(rows.values()))]
        context = next(iter(rows.values()))[0][0]
        yield f"{dataset}: {label(context)} of {len(first)} {plural(len(first), 'set')} of images"
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
