"""`study evaluate`: score kept generators under another protocol."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from study.cli import options, session
from study.driver.request import Folders, Request, ScoringOptions

if TYPE_CHECKING:
    from study.driver.planning.planned import Planned
    from study.driver.request import Request
    from study.worker.snapshot import KeptGenerator
from study.cli.score.generators import (
    All,
    ImageFolder,
    Real,
    TrialIds,
    check_named,
    kept_generators,
    label,
    number_words,
    planned_of,
    score_folder,
    score_line,
)

app = typer.Typer()


@app.command(epilog="Example: `study evaluate --all --protocol train-50k --metrics kid,prc`")
@options.spread
def evaluate(
    trial_ids: TrialIds = None,
    *,
    every: All = False,
    images: ImageFolder = None,
    dataset: Real = "digits",
    scoring: ScoringOptions,
    folders: Folders,
) -> None:
    """Score kept generators under another protocol without training them again, or a folder of images.

    The rows of generators join the others of the results folder; the scores of a folder of images are only shown.
    """
    request = Request(datasets=[dataset], folders=folders, scoring=scoring)
    check_named(trial_ids, every, images, request.results)
    if images is not None:
        context, scored = score_folder(request, images)
        print(f"{images}: {context.protocol.n_fake} images, {score_line(context, scored)}")
        return
    with session.opened(request.results):
        failed = _evaluate(request, kept_generators(request.results, trial_ids))
    if failed:
        print(f"{failed} could not be scored: see `study status`.", file=sys.stderr)
        raise typer.Exit(session.FAILED_EXIT)


def _evaluate(request: "Request", generators: Iterator["KeptGenerator"]) -> int:
    """Score and write what is not there yet, one line each; returns how many failed."""
    from study.driver.planning.plan import pending
    from study.storage.tables import compact
    from study.worker.execute import best_device, execute

    planned = planned_of(request, generators)
    todo = {p.key for p in pending(planned, request.results, retry_failed=True)}
    failed = 0
    for one in planned:
        if one.key in todo:
            failed += execute(one.trial, one.context, best_device(), kept=True).status == "failed"
            compact(request.results)
            note = ""
        else:
            note = " (metrics added)" if request.scoring.metrics and _fill(one) else " (already scored)"
        print(_row_line(one) + note, flush=True)
    return failed


def _fill(planned: "Planned") -> bool:
    """Add metrics to the row of a kept generator that lack there; False where none do, or the row has no score."""
    from study.metrics.menu import columns
    from study.storage.layout import generator_path
    from study.storage.tables import fill_scores, rows_of
    from study.worker.checkpoint import load_generator
    from study.worker.execute import best_device, load, score_generator

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
    from study.storage.schema import SCORES
    from study.storage.tables import rows_of

    results, trial = planned.context.results, planned.trial
    (row,) = rows_of(results, "trials", planned.key)
    who = f"{trial.id}  {trial.method.name} on {trial.dataset}"
    if row["best_step"] is None:
        return f"{who}: {row['status']}, {row['reason']}"
    rows = rows_of(results, "evaluations", planned.key)
    best = next(evaluation for evaluation in rows if evaluation["discriminator_step"] == row["best_step"])
    numbers = number_words({name: best[name] for name in SCORES})
    return f"{who}, step {row['best_step']}: {label(planned.context)} {row['best_frechet_distance']:.2f}{numbers}"
