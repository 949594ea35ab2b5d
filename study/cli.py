"""The command line: what the commands are, and how their parts are put together. Heavy imports stay inside them."""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from study import options, session
from study.names import InputError
from study.shard import parse_shard

app = typer.Typer(
    name="study",
    help="Run, repeat and extend the large-scale study of regularization and normalization in GANs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Prepare datasets, and check them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

ALL = "all"
"""In place of datasets: those on which the paper has a space."""
USAGE_ERROR: Any = typer.BadParameter.__base__  # which typer does not export


def _show_version(asked: bool) -> None:
    from importlib.metadata import version

    if asked:
        print(f"gan-study {version('gan-study')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """What all commands have in common."""


@app.command(epilog="Example: `study run grid --dataset celeba-hq-128 --methods none,spectral_norm`")
def run(
    space: options.Space,
    dataset: options.Datasets = "digits",
    architecture: options.Architecture = None,
    methods: options.Methods = None,
    settings: options.Settings = None,
    seeds: options.Seeds = None,
    n_dis: options.NDis = None,
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
    keep_states: options.KeepStates = False,
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
    """Train and score every trial of a search space, and show the best of each method.

    Finished trials are never run again: the same command resumes a study that was stopped.
    """
    from study import own_space, packs, plan, slots

    part = parse_shard(shard)
    chosen = own_space.find(space)
    space = chosen.name
    request = make_request(
        datasets_of(dataset, chosen),
        results,
        data_dir,
        many=yes,
        architecture=architecture,
        methods=methods,
        settings=settings,
        seeds=seeds,
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
        keep_states=keep_states,
        keep=keep,
        deterministic=deterministic,
        precision=precision,
        logger=logger,
    )
    shares = {"gpus_per_trial": gpus_per_trial, "trials_per_gpu": trials_per_gpu}
    limits = session.checked_limits(address, precision, max_concurrent=max_concurrent, **shares)
    how = session.checked_how(address, max_failures=max_failures, prepare_nodes=prepare_nodes)
    most = packs.sizes(pack, session.device_at(address, gpus_per_trial), request.data_dir)
    everything = packs.packed(plan.make_plan(request, chosen), most)
    planned = [one for one in everything if not part or part.has(one.together[0])]
    title = f"part {part} of {space}" if part else space
    if dry_run:
        todo = plan.pending(planned, request.results, retry_failed=retry_failed)
        places = slots.make_slots(*session.resources_at(address), **limits)
        session.show_plan(title, planned, todo, request.results, places)
        return
    with session.opened(request.results, part) as claim:
        todo = plan.pending(planned, request.results, retry_failed=retry_failed)
        record = partial(_record_memberships, space, everything)
        if todo:
            _run_trials(title, planned, todo, claim, record, how=how, yes=yes, **limits)
        else:
            record()
            print(f"{title}: all {len(planned)} trials are done.")
    _conclude(planned, request.results, alone=not part)


def split(names: str) -> list[str]:
    """The names of a list separated by commas, each once, in order."""
    return list(dict.fromkeys(name.strip() for name in names.split(",")))


def datasets_of(dataset: str, space: Any) -> list[str]:
    """Those of a list separated by commas, or where that is `all` those on which the paper has the space."""
    return list(space.on_paper()) if dataset == ALL else split(dataset)


def make_request(datasets: Sequence[str], results: Path, data_dir: Path | None, **rest: Any) -> Any:
    """What the user asked for, of the options that most commands have and the `rest`."""
    from study import data, plan

    return plan.Request(datasets=datasets, results=results, data_dir=data.data_dir(data_dir), **rest)


def _record_memberships(space: str, planned: list[Any]) -> None:
    from study.memberships import add_memberships

    for context in dict.fromkeys(p.context for p in planned):
        add_memberships(context.results, space, context.dataset, [p.trial for p in planned if p.context == context])


def _run_trials(
    title: str,
    planned: list[Any],
    todo: list[Any],
    claim: Any,
    record: Callable[[], None],
    *,
    how: session.How,
    yes: bool,
    **limits: Any,
) -> None:
    from study import cluster, launch
    from study.display import Watch
    from study.estimate import longest_first
    from study.slots import make_slots
    from study.work import Listed

    results = todo[0].context.results
    with cluster.connected(how.address) as resources:
        slots = make_slots(*resources, **limits)
        estimated = session.show_plan(title, planned, todo, results, slots)
        session.confirm(estimated.seconds, yes=yes)
        code = session.checked_nodes(how, todo)
        record()
        with Watch.of(todo) as watch:
            work = Listed(longest_first(todo, results, slots.device))
            said = {"say": watch.say, "max_failures": how.max_failures, "code": code}
            launch.launch(work, slots, session.compacting(results, claim, watch.add, watch.say), **said)


def _conclude(planned: list[Any], results: Path, *, alone: bool) -> None:
    """The table, the figure and the exit code of a study that has ended, or of a part that other drivers are not in."""
    from study.report_commands import show_best

    if not alone:
        print(f"rows: {results / 'trials.parquet'}; `study report` shows the study when all parts are done.")
        session.exit_if_failed(planned, results)
        return
    datasets = list(dict.fromkeys(p.trial.dataset for p in planned))
    show_best(results, datasets, sorted({p.context.protocol.id for p in planned}))
    session.exit_if_failed(planned, results)


def print_tables(blocks: Iterable[Any]) -> None:
    """Print blocks of `analysis.tables`: drawn for a terminal, plain elsewhere."""
    from rich.console import Console

    from analysis.tables import plain_table, terminal_table

    if sys.stdout.isatty():
        Console().print(terminal_table(blocks))
    else:
        print(plain_table(blocks))


def main() -> None:
    """Run the command line; an error of the user's is one line on standard error and exit code 2, the system's 1.

    Where who reads the output has gone, as in `study status | head -1`, the end is quiet.
    """
    import study.bench_commands
    import study.bo_commands
    import study.claims_commands
    import study.commands
    import study.data_commands
    import study.export_commands
    import study.plan_commands
    import study.report_commands
    import study.score_commands
    import study.space_commands
    import study.status_commands
    import study.table_commands  # noqa: F401  the other commands: they add themselves to `app`

    try:
        code = app(standalone_mode=False)
    except InputError as error:
        print(error, file=sys.stderr)
        code = 2
    except USAGE_ERROR as error:
        print(" ".join(error.format_message().split()), file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        print("stopped; every finished trial is kept, and the same command goes on from there.", file=sys.stderr)
        code = 130
    except OSError as error:  # but for a closed pipe, of which typer makes exit code 1
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    sys.exit(code)
