"""The command that measures the speed of training, and of scoring, on this machine."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options, terminal
from study.cli.run.bench_tables import CAPTION, PACKS_CAPTION, SCORING_CAPTION, block, packs_block, scoring_block
from study.core.errors import InputError, look_up
from study.core.trial import FLOAT32
from study.driver.request import (
    RESOURCES_PANEL,
    SCORING_PANEL,
    TRAINING_PANEL,
    CheckpointOptions,
    DataFolder,
    Folders,
    NetworkOptions,
    Request,
    ScoringOptions,
    check_positive,
)

if TYPE_CHECKING:
    from study.training.bench.cases import Case

SCORED_IMAGES = 10_000
AUTO = "auto"

app = typer.Typer()


@app.command(
    epilog="Examples: `study bench`, `study bench --all --json`, "
    "`study bench --architecture sndcgan --method spectral_norm+gradient_penalty --batch-size 16`"
)
@options.spread
def bench(
    *,
    all_rows: Annotated[bool, typer.Option("--all", help="Measure every row that this machine can run.")] = False,
    scoring: Annotated[
        bool,
        typer.Option(
            "--scoring", help="Measure scoring 10,000 images instead, beside training from checkpoint to checkpoint."
        ),
    ] = False,
    architecture: Annotated[
        str | None,
        typer.Option(help="Architecture of both networks.  [default: resnet_cifar]", rich_help_panel=TRAINING_PANEL),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Method, as in --methods of other commands.  [default: spectral_norm]", rich_help_panel=TRAINING_PANEL
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Height and width of images in pixels.  [default: the architecture's in the study]",
            rich_help_panel=TRAINING_PANEL,
        ),
    ] = None,
    network: NetworkOptions,
    n_dis: Annotated[
        int | None,
        typer.Option(help="Discriminator updates per generator update.  [default: 5]", rich_help_panel=TRAINING_PANEL),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Trials in one program; `auto` measures which number is fastest, for `study run --pack auto`.  "
            "[default: 1]",
            metavar="auto|N",
            rich_help_panel=RESOURCES_PANEL,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device: cpu, cuda or cuda:N.  [default: cpu]", rich_help_panel=RESOURCES_PANEL)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads; with more than one, wall time is measured.", rich_help_panel=RESOURCES_PANEL),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Measured turns of each loop.", metavar="N")] = 3,
    dataset: Annotated[
        str | None,
        typer.Option(help="For --scoring: dataset of the scored images.  [default: digits]", rich_help_panel=SCORING_PANEL),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(help="For --scoring: feature network.  [default: the dataset's]", rich_help_panel=SCORING_PANEL),
    ] = None,
    extractor_weights: Annotated[
        Path | None,
        typer.Option(help="For --scoring: weights file for the extractor.", metavar="FILE", rich_help_panel=SCORING_PANEL),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            help="For --scoring: discriminator updates between checkpoints.  [default: the dataset's]",
            metavar="N",
            rich_help_panel=SCORING_PANEL,
        ),
    ] = None,
    folder: DataFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Measure training against a plain PyTorch loop of the same networks, on one core; one row takes minutes.

    Speeds are medians over turns of both loops.
    """
    own = {
        "architecture": architecture,
        "method": method,
        "resolution": resolution,
        "width": network.width,
        "batch_size": network.batch_size,
        "latent_dim": network.latent_dim,
        "n_dis": n_dis,
        "precision": None if network.precision == FLOAT32 else network.precision,
        "pack": _number_of_trials(pack),
        "device": device,
        "threads": threads,
    }
    asked = {field: value for field, value in own.items() if value is not None}
    check_positive(repeats=repeats, n_dis=n_dis, checkpoint_every=checkpoint_every)
    if all_rows and (scoring or asked.keys() - {"device"}):
        raise InputError("--all: measures the rows of the table as they are; leave all other choices but --device out.")
    scored: dict[str, Any] = {
        "dataset": dataset,
        "extractor": extractor,
        "extractor_weights": extractor_weights,
        "checkpoint_every": checkpoint_every,
    }
    if scoring:
        rows = [_scoring_row(asked, repeats, folder, **scored)]
        _show(rows, scoring_block(rows), SCORING_CAPTION, as_json=as_json)
        return
    if given := [name for name, value in scored.items() if value is not None]:
        raise InputError(f"--{given[0].replace('_', '-')}: is for --scoring; add that, or leave it out.")
    from study.training.bench.measure import measure
    from study.worker.record import now

    if pack == AUTO:
        _measure_packs(asked, repeats, folder, as_json=as_json)
        return
    rows = []
    for case in _cases(asked, all_rows=all_rows):
        print(f"measuring {case.name}", file=sys.stderr)
        rows.append({**measure(case, repeats).to_dict(), "measured_at": now()})
    _show(rows, block(rows), CAPTION, as_json=as_json)


