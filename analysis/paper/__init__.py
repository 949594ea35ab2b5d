"""The paper's published numbers: the boxes of Figures 1 to 4, its best models, and quantities of its datasets.

Each row of the CSV files in this folder gives the source and the certainty of its numbers: CERTAIN was read in the
named source, LIKELY was read off a plot, with an error of about `error`.
"""

import io
from collections.abc import Iterable
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from analysis.rows.scores import SPLIT_BY_N_DIS
from study.core.errors import look_up
from study.core.trial import Method

CERTAINTIES = ("CERTAIN", "LIKELY")
BOX = ("whisker_low", "q1", "median", "q3", "whisker_high")
METHOD = ("dataset", "architecture", "loss", "normalizations", "penalty")
WORD, NUMBER, COUNT = "str", "float64", "Int64"
SOURCE = {"source": WORD, "certainty": WORD}
FIGURE = {
    "figure": COUNT,
    **dict.fromkeys(METHOD, WORD),
    "n_dis": COUNT,
    "label": WORD,
    **dict.fromkeys(BOX, NUMBER),
    "outliers": WORD,
    "at_least": WORD,
    "error": NUMBER,
    **SOURCE,
    "note": WORD,
}
PUBLISHED = {
    **dict.fromkeys(METHOD, WORD),
    "n_dis": COUNT,
    **dict.fromkeys(("learning_rate", "beta1", "beta2", "penalty_weight"), NUMBER),
    "discriminator_steps": COUNT,
    "seed": COUNT,
    **dict.fromkeys(("fid", "is", "ms_ssim"), NUMBER),
    **SOURCE,
    "note": WORD,
}
FACTS = {"dataset": WORD, "quantity": WORD, "value": NUMBER, **SOURCE}
TABLES = {**{f"figure{number}": FIGURE for number in (1, 2, 3, 4)}, "published": PUBLISHED, "facts": FACTS}
"""The files by name, and the type of each of their columns."""


def load_paper(name: str) -> pd.DataFrame:
    """Load one of the files, typed and checked.

    Args:
        name: `figure1` to `figure4`: the boxes of a figure's upper row, one per dataset and method, FID. `published`:
            the 31 best models with their settings, FID, Inception Score and MS-SSIM. `facts`: by dataset, the
            quantities fid_train_test (FID between its two splits), fid_images (number of images on each side of an
            FID), discriminator_steps (of a trial) and kid_fid_spearman (rank correlation over trained models).

    Returns:
        The rows; "" for a missing word, NaN for a missing number. In the figures, n_dis is missing if the paper does
        not state it for a box; `outliers` are numbers separated by semicolons; `at_least` names the number that leaves
        the plot, so that it is only a lower bound; `error` is the error of reading the plot. `seed` distinguishes
        models that were published twice.

    Raises:
        InputError: there is no such file.
    """
    look_up("load_paper", name, TABLES)
    return _read(name).copy()


@cache
def _read(name: str) -> pd.DataFrame:
    columns = TABLES[name]
    text = resources.files(__name__).joinpath(f"{name}.csv").read_text("utf-8")
    empty = {column: [""] for column, kind in columns.items() if kind != WORD}
    frame = pd.read_csv(io.StringIO(text), dtype=columns, keep_default_na=False, na_values=empty)
    check(name, frame)
    return frame


def check(name: str, frame: pd.DataFrame) -> None:
    """Raise ValueError if a file of the paper's numbers does not match the description in `load_paper`."""
    columns = TABLES[name]
    if list(frame.columns) != list(columns):
        raise ValueError(f"{name}.csv: its columns are {', '.join(frame.columns)}; they must be {', '.join(columns)}.")
    unknown = set(frame["certainty"]) - set(CERTAINTIES)
    if unknown or (frame["source"] == "").any():
        raise ValueError(f"{name}.csv: each row needs a source and a certainty of {', '.join(CERTAINTIES)}.")
    if columns is FIGURE:
        steps = frame[list(BOX)].T.ffill().diff().T.to_numpy()
        if (steps < 0).any():
            raise ValueError(f"{name}.csv: the numbers of a box must ascend.")


def boxes(figures: Iterable[int] = (1, 2, 3, 4)) -> pd.DataFrame:
    """The boxes of the paper's figures, one row each, in their order: the columns of `load_paper` and method.

    The method is a name as in trials.parquet (`study.core.trial.Method.name`).
    """
    frame = pd.concat([load_paper(f"figure{number}") for number in figures], ignore_index=True)
    return with_method(frame)


def published() -> pd.DataFrame:
    """The 31 best models of the paper and its released code: the columns of `load_paper` and method."""
    return with_method(load_paper("published"))


def facts(quantity: str) -> "pd.Series[float]":
    """A quantity of `load_paper("facts")` by dataset."""
    rows = load_paper("facts")
    return rows[rows["quantity"] == quantity].set_index("dataset")["value"]


def with_method(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the name of their method."""
    recipes = frame[list(METHOD[1:])].itertuples(index=False)
    return frame.assign(method=[_name(*map(str, recipe)) for recipe in recipes])


def _name(architecture: str, loss: str, normalizations: str, penalty: str) -> str:
    parts = tuple(filter(None, normalizations.split("+")))
    return Method(architecture=architecture, loss=loss, normalizations=parts, penalty=penalty or None).name


def box_n_dis(frame: pd.DataFrame) -> "pd.Series[float]":
    """The n_dis of a row's box; NaN if a method has one box for all n_dis (see `labels`)."""
    split = frame["penalty"].isin(SPLIT_BY_N_DIS)
    return frame["n_dis"].astype(float).where(split, np.nan)
