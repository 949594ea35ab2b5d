"""`study bo`: Bayesian optimisation of hyperparameters, round by round."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from study.cli import options, session
from study.core.output import show
from study.core.text import plural
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
@options.keeps("All finished trials are saved, and the others continue from their last saved states")
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
    """Search the hyperparameter ranges of the paper (Table 2) by Bayesian optimisation, once per method and n_dis.

    The scores of all earlier rounds decide which settings the next round tries. Run the same command again to continue
    a stopped search, or with a larger `--rounds` to extend a finished one.
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
    max_pack = packs.pack_limit(resources.pack, session.device_of(resources), request.data_dir)
    searches = rounds.searches(request, chosen, search)
    if part:
        # A part has whole searches, because a search needs its own scores. The hash of the name decides, so that adding
        # a method moves no other search to another part.
        searches = [search for search in searches if part.has(content_id({"search": search.name}))]
        if not searches:
            show(f"part {part} contains no search.")
            return
    if running.dry_run:
        plan = rounds.as_plan(searches, retry_failed=running.retry_failed)
        session.show_plan("bo", *plan, request.results, session.slots_of(resources))
        return
    with session.opened(request.results, part) as folder_lock:
        planned, todo = rounds.as_plan(searches, retry_failed=running.retry_failed)
        if todo:
            _run_searches(searches, planned, todo, folder_lock, resources, running, max_pack)
        else:
            of = f"{plural(len(searches), 'search', 'searches')} of {search.rounds} {plural(search.rounds, 'round')}"
            show(f"bo: all {len(searches)} {of} {plural(len(searches), 'is', 'are')} finished.")
    _conclude(searches, request.results)


def _run_searches(
    searches: Sequence["Search"],
    planned: Sequence["Planned"],
    todo: Sequence["Planned"],
    folder_lock: "FolderLock",
    resources: ResourceOptions,
    running: RunningOptions,
    max_pack: Callable[["Planned"], int],
) -> None:
    """Run the remaining trials of the searches on one cluster; `max_pack` gives the largest pack size for a trial."""
    from study.cli.run.live import ProgressDisplay
    from study.driver.cost.estimate import by_method
    from study.driver.resources import make_slots
    from study.driver.scheduler import launch, ray_cluster
    from study.driver.scheduler.work import EarlyStopping
    from study.driver.search.rounds import Rounds

    results = searches[0].context.results
    group = by_method((search.method for search in searches), n_dis=True)
    with ray_cluster.connected(resources.address) as present:
        slots = make_slots(*present, resources)
        estimated = session.show_plan("bo", planned, todo, results, slots)
        session.confirm(estimated.seconds, yes=running.yes)
        code = session.check_nodes(resources, (search.context for search in searches))
        total = Counter((one.trial.dataset, group(one.trial)) for one in todo)
        stopping = EarlyStopping(
            group=lambda trial: f"{trial.dataset} {group(trial)}",
            grace_steps=lambda trial: trial.context.checkpoint_every,
        )
        with ProgressDisplay(total, (search.context for search in searches), group) as display:
            launch.launch(
                Rounds(searches, display.print_line, pack_limit=max_pack, retry_failed=running.retry_failed),
                slots,
                session.compacting(results, folder_lock, display.add, display.print_line),
                stopping=stopping if searches[0].strategy.stop_early else None,
                say=display.print_line,
                max_failures=running.max_failures,
                code=code,
            )


def _conclude(searches: Sequence["Search"], results: Path) -> None:
    """Print the results of these searches; exit with an error code if trials failed."""
    from study.cli.terminal import show_searches

    datasets = list(dict.fromkeys(search.context.dataset for search in searches))
    protocols = sorted({search.context.protocol.id for search in searches})
    show_searches(results, datasets, protocols, searches=[search.name for search in searches])
    planned = [
        search.planned(trial)
        for search in searches
        for number, trials in search.rounds().items()
        if number <= search.strategy.rounds  # an earlier run may have had more rounds
        for trial in trials
    ]
    session.exit_if_failed(planned, results)
