"""`study evaluate`: score saved generators under another protocol, or a set of images."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from study.cli import options, session
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
    score_line,
    scores_text,
)
from study.core.output import show, show_error
from study.driver.request import Folders, Request, ScoringOptions

if TYPE_CHECKING:
    from study.driver.planning.planned import Planned
    from study.worker.snapshot import KeptGenerator

app = typer.Typer()


@app.command(epilog="Example: `study evaluate --all --protocol train-50k --metrics kid,prc`")
@options.keeps("All scores shown so far are saved")
@options.spread
def evaluate(
    trial_ids: TrialIds = None,
    *,
    every: All = False,
    images: ImageSource = None,
    dataset: RealDataset = "digits",
    scoring: ScoringOptions,
    folders: Folders,
) -> None:
    """Score saved generators under another protocol without new training, or score a set of images.

    The scores of generators are added to the rows of the results folder; those of a set of images are only shown.
    """
    request = Request(datasets=[dataset], folders=folders, scoring=scoring)
    check_targets(trial_ids, every, images, request.results)
    if images is not None:
        context, scored = score_images(request, images)
        show(f"{images}: {context.protocol.n_fake} images, {score_line(context, scored)}")
        return
    with session.opened(request.results):
        failed = _evaluate(request, kept_generators(request.results, trial_ids))
    if failed:
        show_error(f"{failed} generators could not be scored: `study status` shows why.")
        raise typer.Exit(session.FAILED_EXIT)


def _evaluate(request: "Request", generators: Iterator["KeptGenerator"]) -> int:
    """Score the generators that have no score yet under the protocol, and write their rows; returns how many failed."""
    from study.driver.planning.plan import pending
    from study.storage.tables import compact
    from study.worker.execute import best_device, execute

    planned = planned_of(request, generators)
    todo = {p.key for p in pending(planned, request.results, retry_failed=True)}
    failed = 0
    for trial in planned:
        if trial.key in todo:
            failed += execute(trial.trial, trial.context, best_device(), kept=True).status == "failed"
            compact(request.results)
            note = ""
        else:
            note = " (metrics added)" if request.scoring.metrics and _add_metrics(trial) else " (already scored)"
        show(_row_line(trial) + note)
    return failed


def _add_metrics(planned: "Planned") -> bool:
    """Add missing metrics to the row of a saved generator; returns False if nothing was added."""
    from study.metrics.menu import columns
    from study.storage.layout import generator_path
    from study.storage.tables import fill_scores, rows_of
    from study.worker.checkpoint import load_generator
    from study.worker.execute import best_device, load, score_generator

    context = planned.context
    generator = load_generator(generator_path(context.results, planned.trial.id)).to(best_device())
    rows = rows_of(context.results, "evaluations", planned.key)
    current = next((row for row in rows if row["discriminator_step"] == generator.step), None)
    if current is None or not any(current[column] is None for column in columns(context.metrics)):
        return False
    _, scorer = load(context, best_device())
    return fill_scores(context.results, score_generator(generator, scorer).to_row())


def _row_line(planned: "Planned") -> str:
    """One line on a trial under a protocol, from its rows: the best checkpoint and its scores, or why it has none."""
    from study.storage.schema import SCORES
    from study.storage.tables import rows_of

    results, trial = planned.context.results, planned.trial
    (row,) = rows_of(results, "trials", planned.key)
    name = f"{trial.id}  {trial.method.name} on {trial.dataset}"
    if row["best_step"] is None:
        return f"{name}: {row['status']}, {row['reason']}"
    rows = rows_of(results, "evaluations", planned.key)
    best = next(evaluation for evaluation in rows if evaluation["discriminator_step"] == row["best_step"])
    numbers = scores_text({name: best[name] for name in SCORES})
    return f"{name}, step {row['best_step']}: {label(planned.context)} {row['best_frechet_distance']:.2f}{numbers}"
