"""Short reports on a results folder: tables and a figure, as `study run`, `bo` and `report` show them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.figures.drawing.captions import round_caption, top_caption
from analysis.figures.drawing.files import check_format, save
from analysis.figures.hyperparameters import bo
from analysis.figures.methods import top
from analysis.frames.hyperparameters.random_search import random_best
from analysis.frames.hyperparameters.searches import chosen_settings, round_table, search_trials
from analysis.frames.methods.top import top_fraction, top_table
from analysis.rows.load import Names, load, select
from analysis.rows.scores import BEST, SelectionRule


@dataclass(frozen=True, kw_only=True)
class Report:
    """The marked rows (`top_fraction`), their summary (`top_table`), their caption, and the path of the figure."""

    frame: pd.DataFrame
    table: pd.DataFrame
    caption: str
    figure_path: Path


def report(
    results: Path,
    *,
    dataset: Names = None,
    protocol: Names = None,
    fraction: float = 0.05,
    rule: SelectionRule = BEST,
    output: Path | None = None,
) -> Report:
    """The top `fraction` of each method in a results folder, and its figure. Works on a running study.

    Args:
        results: a results folder or a parquet file.
        dataset, protocol: as `select`.
        fraction, rule: as `top_fraction`.
        output: the figure; `figures/top-5-percent.png` (for 5 %) in the results folder by default.

    Raises:
        InputError: no results, rows that `select` rejects, a fraction out of range, or an unknown figure suffix.
        DamagedFile: as `load`. Nothing is written in either case.
    """
    if output is None:
        folder = results if results.is_dir() else results.parent
        output = folder / "figures" / f"top-{100 * fraction:g}-percent.png"
    check_format(output)
    frame = top_fraction(select(load(results), dataset=dataset, protocol=protocol), fraction, rule)
    table, caption = top_table(frame), top_caption(frame)
    figure_path = save(top.top_figure(frame, table, f"{top.LEGEND}\n{caption}"), output)
    return Report(frame=frame, table=table, caption=caption, figure_path=figure_path)


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """The results of searches: trials, rounds, chosen settings, random search as the baseline, and the caption.

    `trials` are of `search_trials`, `rounds` of `round_table`, `chosen` of `chosen_settings`, `random` of
    `random_best`.
    """

    trials: pd.DataFrame
    rounds: pd.DataFrame
    chosen: pd.DataFrame
    random: pd.DataFrame
    caption: str
    figure_path: Path


def search_report(
    results: Path,
    *,
    dataset: Names = None,
    protocol: Names = None,
    searches: Iterable[str] | None = None,
    output: Path | None = None,
) -> SearchReport:
    """The results of the searches of `study bo` in a results folder. Works on a running study.

    Args:
        results: a results folder.
        dataset, protocol: as `select`.
        searches: names of the searches to show (contexts in memberships.parquet); None: all.
        output: the figure; `figures/bo.png` in the results folder by default.

    Raises:
        InputError: no results or no search in them, rows that `select` rejects, or an unknown figure suffix.
        DamagedFile: as `load`. Nothing is written in either case.
    """
    output = results / "figures" / "bo.png" if output is None else output
    check_format(output)
    frame = select(load(results), dataset=dataset, protocol=protocol)
    trials = search_trials(frame, results, searches)
    random = random_best(trials, frame, results)
    rounds, chosen, caption = round_table(trials), chosen_settings(trials, random), round_caption(trials, random)
    figure_path = save(bo.round_figure(trials, rounds, random, bo.caption(trials, random)), output)
    return SearchReport(
        trials=trials, rounds=rounds, chosen=chosen, random=random, caption=caption, figure_path=figure_path
    )