def _number_of_trials(pack: str | None) -> int | None:
    """The number that was given; None where none was, or AUTO."""
    if pack is None or pack == AUTO:
        return None
    if not pack.isdecimal() or int(pack) < 1:
        raise InputError(f"--pack {pack}: must be {AUTO}, or a whole number from 1.")
    return int(pack)


def _measure_packs(asked: dict[str, Any], repeats: int, folder: DataFolder, *, as_json: bool) -> None:
    """Measure the sizes of networks that are declared, or the one that was asked for, and put them on record."""
    import torch

    from study import data
    from study.driver.planning import packs
    from study.training.bench.cases import PACKS, check_device, device_name, possible
    from study.training.bench.packing import measure_packs
    from study.worker.record import now

    if asked.keys() - {"device"}:
        cases = _cases(asked, all_rows=False)
    else:
        check_device(where := asked.get("device", "cpu"))
        cases = possible([replace(case, device=where) for case in PACKS if where.startswith(case.device)])
    rows, found = [], {}
    for case in cases:
        print(f"measuring packs of {case.name}", file=sys.stderr)
        measured = measure_packs(case, repeats)
        size = {name: getattr(case, name) for name in packs.DECIDES[:-1]}
        device = device_name(case.device) if case.on_gpu else "cpu"
        found[(*map(str, size.values()), device)] = measured.best
        about = {"device_name": device_name(case.device), "torch": torch.__version__, "measured_at": now()}
        rows.append({**size, "device": device, "pack": measured.best, "gains": measured.gains, **about})
    path = packs.add_measured(data.data_dir(folder.data_dir), found)
    _show(rows, packs_block(rows), PACKS_CAPTION, as_json=as_json)
    print(f"on record for --pack auto: {path}", file=sys.stderr)


def _cases(asked: dict[str, Any], *, all_rows: bool) -> "Sequence[Case]":
    """The rows of the table, of one device where it was asked for; or the first with what was asked for, checked."""
    from study.gan.architectures import ARCHITECTURES
    from study.training.bench.cases import CASES, check_device, possible

    if all_rows and "device" in asked:
        check_device(asked["device"])
        return possible([replace(case, **asked) for case in CASES if asked["device"].startswith(case.device)])
    if all_rows:
        return possible(CASES)
    if "architecture" in asked:
        (size, *_) = look_up("--architecture", asked["architecture"], ARCHITECTURES).study_sizes
        asked = {"resolution": size, **asked}
    case = replace(CASES[0], **asked)
    case.check()
    return [case]


def _scoring_row(
    asked: dict[str, Any],
    repeats: int,
    folder: DataFolder,
    *,
    dataset: str | None,
    extractor: str | None,
    extractor_weights: Path | None,
    checkpoint_every: int | None,
) -> dict[str, Any]:
    """The row of the dataset's own networks and images, with what was asked for."""
    from study import data
    from study.driver.planning import plan
    from study.training.bench.cases import CASES
    from study.training.bench.scoring import measure_scoring
    from study.worker.execute import load
    from study.worker.record import now

    if wrong := asked.keys() & {"resolution", "pack", "threads"}:
        raise InputError(
            f"--{min(wrong)}: has no meaning with --scoring, which trains one trial of a dataset on a core."
        )
    dataset = dataset or "digits"
    request = Request(
        datasets=[dataset],
        folders=Folders(data_dir=folder.data_dir),
        scoring=ScoringOptions(n_fake=SCORED_IMAGES, extractor=extractor, extractor_weights=extractor_weights),
        checkpoints=CheckpointOptions(checkpoint_every=checkpoint_every),
    )
    declared = data.get(dataset, request.data_dir)
    sizes = ("architecture", "width", "resolution", "channels", "batch_size", "latent_dim")
    own = {name: getattr(declared, name) for name in sizes}
    case = replace(CASES[0], **{**own, **asked})
    case.check()
    context, _ = plan.make_context(request, declared)
    print(f"measuring {case.name}; scoring by {context.protocol.extractor}", file=sys.stderr)
    _, scorer = load(context, case.device)
    row = measure_scoring(case, dataset, scorer, context.checkpoint_every, repeats)
    return {**row.to_dict(), "measured_at": now()}


def _show(rows: list[dict[str, Any]], block: Any, caption: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    terminal.print_tables([block])
    print(f"\n{caption}")
