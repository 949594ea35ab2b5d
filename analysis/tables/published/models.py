"""Our trials compared with the 31 published best models, each with the same setting."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures.drawing.captions import common
from analysis.frames.methods.top import setting
from analysis.paper import facts, published
from analysis.paper.comparison import protocol_difference, training_difference
from analysis.rows.labels import method_label
from analysis.rows.scores import HYPERPARAMETERS, SETTINGS, scored
from analysis.rows.view import NotEnough, Rows
from analysis.statistics.formatting import count, interval, number
from analysis.tables.table import Block, TableKind
from study.core.trial import Training, field_names
from study.storage.schema import LABEL_FIELDS

COMPARED, MISSING, NO_SCORE = "compared", "missing", "no score"
KEY = ["dataset", "architecture", "method", *HYPERPARAMETERS]
"""Columns that must match; the length of the training is not among them, but is reported."""
OURS = ["seeds", "scored", "ours", "low", "high", "difference", "status", "training", "score_label"]
PROTOCOL = [*LABEL_FIELDS, "n_real", "n_fake", "split", "quantize"]


def compute(rows: Rows) -> pd.DataFrame:
    """One row per published model on the datasets of the rows, including models without a trial of ours.

    Returns:
        The columns of `published`, once for each of our trainings (length, width) of it; seeds,
        scored (of them), ours (the median over seeds), low, high (their lowest and highest score), difference (ours -
        fid, NaN if not comparable), status (compared, missing, no score, or the reason), training (differences from
        the released code) and score_label.

    Raises:
        NotEnough: none of the datasets has a published model.
    """
    models = published()
    here = models[models["dataset"].isin(rows.trials["dataset"].unique())]
    if here.empty:
        known = ", ".join(models["dataset"].unique())
        raise NotEnough(f"The published models are of {known}; none of them is in these rows.")
    table = here.assign(steps=here["discriminator_steps"]).drop(columns="discriminator_steps")
    table = table.merge(_settings(rows, here[KEY].drop_duplicates()), on=KEY, how="left")
    lines, images = [row for _, row in table.iterrows()], facts("fid_images")
    table["training"] = ["" if pd.isna(row["seeds"]) else training_difference(row, row["steps"]) for row in lines]
    table["status"] = [_status(row, images[row["dataset"]]) for row in lines]
    table["difference"] = (table["ours"] - table["fid"]).where(table["status"] == COMPARED)
    table = rows.with_score_label(table)
    table["discriminator_steps"] = table["steps"]
    return table[[*models.columns, *OURS]].sort_values("dataset", kind="stable", ignore_index=True)


def _status(row: "pd.Series[Any]", images: float) -> str:
    if pd.isna(row["seeds"]):
        return MISSING
    difference = protocol_difference(row, images)
    if difference:
        return f"not comparable: {difference}"
    return NO_SCORE if np.isnan(row["ours"]) else COMPARED


def _settings(rows: Rows, published_settings: pd.DataFrame) -> pd.DataFrame:
    """Our trials of these settings, by KEY and training: median and range over seeds, and the protocol."""
    trials, cell = rows.trials.merge(published_settings, on=KEY), [*KEY, *field_names(Training)]
    seeds = scored(trials, rows.rule).groupby(cell, dropna=False)["score"].agg(scored="count", low="min", high="max")
    middle = scored(trials, rows.rule, SETTINGS).rename(columns={"score": "ours"})
    return middle[[*cell, *PROTOCOL, "seeds", "ours"]].merge(seeds.reset_index(), on=cell)


def words(table: pd.DataFrame) -> Iterator[Block]:
    """A block per dataset, a line per model."""
    for dataset, rows in table.groupby("dataset", sort=False):
        lines = [row for _, row in rows.iterrows()]
        cells = {
            "networks": list(rows["architecture"]),
            "method": [method_label(name) for name in rows["method"]],
            "setting": [setting(row, digits=4) for row in lines],
            "FID": [f"{row['fid']:.2f}" for row in lines],
            "IS": [number(row["is"]) for row in lines],
            "MS-SSIM": [number(row["ms_ssim"]) for row in lines],
            "seeds": [count(row["seeds"]) for row in lines],
            "ours": [number(row["ours"]) for row in lines],
            "over seeds": [interval(row["low"], row["high"]) if row["scored"] > 1 else "-" for row in lines],
            "difference": [f"{row['difference']:+.2f}" if row["status"] == COMPARED else "-" for row in lines],
            "status": ["; ".join(filter(None, (row["status"], row["training"]))) for row in lines],
        }
        label = rows["score_label"].iloc[0]
        yield f"{dataset}: published models, their FID and our {label}", cells


def caption(rows: Rows, table: pd.DataFrame) -> str:
    """The caption: sources and columns."""
    elsewhere = len(published()) - len(table.drop_duplicates([*KEY, "seed"]))
    return common(
        rows,
        "Published: generate_tasks_lib.py and tfhub_models.ipynb of the released code (Kurach et al., 2019), CERTAIN; "
        "each the best of many runs, by an unknown selection rule.",
        "Ours: the same setting, median over its seeds; over seeds: the lowest and highest score, not an interval. "
        "Models that differ only in the weight of an absent penalty are one setting of ours.",
        "A difference is given only for FIDs under the paper's metric protocol. Missing: we have no such trials.",
        *([f"{elsewhere} more models were published on datasets that are not in these rows."] if elsewhere else []),
    )


TABLE = TableKind(
    name="published", title="Comparison with the published models", compute=compute, words=words, caption=caption
)
