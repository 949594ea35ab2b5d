"""The command that searches ranges of hyperparameters, round by round."""

from pathlib import Path
from typing import Annotated, Any

import typer

from study import cli, options, session

Sampler = Annotated[str, typer.Option(help="What proposes: gp-bucb, tpe, gp, qmc or random.")]


@cli.app.command(
    epilog="Examples: `study bo --rounds 12 --methods spectral_norm`, `study bo architectures --dataset celeba-hq-128`"
)
def bo(
    space: Annotated[str, typer.Argument(help="A search space, for its methods and ranges; see `study spaces`.")] = (
        "ranges"
    ),
    rounds: Annotated[int, typer.Option(help="Rounds of each search.")] = 12,
    batch_size: Annotated[int, typer.Option(help="Trials of a round.")] = 10,
    sampler: Sampler = "gp-bucb",
    dataset: options.Datasets = "digits",
    architecture: options.Architecture = None,
    methods: options.Methods = None,
    n_dis: Annotated[
        int | None, typer.Option(help="Only the search with this many D updates per G update.  [default: 1 and 5]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the proposals and of their training.")] = 0,
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="Stop trials at checkpoints where others of their search did better.")
    ] = False,
    discriminator_steps: options.Steps = None,
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    n_real: options.NReal = None,
    n_fake: options.NFake = None,
    protocol: options.Protocol = "study",
    metrics: options.Metrics = None,
    kid_subset: options.KidSubset = None,
    feature_precision: options.FeaturePrecision = "float32",
    operator_norms: options.OperatorNorms = False,
    keep: options.Keep = "best",
    results: options.Results = Path("results"),
    data_dir: options.DataDir = None,
    max_concurrent: options.Concurrent = None,
    gpus_per_trial: options.Gpus = None,
    trials_per_gpu: options.TrialsPerGpu = None,
    pack: options.PackSize = "auto",
    deterministic: options.Deterministic = False,
    precision: options.Precision = "float32",
    logger: options.Logger = None,
    max_failures: options.MaxFailures = 2,
    address: options.Address = None,
    shard: options.ShardOption = None,
    prepare_nodes: options.PrepareNodes = False,
    retry_failed: options.RetryFailed = False,
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Search the paper's ranges (Table 2) by Bayesian optimisation: for each method and n_dis, round by round.

    Each round is proposed from the scores of those before it. The same command goes on where a search was stopped,
    and more `--rounds` go on where it ended.
    """
    from study import bo, own_space, packs, slots
    from study.shard import parse_shard
    from study.trial import content_id

    part = parse_shard(shard)
    chosen = own_space.find(space)
    strategy = bo.Strategy(rounds=rounds, batch_size=batch_size, sampler=sampler, seed=seed, stop_early=stop_early)
    request = cli.make_request(
        cli.datasets_of(dataset, chosen),
        results,
        data_dir,
        architecture=architecture,
        methods=methods,
        n_dis=n_dis,
        discriminator_steps=discriminator_steps,
        extractor=extractor,
        extractor_weights=extractor_weights,
        n_real=n_real,
        n_fake=n_fake,
        protocol=protocol,
        metrics=metrics,
        kid_subset=kid_subset,
        feature_precision=feature_precision,
        operator_norms=operator_norms,
        keep=keep,
        deterministic=deterministic,
        precision=precision,
        logger=logger,
    )
    shares = {"gpus_per_trial": gpus_per_trial, "trials_per_gpu": trials_per_gpu}
    limits = session.checked_limits(address, precision, max_concurrent=max_concurrent, **shares)
    how = session.checked_how(address, max_failures=max_failures, prepare_nodes=prepare_nodes)
    most = packs.sizes(pack, session.device_at(address, gpus_per_trial), request.data_dir)
    searches = bo.searches(request, chosen, strategy)
    if part:
        # Whole ones: a search goes on from its own scores. By name, so that another list of methods moves none.
        searches = [search for search in searches if part.has(content_id({"search": search.name}))]
        if not searches:
            print(f"part {part}: no search falls to it.")
            return
    if dry_run:
        places = slots.make_slots(*session.resources_at(address), **limits)
        session.show_plan("bo", *bo.as_plan(searches, retry_failed=retry_failed), request.results, places)
        return
    with session.opened(request.results, part) as claim:
        planned, todo = bo.as_plan(searches, retry_failed=retry_failed)
        if todo:
            _run(searches, planned, todo, claim, how=how, most=most, retry_failed=retry_failed, yes=yes, **limits)
        else:
            print(f"bo: all {len(searches)} searches of {strategy.rounds} rounds are done.")
    _conclude(searches, request.results)


def _run(
    searches: list[Any],
    planned: list[Any],
    todo: list[Any],
    claim: Any,
    *,
    how: session.How,
    most: Any,
    retry_failed: bool,
    yes: bool,
    **limits: Any,
) -> None:
    """Run what is left of the searches, on one cluster."""
    from collections import Counter

    from study import bo, cluster, launch
    from study.display import Watch
    from study.estimate import by_method
    from study.slots import make_slots
    from study.work import EarlyStopping

    results = searches[0].context.results
    group = by_method((search.method for search in searches), n_dis=True)
    with cluster.connected(how.address) as resources:
        slots = make_slots(*resources, **limits)
        estimated = session.show_plan("bo", planned, todo, results, slots)
        session.confirm(estimated.seconds, yes=yes)
        code = session.checked_nodes(how, searches)
        total = Counter((one.trial.dataset, group(one.trial)) for one in todo)
        with Watch(total, (search.context for search in searches), group) as watch:
            work = bo.Rounds(searches, watch.say, most=most, retry_failed=retry_failed)
            stopping = EarlyStopping(
                group=lambda trial: f"{trial.dataset} {group(trial)}", first=lambda one: one.context.checkpoint_every
            )
            add = session.compacting(results, claim, watch.add, watch.say)
            said = {"say": watch.say, "max_failures": how.max_failures, "code": code}
            launch.launch(work, slots, add, stopping=stopping if searches[0].strategy.stop_early else None, **said)


def _conclude(searches: list[Any], results: Path) -> None:
    """What these searches found, and the exit code."""
    datasets = list(dict.fromkeys(search.context.dataset for search in searches))
    protocols = sorted({search.context.protocol.id for search in searches})
    show_searches(results, datasets, protocols, searches=[search.name for search in searches])
    planned = [
        search.planned(trial)
        for search in searches
        for number, some in search.rounds().items()
        if number <= search.strategy.rounds  # of later ones nothing was asked this time
        for trial in some
    ]
    session.exit_if_failed(planned, results)


def show_searches(results: Path, datasets: list[str] | None, protocols: list[str] | None, **options: Any) -> None:
    """Print the rounds and the chosen settings, where rows and figure are, and what to do next."""
    from analysis import search_report
    from analysis.tables import search_words

    made = search_report(results, dataset=datasets, protocol=protocols, **options)
    cli.print_tables(search_words(made.rounds, made.chosen))
    print(f"rows: {results / 'trials.parquet'}\nfigure: {made.figure_path}")
    print(
        f"next: `study run seeds --results {results}` repeats the best settings over more seeds;"
        " the best of many noisy runs flatters itself."
    )
