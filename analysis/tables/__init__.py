"""The tables: every file in a subfolder that defines TABLE, in the order of `ORDER`; others follow.

Such a file is available in `study table` and in the report without further registration.
"""

import importlib
import pkgutil

from analysis.statistics.formatting import number
from analysis.tables.layouts import LAYOUTS, csv, latex, markdown, plain, plain_table, terminal_table
from analysis.tables.methods.best import words
from analysis.tables.table import Block, TableKind
from analysis.tables.trainings.searches import search_words

ORDER = (
    *("best", "settings", "comparisons", "distribution", "ablations", "seeds", "costs", "agreement"),
    *("published", "paper", "searches", "claims"),
)

__all__ = [
    "LAYOUTS",
    "Block",
    "TableKind",
    "csv",
    "latex",
    "markdown",
    "number",
    "plain",
    "plain_table",
    "search_words",
    "tables",
    "terminal_table",
    "words",
]


def tables() -> dict[str, TableKind]:
    """All tables by name."""
    names = [module.name for module in pkgutil.walk_packages(__path__, f"{__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    kinds = {module.TABLE.name: module.TABLE for module in modules if hasattr(module, "TABLE")}
    return {name: kinds[name] for name in sorted(kinds, key=lambda name: (_place(name), name))}


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
