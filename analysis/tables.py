"""Tables for people: one function decides every word, the others only lay them out."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

WORDS = ("method", "best setting", "search", "chosen setting", "trial")
"""Columns that start at the left; all others hold numbers, which end at the right."""
LONG = ("best setting", "chosen setting")
"""Columns that wrap in a terminal."""

Block = tuple[str, dict[str, list[str]]]
"""A title, and cells by column."""


def words(table: pd.DataFrame) -> Iterator[Block]:
    """(title, column -> cells) per dataset of a table of `analysis.top.top_table`: all that is printed, as text.

    A median of one trial has no quartiles, so none are shown.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        cells = {
            "method": list(rows["method"]),
            "trials": [f"{n}" for n in rows["trials"]],
            "diverged": [f"{n}" for n in rows["diverged"]],
            "failed": [f"{n}" for n in rows["failed"]],
            **({"stopped": [f"{n}" for n in rows["stopped"]]} if rows["stopped"].any() else {}),
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
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _median(row: "pd.Series[Any]") -> str:
    quartiles = f" [{number(row['q1'])}, {number(row['q3'])}]" if row["scored"] > 1 else ""
    return f"{number(row['median'])}{quartiles}"


def search_words(rounds: pd.DataFrame, chosen: pd.DataFrame) -> Iterator[Block]:
    """What is printed of `analysis.rounds.round_table` and `chosen_settings`: two blocks per dataset.

    Of many rounds those at powers of two are shown, and the last.
    """
    for dataset, rows in chosen.groupby("dataset", sort=False):
        names = [f"{row['label']}, {row['line']}" for _, row in rows.iterrows()]
        best = rounds[rounds["dataset"] == dataset].pivot(index="search", columns="round", values="best_so_far")
        best = best.ffill(axis=1).loc[rows["search"]]
        last = rounds["round"].max()
        shown = [after for after in best.columns.astype(int) if after == last or after.bit_count() == 1]
        cells = {"search": names, **{f"{after}": [number(score) for score in best[after]] for after in shown}}
        if rows["pool"].any():
            cells["as many at random [5, 95 %]"] = [_random(row) for _, row in rows.iterrows()]
        yield f"{dataset}: best {rows['score_label'].iloc[0]} so far, by round", cells
        counts = ("trials", "diverged", "failed", *(["stopped"] if rows["stopped"].any() else []))
        cells = {"search": names, **{name: [f"{n}" for n in rows[name]] for name in counts}}
        cells["chosen setting"] = list(rows["setting"].fillna("no trial has a score"))
        cells["trial"] = list(rows["trial_id"].fillna("-"))
        yield f"{dataset}: the chosen settings", cells


def _random(row: "pd.Series[Any]") -> str:
    if row["pool"] < row["trials"]:
        return f"only {row['pool']} there" if row["pool"] else "-"
    low, median, high = (number(row[f"random_{name}"]) for name in ("low", "median", "high"))
    return f"{median} [{low}, {high}]"


def terminal_table(blocks: Iterable[Block]) -> Group:
    """The blocks of `words` or `search_words` for a terminal; long settings wrap."""
    tables = []
    for title, cells in blocks:
        table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
        for column in cells:
            table.add_column(escape(column), justify="left" if column in WORDS else "right", no_wrap=column not in LONG)
        for row in zip(*cells.values(), strict=True):
            table.add_row(*map(escape, row))
        tables.append(table)
    return Group(*tables)


def plain_table(blocks: Iterable[Block]) -> str:
    """The same for a file or a pipe: plain text, never wrapped or cut to a width."""
    texts = []
    for title, cells in blocks:
        columns = []
        for column, below in cells.items():
            column_texts = [column, *below]
            width = max(map(len, column_texts))
            columns.append([text.ljust(width) if column in WORDS else text.rjust(width) for text in column_texts])
        texts.append("\n".join([title, *("  ".join(line).rstrip() for line in zip(*columns, strict=True))]))
    return "\n\n".join(texts)
