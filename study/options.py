"""Options that several commands have in common, each told once; and how a command takes some of them together."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from study.files import place

Space = Annotated[str, typer.Argument(help="A search space; see `study spaces`. Or your own: a .toml or .py file.")]
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


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes, in place of each parameter that is a dataclass, the fields of that; for Typer to read."""
    parameters = signature(command).parameters.values()
    kinds: dict[str, Any] = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}
    parts = (signature(kinds[each.name]).parameters.values() if each.name in kinds else [each] for each in parameters)
    options = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in chain.from_iterable(parts)]

    @wraps(command)
    def spread_out(**given: Any) -> None:
        for name, kind in kinds.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    spread_out.__signature__ = Signature(options)  # type: ignore[attr-defined]
    return spread_out
