"""`study selfcheck`: prove that training works on this machine."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options
from study.core.errors import InputError
from study.core.output import show
from study.core.text import duration

if TYPE_CHECKING:
    from study.training.selfcheck.check import Result

FAILED_EXIT = 1

app = typer.Typer()


@app.command(
    epilog="Examples: `study selfcheck`, `study selfcheck --device cpu --short`, `study selfcheck --json FILE`"
)
@options.keeps("No result is kept")
def selfcheck(
    *,
    device: Annotated[
        str | None,
        typer.Option(help="Device to check.  [default: cuda if there is a GPU, else cpu]", metavar="cpu|cuda|cuda:N"),
    ] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write the results and a description of the machine to this file.", metavar="FILE"),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Make only the quickest checks; about half a minute on a CPU.")
    ] = False,
) -> None:
    """Check that training works on this machine: right numbers, equal bits, lack of memory, Ray, and speed.

    Each check is one line: its result, name, figure and seconds. The last line is for an issue, if anything failed. It
    takes up to 5 minutes on a CPU, and 10 on a GPU. The exit code is 1 if a check failed.
    """
    if as_json is not None and not as_json.parent.is_dir():
        raise InputError(f"--json {as_json}: there is no folder {as_json.parent}; choose another file.")
    if as_json is not None and as_json.is_dir():
        raise InputError(f"--json {as_json}: is a folder; choose a file.")
    from study.driver.selfcheck.checks import checks, machine
    from study.storage.files import write_file
    from study.training.bench.cases import check_device
    from study.training.device import prepare_process
    from study.training.selfcheck.check import FAILED, results
    from study.worker.execute import best_device

    device = device or best_device()
    check_device(device)
    prepare_process(deterministic=False)
    here, start, found = machine(device), time.perf_counter(), []
    for result in results(checks(device, short=short)):
        show(result.line)
        found.append(result)
    summary = sentence(here, found, time.perf_counter() - start)
    show("", summary)
    if as_json is not None:
        rows = [vars(result) for result in found]
        content = {"machine": here, "short": short, "checks": rows, "summary": summary}
        write_file(as_json, json.dumps(content, indent=2).encode())
    if any(result.status == FAILED for result in found):
        raise typer.Exit(FAILED_EXIT)


def sentence(machine: dict[str, Any], found: "list[Result]", seconds: float) -> str:
    """All in one sentence, for an issue."""
    from study.training.selfcheck.check import FAILED, OK, SKIPPED

    counts = {status: sum(result.status == status for result in found) for status in (OK, FAILED, SKIPPED)}
    told = [f"{counts[OK] + counts[FAILED]} checks", f"{counts[OK]} passed"]
    told += [f"{counts[status]} {status}" for status in (FAILED, SKIPPED) if counts[status]]
    where = f"gan-study {machine['study_version']} on {machine['device_name']}, torch {machine['torch']}"
    return f"selfcheck of {where}: {', '.join(told)}, in {duration(seconds)}."
