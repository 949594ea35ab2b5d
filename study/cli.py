"""The command line: what the commands are, and how their parts are put together. Heavy imports stay inside them."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from study import session
from study.files import place
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

USAGE_ERROR: Any = typer.BadParameter.__base__  # which typer does not export

Space = Annotated[str, typer.Argument(help="A search space; see `study spaces`. Or your own: a .toml or .py file.")]
ALL = "all"
Datasets = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Datasets, separated by commas; see `study datasets`. Or all: those of the space in the paper.",
    ),
]
OneDataset = Annotated[str, typer.Option("--dataset", help="A dataset; see `study datasets`.")]
Results = Annotated[
    Path,
    typer.Option(
        parser=place,
        metavar="PATH",
        help="Folder of rows, figures and kept generators; or an address, s3://... or gs://...",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of prepared data.  [default: $STUDY_DATA, or the user's cache]")
]
Architecture = Annotated[str | None, typer.Option(help="Networks.  [default: the dataset's]")]
Methods = Annotated[
    str | None,
    typer.Option(
        help="Methods, separated by commas, parts joined by a plus, options in brackets: "
        "`none,spectral_norm+dragan[dragan_noise=gaussian]`; see `study methods`."
    ),
]
Settings = Annotated[int | None, typer.Option(help="Only the first N settings of each method.", metavar="N")]
Seeds = Annotated[int | None, typer.Option(help="Train seeds 0 to N-1.  [default: the space's]", metavar="N")]
NDis = Annotated[int | None, typer.Option(help="Only settings with this many D updates per G update.")]
Steps = Annotated[int | None, typer.Option(help="D updates of a trial.  [default: the dataset's]")]
ExtractorName = Annotated[str | None, typer.Option(help="Features that scores compare.  [default: the dataset's]")]
Weights = Annotated[Path | None, typer.Option(help="Weights file for the extractor; recorded by its hash.")]
NReal = Annotated[int | None, typer.Option(help="Real images in a score.  [default: the protocol's]")]
NFake = Annotated[int | None, typer.Option(help="Generated images in a score.  [default: the protocol's]")]
Protocol = Annotated[
    str, typer.Option(help="How scores are taken; `study` is the paper's.  [study, rounded, test-5k, train-50k]")
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Measured beside the Frechet distance, by commas: is, modes, kid, prc, ms_ssim, infinity; or all, "
        "or none.  [default: is and modes, where the extractor has classes]"
    ),
]
KidSubset = Annotated[int | None, typer.Option(help="Features in a subset of KID.  [default: 1,000 or fewer]")]
FeaturePrecision = Annotated[
    str, typer.Option(help="What features are computed in; in bfloat16 no score is an FID.  [float32, bfloat16]")
]
OperatorNorms = Annotated[
    bool, typer.Option("--operator-norms", help="Record the operator norm of each discriminator layer at checkpoints.")
]
KeepStates = Annotated[
    bool,
    typer.Option(
        "--keep-states", help="Keep each trial's last state, for longer ones to go on from; 2 to 400 MB each."
    ),
]
Keep = Annotated[
    str, typer.Option(help="Generators to keep of a trial: its best, all at scored steps, or none.  [none, best, all]")
]
Address = Annotated[
    str | None, typer.Option(help="Join the Ray cluster there (`auto` finds it).  [default: start one]")
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", help="Only part I of N, beside other drivers on the same results folder.", metavar="I/N"),
]
Concurrent = Annotated[int | None, typer.Option(help="At most so many trials at a time.", metavar="N")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Run a plan of more than three days, or a space of more than 100,000 trials.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
PackSize = Annotated[
    str,
    typer.Option(
        "--pack",
        help="At most so many trials of one method, n_dis and seed are trained together by one program; `auto`: as "
        "many as were measured to be fastest on this device, by `study bench --pack auto`; 1: each alone.",
        metavar="auto|K",
    ),
]
TrialsPerGpu = Annotated[int | None, typer.Option(help="So many trials share a GPU.", metavar="K")]
MaxFailures = Annotated[
    int, typer.Option(help="A trial that fails is tried again so many times, from its latest state.", metavar="N")
]
PrepareNodes = Annotated[
    bool, typer.Option("--prepare-nodes", help="Nodes of the cluster prepare the datasets that they lack.")
]
Precision = Annotated[
    str,
    typer.Option(
        help="What training computes in, part of a trial's identity: float32; tf32 on GPUs; bfloat16 where the device "
        "has instructions for it.  [float32, tf32, bfloat16]"
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="The same bits each time on one kind of GPU; on a CPU it is so anyway."),
]
Logger = Annotated[
    str | None,
    typer.Option(
        help="Show trials while they run: with tensorboard, `tensorboard --logdir RESULTS/tensorboard` shows each "
        "scored checkpoint.  [tensorboard]"
    ),
]
Gpus = Annotated[float | None, typer.Option(help="GPUs, or part of one, per trial.  [default: 1 where there are any]")]


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
    space: Space,
    dataset: Datasets = "digits",
    architecture: Architecture = None,
    methods: Methods = None,
    settings: Settings = None,
    seeds: Seeds = None,
    n_dis: NDis = None,
    discriminator_steps: Steps = None,
    extractor: ExtractorName = None,
    extractor_weights: Weights = None,
    n_real: NReal = None,
    n_fake: NFake = None,
    protocol: Protocol = "study",
    metrics: Metrics = None,
    kid_subset: KidSubset = None,
    feature_precision: FeaturePrecision = "float32",
    operator_norms: OperatorNorms = False,
    keep_states: KeepStates = False,
    keep: Keep = "best",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    max_concurrent: Concurrent = None,
    gpus_per_trial: Gpus = None,
    trials_per_gpu: TrialsPerGpu = None,
    pack: PackSize = "auto",
    deterministic: Deterministic = False,
    precision: Precision = "float32",
    logger: Logger = None,
    max_failures: MaxFailures = 2,
    address: Address = None,
    shard: ShardOption = None,
    prepare_nodes: PrepareNodes = False,
    retry_failed: RetryFailed = False,
    yes: Yes = False,
    dry_run: DryRun = False,
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


def datasets_of(dataset: str, space: Any) -> str:
    """`dataset`, or where that is `all` those on which the paper has the space."""
    return ",".join(space.on_paper()) if dataset == ALL else dataset


def make_request(dataset: str, results: Path, data_dir: Path | None, **rest: Any) -> Any:
    """What the user asked for, of the options that most commands have and the `rest`."""
    from study import data, plan

    return plan.Request(datasets=split(dataset), results=results, data_dir=data.data_dir(data_dir), **rest)


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
