"""Options for folders, resources, and how a study runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from study.core.context import LOGGERS, check_logger
from study.core.errors import InputError
from study.driver.request.declare import FOLDERS, RESOURCES, RUNNING, check_positive, one_of
from study.storage.files import parse_location


@dataclass(frozen=True, kw_only=True)
class ResultsFolder:
    """The results folder."""

    panel: ClassVar = FOLDERS

    results: Annotated[
        Path,
        typer.Option(
            parser=parse_location,
            metavar="PATH",
            help="Results folder, with rows, figures and kept generators: a path, or an address s3://... or gs://...",
        ),
    ] = Path("results")


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """The folder of prepared datasets."""

    panel: ClassVar = FOLDERS

    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of prepared datasets.  [default: $STUDY_DATA, or the user's cache]", metavar="DIR"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Folders(DataFolder, ResultsFolder):
    """The folders of results and datasets."""


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    """The resources of a study."""

    panel: ClassVar = RESOURCES

    max_concurrent: Annotated[
        int | None,
        typer.Option(help="Maximum number of concurrent trials.  [default: as many as fit]", metavar="N"),
    ] = None
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs per trial, or a fraction of one.  [default: 1 if there are GPUs, else 0]")
    ] = None
    trials_per_gpu: Annotated[int | None, typer.Option(help="Trials per GPU.  [default: 1]", metavar="N")] = None
    pack: Annotated[
        str,
        typer.Option(
            help="Maximum number of trials in a pack, that is, trials of one method, n_dis and seed that one program "
            "trains together. `auto` uses the fastest number measured by `study bench --pack auto` on this device; 1 "
            "trains each trial alone.",
            metavar="auto|N",
        ),
    ] = "auto"
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster to join; `auto` finds a running one.  [default: start Ray on this machine]"
        ),
    ] = None
    prepare_nodes: Annotated[
        bool, typer.Option("--prepare-nodes", help="Let nodes of the cluster prepare missing datasets.")
    ] = False

    def __post_init__(self) -> None:
        check_positive(max_concurrent=self.max_concurrent)
        if self.prepare_nodes and self.address is None:
            raise InputError("--prepare-nodes: needs a cluster; leave it out, or give the cluster with --address.")


DETERMINISTIC: Any = typer.Option(
    "--deterministic",
    help="Bit-reproducible on one GPU model, but slower. Training on a CPU is always bit-reproducible.",
    rich_help_panel=RUNNING,
)


@dataclass(frozen=True, kw_only=True)
class RunningOptions:
    """How a study runs: reproducibility, retries, shards and confirmation."""

    panel: ClassVar = RUNNING

    deterministic: Annotated[bool, DETERMINISTIC] = False
    logger: Annotated[
        str | None,
        one_of(
            LOGGERS,
            help="Write checkpoints for a live view: `tensorboard --logdir RESULTS/tensorboard` shows them.",
        ),
    ] = None
    max_failures: Annotated[
        int,
        typer.Option(help="Maximum number of retries per failed trial, each from its latest state.", metavar="N"),
    ] = 2
    shard: Annotated[
        str | None,
        typer.Option(
            help="Run only part I of N; other drivers run the other parts in the same folder.",
            metavar="I/N",
        ),
    ] = None
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry trials that failed in earlier runs.")] = (
        False
    )
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Confirm a plan of more than three days, or a space of more than 100,000 trials."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False

    def __post_init__(self) -> None:
        check_logger(self.logger)
        if self.max_failures < 0:
            raise InputError(f"--max-failures {self.max_failures}: must be 0 or more.")
