"""The verdicts of the paper's claims on the rows."""

from collections.abc import Iterator

import pandas as pd

from analysis.claims import judge
from analysis.figures.drawing.captions import common
from analysis.rows.view import Rows
from analysis.tables.table import Block, TableKind


def words(table: pd.DataFrame) -> Iterator[Block]:
    """One block, a line per claim."""
    shown = ("id", "verdict", "claim", "numbers")
    yield "The paper's claims", {column: list(table[column]) for column in shown}


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: verdicts."""
    return common(
        rows,
        "Holds: every comparison of the claim is resolved in its favour; does not hold: one is against it, all "
        f"corrected together; the chance of a wrong verdict is at most {100 * (1 - rows.level):g} %.",
        "Left out are trials that were only chosen by the scores of others, in Bayesian searches or as the best.",
    )


TABLE = TableKind(name="claims", title="The paper's claims", compute=judge, words=words, caption=caption)
