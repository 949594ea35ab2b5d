"""`study plan`: estimate the cost of experiments before they run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli import options
from study.core.errors import InputError
from study.core.output import show
from study.core.text import aligned, duration, plural
from study.driver.request import (
    CHECKPOINT_EVERY,
    EXECUTION_PANEL,
    RESOURCES_PANEL,
    TRAINING_PANEL,
    CheckpointOptions,
    Folders,
    KeepOptions,
    Request,
    RunningOptions,
    SearchBudget,
    Selection,
    TrainingOptions,
    check_positive,
)

if TYPE_CHECKING:
    from study.driver.cost.overview import Overview, OverviewLine

app = typer.Typer()


@app.command(
    epilog="Examples: `study plan`, `study plan grid --seeds 5`, `study plan bo --dataset celeba-hq-128 --gpus 8`"
)
@options.spread
def plan(
    space: Annotated[
        str | None,
        typer.Argument(
            help="A search space, or `bo` for Bayesian optimisation.  [default: all experiments of the paper]"
        ),
    ] = None,
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated datasets; `all` selects those of the paper for this space.  [default: digits, or "
            "all without a space]",
            metavar="NAME,...",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    selection: Selection,
    training: TrainingOptions,
    checkpoint_every: Annotated[int | None, CHECKPOINT_EVERY] = None,
    budget: SearchBudget,
    keep: KeepOptions,
    gpus: Annotated[
        int | None,
        typer.Option(
            help="Number of GPUs to plan for.  [default: the GPUs of this machine]",
            metavar="N",
            rich_help_panel=RESOURCES_PANEL,
        ),
    ] = None,
    bench: Annotated[
        Path | None,
        typer.Option(
            help="Output of `study bench --json`; its measured speeds replace the assumed ones.",
            metavar="FILE",
            rich_help_panel=RESOURCES_PANEL,
        ),
    ] = None,
    folders: Folders,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Plan also a space of 100,000 to 1,000,000 trials.", rich_help_panel=EXECUTION_PANEL
        ),
    ] = False,
) -> None:
    """Estimate the cost of experiments: trials, finished trials, disk space, device hours and wall time.

    This needs no images and no weights. `study run SPACE --dry-run` also checks everything that a run needs.
    """
    from search_spaces.ranges import BO
    from study.driver.cost.overview import Overview
    from study.driver.resources import local_resources
    from study.driver.spaces import user_space

    check_positive(gpus=gpus)
    for name, number in (("settings", selection.settings), ("seeds", selection.seeds)):
        if space == BO and number is not None:
            raise InputError(
                f"--{name} {number}: has no effect on a search; use --rounds and --trials-per-round instead."
            )
    dataset = dataset or (options.ALL if space is None else "digits")
    request = Request(
        datasets=options.split(dataset),
        folders=folders,
        selection=selection,
        training=training,
        checkpoints=CheckpointOptions(checkpoint_every=checkpoint_every),
        keep=keep,
        running=RunningOptions(yes=yes),
    )
    datasets: Sequence[str] = [] if dataset == options.ALL else request.datasets
    cpus, present = local_resources()
    devices = gpus or present or cpus
    kind = "gpu" if gpus or present else "cpu"
    overview = Overview(request, kind, budget=budget, rates=_rates(bench, kind))
    sums = {}
    if space is None:
        overview.main_text(datasets)
        sums["main text"] = len(overview.lines)
        overview.appendices(datasets)
        if not overview.lines:
            raise next(iter(overview.left_out.values()))
    elif space == BO:
        overview.searches(user_space.find("ranges"), datasets, by=True)
    else:
        overview.space(user_space.find(space), datasets, by=True)
    if len(overview.lines) > 1:
        sums["all"] = len(overview.lines)
    show(*_table(overview, sums), "", *_notes(overview), *_wall(overview, devices))


def _rates(bench: Path | None, device: str) -> dict[str, float]:
    """Measured speeds of the architectures on a device, "cpu" or "gpu"; empty without a file.

    Raises:
        InputError: the file is not readable as `study bench --json`, or has no row of this device.
    """
    from study.driver.cost.flops import measured_rates

    if bench is None:
        return {}
    try:
        rates = measured_rates(json.loads(bench.read_bytes()), device)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--bench {bench}: is not the output of `study bench --json` ({reason}); run that command."
        ) from error
    if not rates:
        kind = "GPU" if device == "gpu" else "CPU"
        raise InputError(f"--bench {bench}: has no row measured on a {kind}; run `study bench --json` on a {kind}.")
    return rates


WORDS = ("experiment", "dataset", "method")
"""Columns of words; all others are numbers."""


def _table(overview: "Overview", sums: dict[str, int]) -> list[str]:
    """The cost table: one line per group of trials, and below the first N lines their sum, for each N of `sums`.

    A column without content is omitted.
    """
    hours = "GPU-hours" if overview.device == "gpu" else "core-hours"
    rows = [[line.space, line.dataset, line.group, *_numbers([line])] for line in overview.lines]
    for name, count in reversed(sums.items()):
        rows.insert(count, [name, "", "", *_numbers(overview.lines[:count])])
    rows.insert(0, [*WORDS, "trials", "shared", "present", "to run", hours, "disk"])
    columns = [column for column in zip(*rows, strict=True) if set(column[1:]) - {"", "0"} or column[0] == "trials"]
    return aligned(list(zip(*columns, strict=True)), left=sum(column[0] in WORDS for column in columns))


def _numbers(lines: "Sequence[OverviewLine]") -> list[str]:
    """The cells of the columns of numbers, summed over the lines."""
    trials, shared, present, left, seconds, size = (
        sum(getattr(line, name) for line in lines)
        for name in ("trials", "shared", "present", "left", "seconds", "bytes")
    )
    return [*(f"{count:,}" for count in (trials - shared, shared, present, left)), _hours(seconds / 3600), _bytes(size)]


def _hours(hours: float) -> str:
    """A number of hours with three significant digits, or as a whole number from 100."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _bytes(size: float) -> str:
    """A number of bytes in kB, MB, GB or TB, with three significant digits.

    >>> [_bytes(s) for s in (0, 170_000, 999_900, 1_500_000_000, 2_345_000_000_000)]
    ['0', '170 kB', '1 MB', '1.5 GB', '2.35 TB']
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:g}"


def _notes(overview: "Overview") -> list[str]:
    """Notes below the table: the meaning of "shared", and why experiments are left out."""
    shared = any(line.shared for line in overview.lines)
    explained = ["shared: trials that are already counted in a line above"] if shared else []
    return [*explained, *(f"{name} is left out: {why}" for name, why in overview.left_out.items())]


def _wall(overview: "Overview", devices: int) -> list[str]:
    """The wall time on a number of devices, what the estimate is based on, and the disk space of running trials."""
    from study.driver.cost.estimate import basis

    seconds, left, concurrent = (
        sum(getattr(line, name) for line in overview.lines) for name in ("seconds", "left", "concurrent")
    )
    if not left:
        return ["all trials are finished"]
    measured = sum(line.measured for line in overview.lines)
    kind = plural(devices, "GPU" if overview.device == "gpu" else "CPU core")
    wall = seconds / min(devices, concurrent)
    states = f"the states of running trials need up to {_bytes(overview.running_bytes(devices))} in addition"
    rests_on = basis(measured, left, overview.device, overview.rates)
    return [*_sharing(overview), f"about {duration(wall)} on {devices} {kind}, {rests_on}", states]


def _sharing(overview: "Overview") -> list[str]:
    """Whether trials should share a GPU, and why; nothing for CPU cores."""
    from study.driver.cost.flops import FILLS_A_GPU

    if overview.device != "gpu":
        return []
    updates = {update for line in overview.lines for update in line.updates}
    small = {update for update in updates if update < FILLS_A_GPU}
    lines = []
    if large := updates - small:
        lines.append(
            f"one trial fills a GPU (an update takes {min(large) / 1e9:,.0f} GFLOP or more): packs are not needed; "
            "--trials-per-gpu 2 trains one trial while another is scored"
        )
    if small:
        lines.append(
            f"one trial does not fill a GPU (an update takes only {min(small) / 1e9:.2g} GFLOP): packs should be "
            "faster; study bench --pack auto --device cuda measures their best size for study run"
        )
    return lines
