"""`study claims`: test which claims of the paper hold on the results of a study."""

import json
import math
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli import options
from study.cli.show.view import STATISTICS_PANEL, View
from study.core.output import show, show_error
from study.driver.request import OUTPUT_PANEL

if TYPE_CHECKING:
    import pandas as pd

VERDICT_COLOURS = {"holds": "green", "does not hold": "red", "not resolved": "yellow", "not enough data": "dim"}


@dataclass(frozen=True, kw_only=True)
class ClaimsView(View):
    """The rows that the claims are tested on."""

    level: Annotated[
        float,
        typer.Option(help="Confidence level of the verdicts, between 0 and 1.", rich_help_panel=STATISTICS_PANEL),
    ] = 0.95


app = typer.Typer()


@app.command(epilog="Example: `study claims --results results --dataset digits`")
@options.keeps("Nothing is written by this command")
@options.spread
def claims(
    view: ClaimsView,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show all comparisons of each claim.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON, with the tests and the numbers of the paper.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
) -> None:
    """Test which claims of the paper hold on these rows: each holds, does not hold, is not resolved, or lacks data.

    A claim holds if all its comparisons support it, and does not hold if one of them contradicts it. All comparisons
    are corrected together for multiple testing. Trials that only `study bo` proposed are left out.
    """
    from analysis.claims import evidence, judge

    rows = view.open()
    verdicts = judge(rows)
    comparisons = evidence(rows) if show_all else None
    if as_json:
        tables = {"claims": verdicts}
        if comparisons is not None:
            tables["evidence"] = comparisons
        text = json.dumps({name: _plain(table) for name, table in tables.items()}, indent=1, allow_nan=False)
        show(*text.splitlines())
        return
    if sys.stdout.isatty():
        _print_table(verdicts, comparisons)
    else:
        show(*_lines(verdicts, comparisons))
    if left_out := int(verdicts["left_out"].iloc[0]):
        trials, are = ("trial", "is") if left_out == 1 else ("trials", "are")
        show_error(f"{left_out} {trials} that only `study bo` proposed {are} left out")


def _plain(table: "pd.DataFrame") -> list[dict[Hashable, Any]]:
    """The rows as values of JSON; a number that is not finite becomes null."""
    records = table.astype(object).to_dict("records")
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in records
    ]


def _lines(verdicts: "pd.DataFrame", comparisons: "pd.DataFrame | None") -> list[str]:
    """One line per claim, and below it one indented line per comparison."""
    lines = []
    for row in verdicts.to_dict("records"):
        lines.append(f"{row['id']:3}  {row['verdict']:15}  {row['claim']} {row['numbers']}")
        lines += [f"     {one['outcome']:15}  {one['words']}" for one in _comparisons_of(row["id"], comparisons)]
    return lines


def _comparisons_of(claim: str, comparisons: "pd.DataFrame | None") -> list[dict[Hashable, Any]]:
    if comparisons is None:
        return []
    return comparisons[comparisons["claim"] == claim].to_dict("records")


def _print_table(verdicts: "pd.DataFrame", comparisons: "pd.DataFrame | None") -> None:
    """Print the claims and their comparisons as a table for a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("claim", "verdict", "what the rows say"):
        table.add_column(column, no_wrap=column == "verdict")
    for row in verdicts.to_dict("records"):
        verdict = Text(row["verdict"], VERDICT_COLOURS[row["verdict"]])
        table.add_row(Text(f"{row['id']} {row['claim']}"), verdict, Text(row["numbers"]))
        for one in _comparisons_of(row["id"], comparisons):
            table.add_row("", Text(one["outcome"], "dim"), Text(one["words"], "dim"))
    Console().print(table)
