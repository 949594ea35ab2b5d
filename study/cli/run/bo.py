"""`study bo`: search ranges of hyperparameters, round by round."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from study.cli import options, session
from study.driver.request import (
    CheckpointOptions,
    Folders,
    GeneratorOptions,
    MethodSelection,
    Request,
    ResourceOptions,
    RunningOptions,
    ScoringOptions,
    SearchOptions,
    TrainingOptions,
)

if TYPE_CHECKING:
    from study.driver.planning.planned import Planned
    from study.driver.search.rounds import Search
    from study.storage.lock import FolderLock

app = typer.Typer()


@app.command(
    epilog="Examples: `study bo --rounds 12 --methods spectral_norm`, `study bo architectures --dataset celeba-hq-128`"
)
@options.spread
def bo(
    space: options.Space = "ranges",
    *,
    dataset: options.Datasets = "digits",
    selection: MethodSelection,
    search: SearchOptions,
    training: TrainingOptions,
    scoring: ScoringOptions,
    checkpoints: CheckpointOptions,
    keep: GeneratorOptions,
    folders: Folders,
    resources: ResourceOptions,
    running: RunningOptions,
) -> None:
    """Search the paper's ranges (Table 2) by Bayesian optimisation, for each method and n_dis.

    Each round is proposed from the scores of the rounds before it. The same command continues a search that was
    stopped, and with more `--rounds` one that has ended.
    """
    from study.core.trial import content_id
    from study.driver.planning import packs
    from study.driver.planning.shard import parse_shard
    from study.driver.search import rounds
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
    session.check_resources(resources, training.precision)
    most = packs.pack_limit(resources.pack, session.device_of(resources), request.data_dir)
    searches = rounds.searches(request, chosen, search)
    if part:
        # Whole searches: one continues from its own scores. By name, so that other methods move none.
        searches = [one for one in searches if part.has(content_id({"search": one.name}))]
        if not searches:
            print(f"part {part}: it has no search.")
            return
    if running.dry_run:
        plan = rounds.as_plan(searches, retry_failed=running.retry_failed)
        session.show_plan("bo", *plan, request.results, session.slots_of(resources))
        return
    with session.opened(request.results, part) as folder_lock:
        planned, todo = rounds.as_plan(searches, retry_failed=running.retry_failed)
        if todo:
            _run_searches(searches, planned, todo, folder_lock, resources, running, most)
        else:
            print(f"bo: all {len(searches)} searches of {search.rounds} rounds are done.")
    _conclude(searches, request.results)


def _run_searches(
    searches: Sequence["Search"],
    planned: Sequence["Planned"],
    todo: Sequence["Planned"],
    folder_lock: "FolderLock",
    resources: ResourceOptions,
    running: RunningOptions,
    most: Callable[["Planned"], int],
) -> None:
    """Run what is left of the searches, on one cluster; `most`: the largest pack that a trial may be in."""
    from study.cli.run.live import Watch
    from study.driver.cost.estimate import by_method
    from study.driver.resources import make_slots
    from study.driver.scheduler import launch, ray_cluster
    from study.driver.scheduler.work import EarlyStopping
    from study.driver.search.rounds import Rounds

    results = searches[0].context.results
    group = by_method((one.method for one in searches), n_dis=True)
    with ray_cluster.connected(resources.address) as present:
        slots = make_slots(*present, resources)
        estimated = session.show_plan("bo", planned, todo, results, slots)
        session.confirm(estimated.seconds, yes=running.yes)
        code = session.checked_nodes(resources, (one.context for one in searches))
        total = Counter((one.trial.dataset, group(one.trial)) for one in todo)
        stopping = EarlyStopping(
            group=lambda trial: f"{trial.dataset} {group(trial)}", grace_steps=lambda one: one.context.checkpoint_every
        )
        with Watch(total, (one.context for one in searches), group) as watch:
            launch.launch(
                Rounds(searches, watch.say, pack_limit=most, retry_failed=running.retry_failed),
                slots,
                session.compacting(results, folder_lock, watch.add, watch.say),
                stopping=stopping if searches[0].strategy.stop_early else None,
                say=watch.say,
                max_failures=running.max_failures,
                code=code,
            )


def _conclude(searches: Sequence["Search"], results: Path) -> None:
    """What these searches found, and the exit code."""
    from study.cli.terminal import show_searches

    datasets = list(dict.fromkeys(one.context.dataset for one in searches))
    protocols = sorted({one.context.protocol.id for one in searches})
    show_searches(results, datasets, protocols, searches=[one.name for one in searches])
    planned = [
        one.planned(trial)
        for one in searches
        for number, trials in one.rounds().items()
        if number <= one.strategy.rounds  # an earlier run may have asked for more
        for trial in trials
    ]
    session.exit_if_failed(planned, results)
