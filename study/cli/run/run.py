"""`study run`: train and score the trials of a search space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from study.cli import options, session
from study.core.output import show
from study.core.text import plural
from study.driver.request import (
    CheckpointOptions,
    Folders,
    KeepOptions,
    Request,
    ResourceOptions,
    RunningOptions,
    ScoringOptions,
    Selection,
    TrainingOptions,
)

if TYPE_CHECKING:
    from search_spaces import SearchSpace
    from study.driver.planning.planned import Planned
    from study.storage.lock import FolderLock

app = typer.Typer()


@app.command(epilog="Example: `study run grid --dataset celeba-hq-128 --methods none,spectral_norm`")
@options.keeps("All finished trials are saved, and the others continue from their last saved states")
@options.spread
def run(
    space: options.Space,
    *,
    dataset: options.Datasets = "digits",
    selection: Selection,
    training: TrainingOptions,
    scoring: ScoringOptions,
    checkpoints: CheckpointOptions,
    keep: KeepOptions,
    folders: Folders,
    resources: ResourceOptions,
    running: RunningOptions,
) -> None:
    """Train and score all trials of a search space, then show the best trials of each method.

    Finished trials are not run again: run the same command to resume a stopped study.
    """
    from study.driver.planning import packs, plan
    from study.driver.planning.shard import parse_shard
    from study.driver.spaces import user_space

    part = parse_shard(running.shard)
    chosen = user_space.find(space)
    request = Request(
        datasets=options.datasets_of(dataset, chosen),
        folders=folders,
        selection=selection,
        training=training,
        scoring=scoring,
        checkpoints=checkpoints,
        keep=keep,
        running=running,
    )
    _say_other_versions(chosen, request.results)
    session.check_resources(resources, training.precision)
    max_pack = packs.pack_limit(resources.pack, session.device_of(resources), request.data_dir)
    everything = packs.assign_packs(plan.make_plan(request, chosen), max_pack)
    planned = [trial for trial in everything if not part or part.has(trial.together[0])]
    title = f"part {part} of {chosen.name}" if part else chosen.name
    if running.dry_run:
        todo = plan.pending(planned, request.results, retry_failed=running.retry_failed)
        session.show_plan(title, planned, todo, request.results, session.slots_of(resources))
        return
    with session.opened(request.results, part) as folder_lock:
        todo = plan.pending(planned, request.results, retry_failed=running.retry_failed)
        if todo:
            _run_trials(title, chosen.recorded_name, everything, planned, todo, folder_lock, resources, running)
        else:
            _record_memberships(chosen.recorded_name, everything)
            show(f"{title}: all {len(planned)} {plural(len(planned), 'trial is', 'trials are')} done.")
    _conclude(planned, request.results, whole=not part)


def _say_other_versions(space: "SearchSpace", results: Path) -> None:
    """Say if the results have trials of another space from a file of the same name."""
    from search_spaces.space import plain_name
    from study.storage.tables import read_table

    recorded = read_table(results, "memberships").column("space").unique().to_pylist() if space.version else []
    for other in recorded:
        if other != space.recorded_name and plain_name(other) == space.name:
            known = f"has trials of {other}, another space called {space.name}"
            show(f"{results}: {known}; this one is {space.recorded_name}.")


def _record_memberships(space: str, planned: Sequence["Planned"]) -> None:
    """Record which trials belong to the space, once per dataset."""
    from study.storage.memberships import add_memberships

    for context in dict.fromkeys(p.context for p in planned):
        add_memberships(context.results, space, context.dataset, [p.trial for p in planned if p.context == context])


def _run_trials(
    title: str,
    space: str,
    everything: Sequence["Planned"],
    planned: Sequence["Planned"],
    todo: Sequence["Planned"],
    folder_lock: "FolderLock",
    resources: ResourceOptions,
    running: RunningOptions,
) -> None:
    """Run the remaining trials of the plan on one cluster. Nothing is written before the plan is confirmed."""
    from study.cli.run.live import ProgressDisplay
    from study.driver.cost.estimate import longest_first
    from study.driver.resources import make_slots
    from study.driver.scheduler import launch, ray_cluster
    from study.driver.scheduler.work import FixedWork

    results = todo[0].context.results
    with ray_cluster.connected(resources.address) as present:
        slots = make_slots(*present, resources)
        estimated = session.show_plan(title, planned, todo, results, slots)
        session.confirm(estimated.seconds, yes=running.yes)
        code = session.check_nodes(resources, (trial.context for trial in todo))
        _record_memberships(space, everything)
        with ProgressDisplay.for_trials(todo) as display:
            launch.launch(
                FixedWork(longest_first(todo, results, slots.device)),
                slots,
                session.compacting(results, folder_lock, display.add, display.print_line),
                say=display.print_line,
                max_failures=running.max_failures,
                code=code,
            )


def _conclude(planned: Sequence["Planned"], results: Path, *, whole: bool) -> None:
    """Print the best trials of a finished study, or of a part only the path of its rows; exit with an error code if
    trials failed.
    """
    from study.cli.terminal import show_best

    if whole:
        datasets = list(dict.fromkeys(p.trial.dataset for p in planned))
        show_best(results, datasets, sorted({p.context.protocol.id for p in planned}))
    else:
        show(f"rows: {results / 'trials.parquet'}; `study report` shows the results when all parts are done.")
    session.exit_if_failed(planned, results)
