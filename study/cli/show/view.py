"""What the commands that show a study have in common: which rows, and how they are looked at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from study.cli import options
from study.core.errors import look_up
from study.driver.request import ResultsFolder

if TYPE_CHECKING:
    from analysis.rows.view import Rows

Spaces = Annotated[
    str | None, typer.Option("--space", help="Only trials of these search spaces, separated by commas; `bo` is one.")
]
Datasets = Annotated[str | None, typer.Option("--dataset", help="Only these datasets, separated by commas.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="Only rows of this metric protocol id.")]
Semantics = Annotated[int | None, typer.Option(help="Only rows of this version of training, where there are several.")]
Images = Annotated[
    str | None,
    typer.Option(help="Only rows of the images whose hash begins so, where there are several.", metavar="HASH"),
]
Precision = Annotated[
    str | None, typer.Option(help="Only trials that were trained in this precision, where there are several.")
]
Fraction = Annotated[float, typer.Option(help="The share of each method's trials that counts as its best.")]
Rule = Annotated[str, typer.Option(help="Which score stands for a trial: its best checkpoint's, or the final one.")]
PoolName = Annotated[str, typer.Option(help="What counts as one: trainings, or settings by their median over seeds.")]
Level = Annotated[float, typer.Option(help="Of intervals, between 0 and 1.")]


def names(text: str | None) -> list[str] | None:
    """The names of a list separated by commas, each once; None for all."""
    return options.split(text) if text else None


@dataclass(frozen=True, kw_only=True)
class View(ResultsFolder):
    """Which rows of which folder, and how they are looked at."""

    panel: ClassVar = "Which rows"

    space: Spaces = None
    dataset: Datasets = None
    protocol: Protocol = None
    semantics: Semantics = None
    images: Images = None
    precision: Precision = None
    fraction: Fraction = 0.05
    rule: Rule = "best"
    pool: PoolName = "trainings"
    level: Level = 0.95

    def open(self) -> "Rows":
        """The rows, looked at as the options say; nothing is read before all of them are checked."""
        from analysis.rows.scores import POOLS, RULES, check_fraction
        from analysis.rows.view import open_rows
        from analysis.statistics.intervals import check_level

        check_fraction(self.fraction)
        check_level(self.level)
        return open_rows(
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
