"""`study bench`: measure the speed of training and scoring on this machine."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options, session, terminal
from study.cli.run.bench_options import AUTO, CaseOptions, ScoringCaseOptions
from study.cli.run.bench_tables import CAPTION, PACKS_CAPTION, SCORING_CAPTION, block, packs_block, scoring_block
from study.core.errors import InputError, look_up
from study.core.output import show, show_error
from study.driver.request import CheckpointOptions, DataFolder, Folders, Request, ScoringOptions, check_positive

if TYPE_CHECKING:
    from analysis.tables import Block
    from study.training.bench.cases import Case

SCORED_IMAGES = 10_000
"""Number of generated images that --scoring scores."""

app = typer.Typer()


@app.command(
    epilog="Examples: `study bench`, `study bench --all --json`, "
    "`study bench --architecture sndcgan --method spectral_norm+gradient_penalty --batch-size 16`"
)
@options.keeps("No measurement is kept")
@options.spread
def bench(
    *,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Measure all rows of the standard table that this machine can run.")
    ] = False,
    scoring: Annotated[
        bool,
        typer.Option("--scoring", help="Compare the time to score 10,000 images with the time to train."),
    ] = False,
    repeats: Annotated[int, typer.Option(help="Number of measurements of each loop.", metavar="N")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    case: CaseOptions,
    scored: ScoringCaseOptions,
    folder: DataFolder,
) -> None:
    """Compare the speed of training with a plain PyTorch loop of the same networks. One row takes minutes.

    The two loops run in turn, on one CPU core unless --device or --threads is given. The speeds are medians over
    --repeats measurements.
    """
    changes = case.changes()
    check_positive(repeats=repeats)
    if all_rows and (scoring or changes.keys() - {"device"}):
        raise InputError(
            "--all: measures the rows of the standard table; omit all options except --device, --repeats and --json."
        )
    if scoring:
        rows = [_scoring_row(changes, repeats, folder, scored)]
        _show(rows, scoring_block(rows), SCORING_CAPTION, as_json=as_json)
        return
    if needless := [name for name, value in vars(scored).items() if value is not None]:
        option = f"--{needless[0].replace('_', '-')}"
        raise InputError(f"{option}: has an effect only with --scoring; add --scoring, or omit {option}.")
    from study.training.bench.measure import measure
    from study.worker.record import now

    if case.pack == AUTO:
        _measure_packs(changes, repeats, folder, as_json=as_json)
        return
    rows = []
    for measured in _cases(changes, all_rows=all_rows):
        show_error(f"measuring {measured.name}")
        rows.append({**measure(measured, repeats).to_dict(), "measured_at": now()})
    _show(rows, block(rows), CAPTION, as_json=as_json)


def _measure_packs(changes: dict[str, Any], repeats: int, folder: DataFolder, *, as_json: bool) -> None:
    """Measure the best pack size of the standard networks, or of the requested one, and save it in the data folder."""
    from study import data
    from study.driver.planning import packs
    from study.training.bench.cases import PACKS, check_device, device_name, environment, possible
    from study.training.bench.packing import measure_packs
    from study.worker.record import now

    if changes.keys() - {"device"}:
        cases = _cases(changes, all_rows=False)
    else:
        check_device(target := changes.get("device", "cpu"))
        cases = possible([replace(case, device=target) for case in PACKS if target.startswith(case.device)])
    rows, best = [], {}
    for case in cases:
        show_error(f"measuring packs of {case.name}")
        measured = measure_packs(case, repeats)
        size = {name: getattr(case, name) for name in packs.DECIDES[:-1]}
        device = device_name(case.device) if case.on_gpu else "cpu"
        best[(*map(str, size.values()), device)] = measured.best
        measurement = {"pack": measured.best, "gains": measured.gains, "measured_at": now()}
        rows.append({**size, "device": device, **measurement, **environment(case.device)})
    path = packs.add_measured(data.data_dir(folder.data_dir), best)
    _show(rows, packs_block(rows), PACKS_CAPTION, as_json=as_json)
    show_error(f"saved for --pack auto: {path}")


def _cases(changes: dict[str, Any], *, all_rows: bool) -> "Sequence[Case]":
    """The cases to measure: the standard table, on one device if --device is given; or one case with the given options.

    Raises:
        InputError: the device is not available, or the case is not valid.
    """
    from study.gan.architectures import ARCHITECTURES
    from study.training.bench.cases import CASES, check_device, possible

    if all_rows and "device" in changes:
        check_device(changes["device"])
        return possible([replace(case, **changes) for case in CASES if changes["device"].startswith(case.device)])
    if all_rows:
        return possible(CASES)
    if "architecture" in changes:
        (size, *_) = look_up("--architecture", changes["architecture"], ARCHITECTURES).study_sizes
        changes = {"resolution": size, **changes}
    case = replace(CASES[0], **changes)
    case.check()
    if not case.on_gpu:
        session.say_if_slower(case.precision)
    return [case]


def _scoring_row(
    changes: dict[str, Any], repeats: int, folder: DataFolder, scored: ScoringCaseOptions
) -> dict[str, Any]:
    """Measure scoring with the networks and images of a dataset, changed by the given options; returns the row.

    Raises:
        InputError: an option has no effect here, or the case is not valid.
    """
    from study import data
    from study.driver.planning import plan
    from study.training.bench.cases import CASES
    from study.training.bench.scoring import measure_scoring
    from study.worker.execute import load
    from study.worker.record import now

    if needless := changes.keys() & {"resolution", "pack", "threads"}:
        raise InputError(
            f"--{min(needless)}: has no effect with --scoring, which measures one trial on one core; omit it."
        )
    dataset = scored.dataset or "digits"
    request = Request(
        datasets=[dataset],
        folders=Folders(data_dir=folder.data_dir),
        scoring=ScoringOptions(
            n_fake=SCORED_IMAGES, extractor=scored.extractor, extractor_weights=scored.extractor_weights
        ),
        checkpoints=CheckpointOptions(checkpoint_every=scored.checkpoint_every),
    )
    declared = data.get(dataset, request.data_dir)
    sizes = ("architecture", "width", "resolution", "channels", "batch_size", "latent_dim")
    defaults = {name: getattr(declared, name) for name in sizes}
    case = replace(CASES[0], **{**defaults, **changes})
    case.check()
    context, _ = plan.make_context(request, declared)
    show_error(f"measuring {case.name}; scoring by {context.protocol.extractor}")
    _, scorer = load(context, case.device)
    row = measure_scoring(case, dataset, scorer, context.checkpoint_every, repeats)
    return {**row.to_dict(), "measured_at": now()}


def _show(rows: list[dict[str, Any]], block: "Block", caption: str, *, as_json: bool) -> None:
    """Print the rows as JSON, or as a table with its caption."""
    if as_json:
        show(*json.dumps(rows, indent=2).splitlines())
        return
    terminal.print_tables([block])
    show("", *caption.splitlines())
