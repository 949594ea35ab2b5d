"""What all analyses of a results folder start from: its rows, and how they are to be looked at."""

from collections.abc import Callable
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
from study.core.errors import unknown
from study.storage.files import exists, place
from study.storage.schema import EVALUATIONS, MEMBERSHIPS, score_label

CURVES = (
    *("frechet_distance", "kernel_distance", "sigmas", "sigma_product"),
    *("gradient_norm_train", "gradient_norm_fake", "gradient_norm_between"),
)
"""What figures and tables need of each checkpoint."""

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a study, and how scores are chosen, pooled and compared.

    Attributes:
        trials: of `select`: one protocol per dataset.
        everything: of `load`: all protocols.
        members: of memberships.parquet; empty where there is none.
        folder: the results folder, or that of a parquet file of trials with others of the study beside it; None where
            the file stands alone.
        rule, pool: as `scored`.
        fraction: the share of a method's trials that counts as its best, in (0, 1].
        level: of intervals.
        seed: of what is resampled.
    """

    trials: pd.DataFrame
    everything: pd.DataFrame
    members: pd.DataFrame
    folder: Path | None = None
    rule: SelectionRule = BEST
    pool: Pool = TRAININGS
    fraction: float = 0.05
    level: float = 0.95
    seed: int = 0

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The trials that count, with label and score."""
        return scored(self.trials, self.rule, self.pool)

    @cached_property
    def checkpoints(self) -> pd.DataFrame:
        """The scored checkpoints of the trials, with CURVES; empty where there are none beside them."""
        if self.folder is None:
            empty: pd.DataFrame = EVALUATIONS.empty_table().to_pandas()
            return empty
        every = load_checkpoints(self.folder, CURVES)
        wanted = positions(every, self.trials) >= 0
        return every if wanted.all() else every[wanted].reset_index(drop=True)

    @cached_property
    def adaptive(self) -> "pd.Series[bool]":
        """Of the trials: whether they are only there for the scores of others, so that they are not exchangeable.

        Bayesian searches propose such trials, and spaces that repeat the best settings (`SearchSpace.choose`).
        """
        proposed = self.members["space"].isin([BO, *(space.name for space in spaces().values() if space.choose)])
        own, others = self.members["trial_id"][proposed].unique(), self.members["trial_id"][~proposed]
        # what is looked for is the costly side of isin, so that it is kept small
        return self.trials["trial_id"].isin(own) & ~self.trials["trial_id"].isin(others[others.isin(own)])

    @cached_property
    def without_adaptive(self) -> "Rows":
        """The rows without the `adaptive` ones, for what they cannot show; a dataset that has no others keeps them."""
        alone = self.adaptive.groupby(self.trials["dataset"]).transform("all")
        kept = self.trials[~self.adaptive | alone]
        return self if len(kept) == len(self.trials) else replace(self, trials=kept.reset_index(drop=True))

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What functions that are wrapped in `computed_once` have made of these rows."""
        return {}

    @cached_property
    def score_names(self) -> dict[str, str]:
        """What the score of each dataset may be called."""
        first = self.trials.drop_duplicates("dataset")
        return {str(row["dataset"]): score_label(row) for _, row in first.iterrows()}

    def with_score_label(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with score_label, what the score of each row's dataset may be called."""
        return table.assign(score_label=table["dataset"].map(self.score_names))

    def rng(self) -> np.random.Generator:
        """A fresh stream of random numbers, the same each time, so that no result depends on what was asked before."""
        return np.random.default_rng(self.seed)


def computed_once(work: Callable[[Rows], Made]) -> Callable[[Rows], Made]:
    """The function, computed once for the same rows, since several figures and tables show what it makes."""

    @wraps(work)
    def kept(rows: Rows) -> Made:
        if work not in rows.made:
            rows.made[work] = work(rows)
        made: Made = rows.made[work]
        return made

    return kept


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
        path: a results folder, or a parquet file of trials; an evaluations.parquet or memberships.parquet beside it is
            read as well. A path or an address.
        space: only trials that belong to one of these search spaces, by memberships.parquet.
        dataset, protocol, semantics, images, precision: as `select`.
        how: of `Rows`: rule, pool, fraction, level, seed.

    Raises:
        InputError, DamagedFile: as `load` and `select`; and a space to which no trial there belongs.
    """
    path = place(path)
    everything = load(path)
    folder = _folder(path)
    members = (load_table(folder, "memberships") if folder else MEMBERSHIPS.empty_table()).to_pandas()
    if space is not None:
        everything, members = _of_spaces(everything, members, [space] if isinstance(space, str) else list(space))
    asked = {"semantics": semantics, "images": images, "precision": precision}
    trials = select(everything, dataset=dataset, protocol=protocol, **asked)  # type: ignore[arg-type]
    return Rows(trials=trials, everything=everything, members=members, folder=folder, **how)  # type: ignore[arg-type]


def _of_spaces(everything: pd.DataFrame, members: pd.DataFrame, spaces: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows and memberships of these spaces alone."""
    known = members["space"][members["trial_id"].isin(everything["trial_id"])].unique()
    for name in spaces:
        if name not in known:
            raise unknown("--space", name, known)
    members = members[members["space"].isin(spaces)].reset_index(drop=True)
    return everything[everything["trial_id"].isin(members["trial_id"])].reset_index(drop=True), members


def _folder(path: Path) -> Path | None:
    """The results folder of what was given; None of a parquet file that stands alone."""
    if is_folder(path):
        return path
    beside = any(exists(path.with_name(f"{name}.parquet")) for name in ("evaluations", "memberships"))
    return path.parent if beside else None


class NotEnough(Exception):  # noqa: N818
    """The rows hold nothing for a figure or table to show; the message says what it would take, as one sentence."""
