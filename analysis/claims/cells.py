"""Pools of scores by cell and method, which claims compare."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from analysis.rows.labels import method_label
from analysis.rows.scores import TRAININGS, scored
from analysis.rows.view import Rows
from analysis.statistics.intervals import Array
from study.core.trial import NON_SATURATING, Training, field_names

NONE, SN, LN, BN, L2, GP = "none", "spectral_norm", "layer_norm", "batch_norm", "l2", "gradient_penalty"
GP1, GP5 = "gradient_penalty 1", "gradient_penalty 5"
"""The paper's GP and GP5, by n_dis; GP pools them. Other methods pool their n_dis, as in `analysis.rows.scores`."""
NS, LS, WGAN, HINGE = NON_SATURATING, "least_squares", "wasserstein", "hinge"
PLAIN = "{}"


class CellKey(NamedTuple):
    """The key of a cell; "" for a field that is pooled. `training`: fields that differ within a dataset, in words."""

    dataset: str
    architecture: str = ""
    training: str = ""
    loss: str = ""

    @property
    def description(self) -> str:
        """The key as text; the non-saturating loss is omitted."""
        loss = "" if self.loss == NS else self.loss.replace("_", " ")
        return " ".join(filter(None, (self.dataset, self.architecture, loss, self.training)))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The scores of each method in a cell, NaN for a training without a score."""

    cell_key: CellKey
    pools: Mapping[str, Array]

    @property
    def across_losses(self) -> CellKey:
        """The key of the cell for all losses."""
        return self.cell_key._replace(loss="")


@dataclass(frozen=True, kw_only=True)
class ClaimData:
    """The trials on which claims are tested.

    Trials that were selected by the scores of others (by a Bayesian search, or as best settings to repeat) are
    excluded: they are not a random sample of a method's settings.
    """

    rows: Rows

    @cached_property
    def left_out(self) -> int:
        """Number of trials that were selected by the scores of others."""
        return int(self.rows.adaptive.sum())

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The remaining trials, with `training` (fields that differ within a dataset, in words) and `variant`.

        A variant is the normalisation and penalty; NaN for methods with a constraint or with options, which the paper
        does not have.
        """
        frame = self.rows.trials[~self.rows.adaptive]
        parts = frame[["normalizations", "penalty", "constraint"]].fillna("")
        variant = (parts["normalizations"] + "+" + parts["penalty"]).str.strip("+").replace("", NONE)
        plain = (parts["constraint"] == "") & (frame["options"] == PLAIN)
        return frame.assign(variant=variant.where(plain), training=_training(frame))

    @cached_property
    def trainings(self) -> pd.DataFrame:
        """One row per training with its score, for any pool of the rows."""
        return scored(self.trials, self.rows.rule, TRAININGS)

    @cached_property
    def pooled(self) -> pd.DataFrame:
        """One row per training or per setting, according to the pool of the rows, with its score."""
        pool = self.rows.pool
        return self.trainings if pool == TRAININGS else scored(self.trials, self.rows.rule, pool)

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, in the order of their names."""
        known = self.pooled[self.pooled["variant"].notna()]
        return [
            Cell(cell_key=CellKey(*map(str, key)), pools=dict(_pools(group)))
            for key, group in known.groupby(list(CellKey._fields))
        ]

    def of_loss(self, *losses: str) -> list[Cell]:
        """The cells of these losses; default: the non-saturating loss, as in most figures of the paper."""
        return [cell for cell in self.cells if cell.cell_key.loss in (losses or (NS,))]

    @cached_property
    def is_fid(self) -> dict[str, bool]:
        """By dataset, whether its score is an FID."""
        return {dataset: name == "FID" for dataset, name in self.rows.score_names.items()}


def label(variant: str) -> str:
    """The label of a variant in figures.

    >>> label("none"), label("gradient_penalty 5"), label("spectral_norm+gradient_penalty")
    ('W/O', 'GP 5', 'SN+GP')
    """
    method, _, n_dis = variant.partition(" ")
    return f"{method_label(method)} {n_dis}".removesuffix(" 1").strip()


def _pools(group: pd.DataFrame) -> Iterator[tuple[str, Array]]:
    """The scores of each variant, and of GP also by its n_dis."""
    values, n_dis = group["score"].to_numpy(), group["n_dis"].to_numpy()
    codes, variants = pd.factorize(group["variant"], sort=True)
    for code, variant in enumerate(variants):
        chosen = codes == code
        yield str(variant), values[chosen]
        if variant == GP:
            for name, number in ((GP1, 1), (GP5, 5)):
                if (both := chosen & (n_dis == number)).any():
                    yield name, values[both]


def _training(frame: pd.DataFrame) -> "pd.Series[str]":
    """For each row, the fields of its training that differ within a dataset, in words."""
    words = pd.Series("", index=frame.index)
    for field in field_names(Training):
        if frame.groupby("dataset")[field].nunique().max() > 1:
            words = words + " " + field + " " + frame[field].astype(str)
    return words.str.strip()
