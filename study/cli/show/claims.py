"""The command that says which of the paper's claims hold on a study."""

import json
import math
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options
from study.cli.show.view import View

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {"holds": "green", "does not hold": "red", "not resolved": "yellow", "not enough data": "dim"}
Cells = Annotated[bool, typer.Option("--all", help="Show every comparison that a claim consists of.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with the tests and the paper's own figures.")]


@dataclass(frozen=True, kw_only=True)
class Judged(View):
    """Rows that claims are judged on."""

    level: Annotated[float, typer.Option(help="Of a verdict: the chance that it is not wrong.")] = 0.95


app = typer.Typer()


@app.command(epilog="Example: `study claims --results results --dataset digits`")
@options.spread
def claims(
    view: Judged,
    every: Cells = False,
    as_json: AsJson = False,
) -> None:
    """Say which of the paper's claims hold on these rows, one a line: holds, does not hold, not resolved, or no data.

    A claim holds where each of its comparisons does, and does not where one is resolved against it, all corrected
    together. Trials that only `study bo` proposed are left out.
    """
    from analysis.claims import evidence, judge

    rows = view.open()
    judged = judge(rows)
    found = evidence(rows) if every or as_json else None
    if as_json:
        tables = {"claims": judged}
        if every and found is not None:
            tables["evidence"] = found
        print(json.dumps({name: _plain(table) for name, table in tables.items()}, indent=1, allow_nan=False))
        return
    if sys.stdout.isatty():
        _draw(judged, found)
    else:
        print("\n".join(_lines(judged, found)))
    if left_out := int(judged["left_out"].iloc[0]):
        trials, are = ("trial", "is") if left_out == 1 else ("trials", "are")
        print(f"{left_out} {trials} that only `study bo` proposed {are} left out", file=sys.stderr)


def _plain(table: "pd.DataFrame") -> list[dict[Hashable, Any]]:
    """Records of JSON's own types: null for what is not finite."""
    records = table.astype(object).to_dict("records")
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in records
    ]


def _lines(judged: "pd.DataFrame", found: "pd.DataFrame | None") -> list[str]:
    """A line for each claim, and one for each of its comparisons, indented."""
    lines = []
    for row in judged.to_dict("records"):
        lines.append(f"{row['id']:3}  {row['verdict']:15}  {row['claim']} {row['numbers']}")
        if found is not None:
            lines += [f"     {each['outcome']:15}  {each['words']}" for each in _of(found, row["id"])]
    return lines


def _of(found: "pd.DataFrame", claim: str) -> list[dict[Any, Any]]:
    return found[found["claim"] == claim].to_dict("records")


def _draw(judged: "pd.DataFrame", found: "pd.DataFrame | None") -> None:
    """The same as a table for a terminal."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("claim", "verdict", "what the rows say"):
        table.add_column(column, no_wrap=column == "verdict")
    for row in judged.to_dict("records"):
        verdict = f"[{COLOURS[row['verdict']]}]{row['verdict']}[/]"
        table.add_row(f"{row['id']} {escape(row['claim'])}", verdict, escape(row["numbers"]))
        for each in _of(found, row["id"]) if found is not None else []:
            table.add_row("", f"[dim]{each['outcome']}[/]", f"[dim]{escape(each['words'])}[/]")
    Console().print(table)
