"""`Rows`: the trials of a study with the options of the analysis; the input of figures, tables and claims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis.rows.checks import is_folder, load_table
from analysis.rows.load import Names, load, load_checkpoints, positions, select
from analysis.rows.scores import BEST, TRAININGS, Pool, SelectionRule, scored
from search_spaces import spaces
from search_spaces.ranges import BO
from search_spaces.space import plain_name
from study.core.errors import unknown
from study.core.text import printable
from study.storage.files import exists, parse_location
from study.storage.schema import EVALUATIONS, MEMBERSHIPS, score_label

CURVES = (
    *("frechet_distance", "kernel_distance", "sigmas", "sigma_product"),
    *("gradient_norm_train", "gradient_norm_fake", "gradient_norm_between"),
)
"""Columns of checkpoints that figures and tables use."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a study, and how scores are selected, pooled and compared.

    Attributes:
        trials: rows of `select`, with one protocol per dataset.
        everything: rows of `load`, with all protocols.
        members: rows of memberships.parquet; empty if there is no such file.
        folder: the results folder, or the folder of a parquet file of trials if it has other tables of the study; else
            None.
        older_spaces: recorded search spaces that are left out because another one of their name was recorded later.
        rule, pool: as `scored`.
        fraction: the share of a method's trials that counts as its best, in (0, 1].
        level: confidence level of intervals, in (0, 1).
        seed: seed of resampling.
    """

    trials: pd.DataFrame
    everything: pd.DataFrame
    members: pd.DataFrame
    folder: Path | None = None
    older_spaces: tuple[str, ...] = ()
    rule: SelectionRule = BEST
    pool: Pool = TRAININGS
    fraction: float = 0.05
    level: float = 0.95
    seed: int = 0

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The trials that count, with label and score; see `analysis.rows.scores.scored`."""
        return scored(self.trials, self.rule, self.pool)

    @cached_property
    def checkpoints(self) -> pd.DataFrame:
        """The scored checkpoints of the trials, with the columns of CURVES; empty if there are none."""
        if self.folder is None:
            empty: pd.DataFrame = EVALUATIONS.empty_table().to_pandas()
            return empty
        every = load_checkpoints(self.folder, CURVES)
        wanted = positions(every, self.trials) >= 0
        return every if wanted.all() else every[wanted].reset_index(drop=True)

    @cached_property
    def adaptive(self) -> "pd.Series[bool]":
        """[trials]: whether a trial was selected by the scores of other trials, so that it is not exchangeable.

        Bayesian searches propose such trials, and so do spaces that repeat the best settings (`SearchSpace.choose`).
        """
        proposed = self.members["space"].isin([BO, *(space.name for space in spaces().values() if space.choose)])
        own, others = self.members["trial_id"][proposed].unique(), self.members["trial_id"][~proposed]
        # the argument of isin determines its cost, so it is kept small
        return self.trials["trial_id"].isin(own) & ~self.trials["trial_id"].isin(others[others.isin(own)])

    @cached_property
    def without_adaptive(self) -> "Rows":
        """The rows without the `adaptive` trials; a dataset that has only such trials keeps them."""
        alone = self.adaptive.groupby(self.trials["dataset"]).transform("all")
        kept = self.trials[~self.adaptive | alone]
        return self if len(kept) == len(self.trials) else replace(self, trials=kept.reset_index(drop=True))

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """Results of the functions decorated with `computed_once`, by function."""
        return {}

    @cached_property
    def score_names(self) -> dict[str, str]:
        """The name of the score by dataset, such as FID."""
        first = self.trials.drop_duplicates("dataset")
        return {str(row["dataset"]): score_label(row) for _, row in first.iterrows()}

    def with_score_label(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the column score_label: the name of the score of the row's dataset."""
        return table.assign(score_label=table["dataset"].map(self.score_names))

    def rng(self) -> np.random.Generator:
        """A new generator with the same seed each time, so that no result depends on earlier calls."""
        return np.random.default_rng(self.seed)


def computed_once(work: Callable[[Rows], Result]) -> Callable[[Rows], Result]:
    """Decorator: cache the result per `Rows`, since several figures and tables use it."""

    @wraps(work)
    def cached(rows: Rows) -> Result:
        if work not in rows.cache:
            rows.cache[work] = work(rows)
        result: Result = rows.cache[work]
        return result

    return cached


def open_rows(
    path: str | Path,
    *,
    space: Names = None,
    dataset: Names = None,
    protocol: Names = None,
    semantics: int | None = None,
    images: str | None = None,
    precision: str | None = None,
    **how: object,
) -> Rows:
    """The rows of a results folder or a parquet file of trials. Works on a study that is still running.

    Args:
        path: a results folder, or a parquet file of trials (evaluations.parquet and memberships.parquet in its folder
            are read as well); a path or a URL.
        space: only trials that belong to one of these search spaces, according to memberships.parquet: NAME@VERSION, or
            NAME for the one of this name that was recorded last.
        dataset, protocol, semantics, images, precision: as `select`.
        how: attributes of `Rows`: rule, pool, fraction, level, seed.

    Raises:
        InputError, DamagedFile: as `load` and `select`; also if no trial belongs to a space.
    """
    path = parse_location(path)
    everything = load(path)
    folder = _folder(path)
    members = (load_table(folder, "memberships") if folder else MEMBERSHIPS.empty_table()).to_pandas()
    older: tuple[str, ...] = ()
    if space is not None:
        names = [printable(name) for name in ([space] if isinstance(space, str) else space)]  # as in the rows
        everything, members, older = _of_spaces(everything, members, names)
    filters = {"semantics": semantics, "images": images, "precision": precision}
    trials = select(everything, dataset=dataset, protocol=protocol, **filters)  # type: ignore[arg-type]
    return Rows(trials=trials, everything=everything, members=members, folder=folder, older_spaces=older, **how)  # type: ignore[arg-type]


def _of_spaces(
    everything: pd.DataFrame, members: pd.DataFrame, names: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """The rows and memberships of the spaces with these names only, and the `older_spaces`."""
    known = list(members["space"][members["trial_id"].isin(everything["trial_id"])].unique())
    found = [versions(name, known) for name in names]
    chosen = [spaces[-1] for spaces in found]
    older = tuple(space for spaces in found for space in spaces if space not in chosen)
    members = members[members["space"].isin(chosen)].reset_index(drop=True)
    return everything[everything["trial_id"].isin(members["trial_id"])].reset_index(drop=True), members, older


def versions(name: str, recorded: Sequence[str]) -> list[str]:
    """The recorded spaces that a name stands for, in the order in which they were recorded.

    A space from a file is recorded as NAME@VERSION, so a name can stand for several. Raises InputError if it stands for
    none.
    """
    found = [space for space in recorded if name in (space, plain_name(space))]
    if not found:
        raise unknown("--space", name, recorded)
    return found


def _folder(path: Path) -> Path | None:
    """The results folder of a path; None for a parquet file without other tables in its folder."""
    if is_folder(path):
        return path
    beside = any(exists(path.with_name(f"{name}.parquet")) for name in ("evaluations", "memberships"))
    return path.parent if beside else None


class NotEnough(Exception):  # noqa: N818
    """There are not enough rows for a figure or table; the message is one sentence that says what is needed."""
