"""The command that measures the speed of training, and of scoring, on this machine."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study import cli, options
from study.names import InputError, look_up

if TYPE_CHECKING:
    from study.bench.cases import Case

SCORED_IMAGES = 10_000
AUTO = "auto"

CAPTION = """\
images/s: real images, of all trials of a pack; median of the turns. ratio: to the plain loop, by pairs, with its range.
plain: eager PyTorch in float32 without TF32, or beside a tf32 row with it; one trial at a time.
ms/D update: with its share of G's updates. memory: what training adds, on a CPU to the process, on a GPU as allocated.
GFLOP/image: of convolutions and matrix products, after exact rewrites. of peak: of a large matrix product's rate."""
PACKS_CAPTION = """\
K: images per second of K trials in one program over those of one alone; medians over methods and turns.
pack: the fewest trials that gain nearly as much as any number does; 1 where no number gains a tenth."""
SCORING_CAPTION = """\
training: the D updates between two checkpoints, with G's. scoring: generating and scoring the images once."""


@cli.app.command(
    epilog="Examples: `study bench`, `study bench --all --json`, "
    "`study bench --architecture sndcgan --method spectral_norm+gradient_penalty --batch 16`"
)
def bench(
    all_rows: Annotated[bool, typer.Option("--all", help="Every row of the table that this machine can run.")] = False,
    scoring: Annotated[
        bool, typer.Option("--scoring", help="Scoring 10,000 images beside training up to a checkpoint, instead.")
    ] = False,
    architecture: Annotated[str | None, typer.Option(help="Networks.  [default: resnet_cifar]")] = None,
    method: Annotated[str | None, typer.Option(help="As one of --methods elsewhere.  [default: spectral_norm]")] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels.  [default: the architecture's in the study]")] = None,
    width: Annotated[int | None, typer.Option(help="Unit of the networks' channels.  [default: 64]")] = None,
    batch: Annotated[int | None, typer.Option(help="Real images per D update.  [default: 64]")] = None,
    n_dis: Annotated[int | None, typer.Option(help="D updates per G update.  [default: 5]")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, tf32 or bfloat16.  [default: float32]")] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Trials in one program; auto measures how many are best, for `study run --pack auto`.  [default: 1]",
            metavar="auto|K",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.  [default: cpu]")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the CPU; more than one are timed by the wall.")] = None,
    repeats: Annotated[int, typer.Option(help="Measured turns of each loop.", metavar="N")] = 3,
    dataset: Annotated[str | None, typer.Option(help="Whose images are scored.  [default: digits]")] = None,
    extractor: options.ExtractorName = None,
    extractor_weights: options.Weights = None,
    data_dir: options.DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Measure training against a plain PyTorch loop of the same networks; one row on one core, minutes long.

    Speeds are medians over turns of both loops. The dataset and the extractor are for --scoring.
    """
    own = {
        "architecture": architecture,
        "method": method,
        "resolution": resolution,
        "width": width,
        "batch_size": batch,
        "n_dis": n_dis,
        "precision": precision,
        "pack": _number_of_trials(pack),
        "device": device,
        "threads": threads,
    }
    asked = {field: value for field, value in own.items() if value is not None}
    if repeats < 1:
        raise InputError(f"--repeats {repeats}: must be 1 or more.")
    if all_rows and (scoring or asked.keys() - {"device"}):
        raise InputError("--all: measures the rows of the table as they are; leave all other choices but --device out.")
    scored: dict[str, Any] = {"dataset": dataset, "extractor": extractor, "extractor_weights": extractor_weights}
    if scoring:
        rows = [_scoring_row(asked, repeats, data_dir, **scored)]
        _show(rows, _scoring_block(rows), SCORING_CAPTION, as_json=as_json)
        return
    if given := [name for name, value in scored.items() if value is not None]:
        raise InputError(f"--{given[0].replace('_', '-')}: is for --scoring; add that, or leave it out.")
    from study.bench.measure import measure
    from study.record import now

    if pack == AUTO:
        _measure_packs(asked, repeats, data_dir, as_json=as_json)
        return
    rows = []
    for case in _cases(asked, all_rows=all_rows):
        print(f"measuring {case.name}", file=sys.stderr)
        rows.append({**measure(case, repeats).to_dict(), "measured_at": now()})
    _show(rows, _block(rows), CAPTION, as_json=as_json)


def _number_of_trials(pack: str | None) -> int | None:
    """The number that was given; None where none was, or AUTO."""
    if pack is None or pack == AUTO:
        return None
    if not pack.isdecimal() or int(pack) < 1:
        raise InputError(f"--pack {pack}: must be {AUTO}, or a whole number from 1.")
    return int(pack)


def _measure_packs(asked: dict[str, Any], repeats: int, data_dir: Path | None, *, as_json: bool) -> None:
    """Measure the sizes of networks that are declared, or the one that was asked for, and put them on record."""
    import torch

    from study import data, packs
    from study.bench.cases import PACKS, check_device, device_name, possible
    from study.bench.packing import measure_packs
    from study.record import now

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
    path = packs.add_measured(data.data_dir(data_dir), found)
    _show(rows, _packs_block(rows), PACKS_CAPTION, as_json=as_json)
    print(f"on record for --pack auto: {path}", file=sys.stderr)


def _cases(asked: dict[str, Any], *, all_rows: bool) -> "Sequence[Case]":
    """The rows of the table, of one device where it was asked for; or the first with what was asked for, checked."""
    from study.bench.cases import CASES, check_device, possible
    from study.gan.architectures import ARCHITECTURES

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
    asked: dict[str, Any], repeats: int, data_dir: Path | None, *, dataset: str | None, **extractor: Any
) -> dict[str, Any]:
    """The row of the dataset's own networks and images, with what was asked for."""
    from study import data, plan
    from study.bench.cases import CASES
    from study.bench.scoring import measure_scoring
    from study.execute import load
    from study.record import now

    if wrong := asked.keys() & {"resolution", "pack", "threads"}:
        raise InputError(
            f"--{min(wrong)}: has no meaning with --scoring, which trains one trial of a dataset on a core."
        )
    dataset = dataset or "digits"
    request = cli.make_request([dataset], Path("results"), data_dir, n_fake=SCORED_IMAGES, **extractor)
    declared = data.get(dataset, request.data_dir)
    own = {name: getattr(declared, name) for name in ("architecture", "width", "resolution", "channels")}
    case = replace(CASES[0], **{**own, **asked})
    case.check()
    context, _ = plan.make_context(request, dataset)
    print(f"measuring {case.name}; scoring by {context.protocol.extractor}", file=sys.stderr)
    _, scorer = load(context, case.device)
    row = measure_scoring(case, dataset, scorer, context.checkpoint_every, repeats)
    return {**row.to_dict(), "measured_at": now()}


def _show(rows: list[dict[str, Any]], block: Any, caption: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    cli.print_tables([block])
    print(f"\n{caption}")


def _title(rows: list[dict[str, Any]]) -> str:
    """Where, when and with what it was measured."""
    names = ", ".join(dict.fromkeys(row["device_name"] for row in rows))
    return f"{names}; torch {rows[0]['torch']}; {rows[0]['measured_at'][:10]}"


def _block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words, as `analysis.tables` prints them."""
    cells: dict[str, list[str]] = {name: [str(row[name]) for row in rows] for name in ("architecture", "method")}
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "px": lambda row: f"{row['resolution']}",
        "width": lambda row: f"{row['width']}",
        "batch": lambda row: f"{row['batch']}",
        "n_dis": lambda row: f"{row['n_dis']}",
        "precision": lambda row: row["precision"],
        "pack": lambda row: f"{row['pack']}",
        "device": lambda row: row["device"],
        "threads": lambda row: f"{row['threads']}" if row["device"] == "cpu" else "-",
        "images/s": lambda row: f"{row['images_per_second']:.4g}",
        "plain images/s": lambda row: f"{row['plain_images_per_second']:.4g}",
        "ratio": lambda row: f"{row['ratio']:.2f} [{row['ratio_lowest']:.2f}, {row['ratio_highest']:.2f}]",
        "ms/D update": lambda row: f"{row['milliseconds_per_discriminator_update']:.4g}",
        "memory, MB": lambda row: (
            "-" if row["memory_growth_bytes"] is None else f"{row['memory_growth_bytes'] / 1e6:.0f}"
        ),
        "GFLOP/image": lambda row: f"{row['flops_per_image'] / 1e9:.3g}",
        "of peak": lambda row: f"{100 * row['share_of_peak']:.0f} %",
    }
    cells |= {name: [word(row) for row in rows] for name, word in columns.items()}
    return _title(rows), cells


def _packs_block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words."""
    names = ("architecture", "width", "resolution", "batch_size", "device")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    for count in dict.fromkeys(count for row in rows for count in row["gains"]):
        cells[f"K {count}"] = [f"{row['gains'][count]:.2f}" if count in row["gains"] else "-" for row in rows]
    cells["pack"] = [str(row["pack"]) for row in rows]
    return _title(rows), cells


def _scoring_block(rows: list[dict[str, Any]]) -> Any:
    """The rows in words."""
    names = ("dataset", "architecture", "method", "extractor", "scored_images", "checkpoint_every")
    cells = {name.replace("_", " "): [str(row[name]) for row in rows] for name in names}
    cells["scoring, s"] = [f"{row['scoring_seconds']:.3g}" for row in rows]
    cells["training, s"] = [f"{row['training_seconds']:.3g}" for row in rows]
    cells["share"] = [f"{100 * row['share']:.3g} %" for row in rows]
    return _title(rows), cells
