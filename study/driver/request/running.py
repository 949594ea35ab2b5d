"""Options of folders, resources and execution."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from study.core.context import LOGGERS, check_logger
from study.core.errors import InputError
from study.driver.request.declare import EXECUTION_PANEL, FOLDERS_PANEL, RESOURCES_PANEL, check_positive, one_of
from study.storage.files import parse_location


@dataclass(frozen=True, kw_only=True)
class ResultsFolder:
    """The results folder."""

    panel: ClassVar = FOLDERS_PANEL

    results: Annotated[
        Path,
        typer.Option(
            parser=parse_location,
            metavar="PATH",
            help="Results folder, with the rows, figures and saved generators; or an s3:// or gs:// address.",
        ),
    ] = Path("results")


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    """The data folder."""

    panel: ClassVar = FOLDERS_PANEL

    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the prepared datasets.  [default: $STUDY_DATA, or the user's cache folder]", metavar="DIR"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Folders(DataFolder, ResultsFolder):
    """The results folder and the data folder."""


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    """The machines, devices and concurrency of a study."""

    panel: ClassVar = RESOURCES_PANEL

    max_concurrent: Annotated[
        int | None,
        typer.Option(help="Maximum number of concurrent trials.  [default: as many as the devices allow]", metavar="N"),
    ] = None
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs per trial; may be a fraction.  [default: 1 if there is a GPU, else 0]")
    ] = None
    trials_per_gpu: Annotated[
        int | None, typer.Option(help="Number of concurrent trials per GPU.  [default: 1]", metavar="N")
    ] = None
    pack: Annotated[
        str,
        typer.Option(
            help="Maximum number of trials per pack. A pack is a group of trials with the same method, n_dis and seed "
            "that one program trains together. `auto` uses the number that `study bench --pack auto` measured to be "
            "fastest on this device; 1 trains each trial alone.",
            metavar="auto|N",
        ),
    ] = "auto"
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster to use; `auto` finds a running one.  [default: start Ray on this machine]"
        ),
    ] = None
    prepare_nodes: Annotated[
        bool, typer.Option("--prepare-nodes", help="Prepare missing datasets on the nodes of the cluster.")
    ] = False

    def __post_init__(self) -> None:
        check_positive(max_concurrent=self.max_concurrent)
        if self.prepare_nodes and self.address is None:
            raise InputError("--prepare-nodes: needs a cluster; give its --address, or omit --prepare-nodes.")


DETERMINISTIC: Any = typer.Option(
    "--deterministic",
    help="Make training bit-reproducible on one GPU model; slower. On a CPU it always is.",
    rich_help_panel=EXECUTION_PANEL,
)


@dataclass(frozen=True, kw_only=True)
class RunningOptions:
    """How a study is executed."""

    panel: ClassVar = EXECUTION_PANEL

    deterministic: Annotated[bool, DETERMINISTIC] = False
    logger: Annotated[
        str | None,
        one_of(
            LOGGERS,
            help="Log checkpoints while trials run; show them with `tensorboard --logdir RESULTS/tensorboard`.",
        ),
    ] = None
    max_failures: Annotated[
        int,
        typer.Option(help="Maximum number of retries per failed trial, each from its latest saved state.", metavar="N"),
    ] = 2
    shard: Annotated[
        str | None,
        typer.Option(
            help="Run only part I of N; other drivers may run the other parts in the same results folder.",
            metavar="I/N",
        ),
    ] = None
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry the trials that failed in earlier runs.")
    ] = False
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Confirm in advance a plan of more than three days, or a space of 100,000 to 1,000,000 trials.",
        ),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and run nothing.")] = False

    def __post_init__(self) -> None:
        check_logger(self.logger)
        if self.max_failures < 0:
            raise InputError(f"--max-failures {self.max_failures}: must be 0 or more.")
