"""Options that the commands which show results share: row filters and statistics."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from study.cli import options
from study.core.errors import look_up
from study.core.trial import PRECISIONS
from study.driver.request import ResultsFolder, one_of

if TYPE_CHECKING:
    from analysis.rows.view import Rows

ROWS_PANEL, STATISTICS_PANEL = "Rows", "Statistics"
RULE_NAMES, POOL_NAMES = ("best", "final"), ("trainings", "settings")
"""The keys of `analysis.rows.scores.RULES` and `POOLS`, which a help text must not import: pandas is slow to load."""

DatasetFilter = Annotated[
    str | None,
    typer.Option(
        "--dataset", help="Use only these datasets (comma-separated).", metavar="NAME,...", rich_help_panel=ROWS_PANEL
    ),
]
ProtocolFilter = Annotated[
    str | None,
    typer.Option(
        "--protocol", help="Use only rows of this metric protocol id.", metavar="ID", rich_help_panel=ROWS_PANEL
    ),
]


def names(text: str | None) -> list[str] | None:
    """The names of a comma-separated list, without duplicates; None (no filter) if it is missing or empty."""
    return options.split(text) if text else None


@dataclass(frozen=True, kw_only=True)
class View(ResultsFolder):
    """Which rows of a results folder to use, and how to summarise them."""

    panel: ClassVar = ROWS_PANEL

    space: Annotated[
        str | None,
        typer.Option(
            help="Use only trials of these search spaces (comma-separated). A space from a file is NAME@VERSION, or "
            "NAME for the one recorded last. `bo` selects all searches.",
            metavar="NAME,...",
        ),
    ] = None
    dataset: DatasetFilter = None
    protocol: ProtocolFilter = None
    semantics: Annotated[
        int | None,
        typer.Option(help="Use only rows of this version of the training code, if there are several.", metavar="N"),
    ] = None
    images: Annotated[
        str | None,
        typer.Option(
            help="Use only rows whose image data has a hash that starts with HASH, if there are several.",
            metavar="HASH",
        ),
    ] = None
    precision: Annotated[
        str | None, one_of(PRECISIONS, help="Use only trials trained in this precision, if there are several.")
    ] = None
    fraction: Annotated[
        float,
        typer.Option(
            help="Fraction of each method's trials that counts as its best trials, above 0 and at most 1.",
            rich_help_panel=STATISTICS_PANEL,
        ),
    ] = 0.05
    rule: Annotated[
        str,
        one_of(
            RULE_NAMES,
            help="Score of a trial: that of its best checkpoint, or of its final one.",
            panel=STATISTICS_PANEL,
        ),
    ] = "best"
    pool: Annotated[
        str,
        one_of(
            POOL_NAMES,
            help="Unit of the statistics: single training runs, or settings with the median over their seeds.",
            panel=STATISTICS_PANEL,
        ),
    ] = "trainings"
    level: Annotated[
        float,
        typer.Option(help="Confidence level of intervals, between 0 and 1.", rich_help_panel=STATISTICS_PANEL),
    ] = 0.95

    def open(self) -> "Rows":
        """Load the selected rows; all options are checked before any file is read.

        Raises:
            InputError: an option is not valid, or no rows are left.
        """
        from analysis.rows.scores import POOLS, RULES, check_fraction
        from analysis.rows.view import open_rows
        from analysis.statistics.intervals import check_level

        check_fraction(self.fraction)
        check_level(self.level)
        rows = open_rows(
            self.results,
            space=names(self.space),
            dataset=names(self.dataset),
            protocol=names(self.protocol),
            semantics=self.semantics,
            images=self.images,
            precision=self.precision,
            rule=look_up("--rule", self.rule, RULES),
            pool=look_up("--pool", self.pool, POOLS),
            fraction=self.fraction,
            level=self.level,
        )
        for older in rows.older_spaces:
            print(f"--space {self.space}: a space of this name was recorded later than {older}.", file=sys.stderr)
        return rows
