"""Tables for people: one function decides every word, the others only lay them out."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

WORDS = ("method", "best setting")
"""Columns that start at the left; all others hold numbers, which end at the right."""


def words(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """(title, column -> cells) per dataset of a table of `analysis.top.top_table`: all that is printed, as text.

    A median of one trial has no quartiles, so none are shown.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        cells = {
            "method": list(rows["method"]),
            "trials": [f"{n}" for n in rows["trials"]],
            "diverged": [f"{n}" for n in rows["diverged"]],
            "failed": [f"{n}" for n in rows["failed"]],
            "k": [f"{k}" if k == n else f"{k} ({n} scored)" for k, n in zip(rows["k"], rows["scored"], strict=True)],
            "top-k median [q1, q3]": [_median(row) for _, row in rows.iterrows()],
            "best": [number(score) for score in rows["best"]],
            "best setting": list(rows["best_setting"].fillna("no trial has a score")),
        }
        first = rows.iloc[0]
        title = f"{dataset}: {first['score_label']}, top {100 * first['fraction']:g} % of each method"
        yield title, cells


def number(value: float) -> str:
    """A score with two decimals, or three digits below 1; a dash where there is none."""
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _median(row: "pd.Series[Any]") -> str:
    quartiles = f" [{number(row['q1'])}, {number(row['q3'])}]" if row["scored"] > 1 else ""
    return f"{number(row['median'])}{quartiles}"


def terminal_table(table: pd.DataFrame) -> Group:
    """The table of `analysis.top.top_table` for a terminal, a block per dataset; long settings wrap."""
    blocks = []
    for title, cells in words(table):
        block = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
        for column in cells:
            block.add_column(
                escape(column), justify="left" if column in WORDS else "right", no_wrap=column != "best setting"
            )
        for row in zip(*cells.values(), strict=True):
            block.add_row(*map(escape, row))
        blocks.append(block)
    return Group(*blocks)


def plain_table(table: pd.DataFrame) -> str:
    """The same for a file or a pipe: plain text, never wrapped or cut to a width."""
    blocks = []
    for title, cells in words(table):
        columns = []
        for column, below in cells.items():
            texts = [column, *below]
            width = max(map(len, texts))
            columns.append([text.ljust(width) if column in WORDS else text.rjust(width) for text in texts])
        blocks.append("\n".join([title, *("  ".join(line).rstrip() for line in zip(*columns, strict=True))]))
    return "\n\n".join(blocks)
