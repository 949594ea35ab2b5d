"""What a study found, from its results folder: a table and a figure, as `study run` and `study report` show them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.figures import check_format, save, top_figure
from analysis.load import Names, load, select
from analysis.top import BEST, SelectionRule, top_caption, top_fraction, top_table


@dataclass(frozen=True, kw_only=True)
class Report:
    """The marked rows (`top_fraction`), their summary (`top_table`), what both need said, and where the figure is."""

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
    """The top `fraction` of each method in a results folder, and its figure. Works on a study that is still running.

    Args:
        results: a results folder or a parquet file.
        dataset, protocol: as `select`.
        fraction, rule: as `top_fraction`.
        output: the figure; `figures/top-5-percent.png` (for 5 %) in the results folder unless told otherwise.

    Raises:
        InputError: no results, a mixture that `select` refuses, a fraction out of range, an unknown figure suffix.
        DamagedFile: as `load`. Nothing is written in either case.
    """
    if output is None:
        folder = results if results.is_dir() else results.parent
        output = folder / "figures" / f"top-{100 * fraction:g}-percent.png"
    check_format(output)
    frame = top_fraction(select(load(results), dataset=dataset, protocol=protocol), fraction, rule)
    table, caption = top_table(frame), top_caption(frame)
    figure_path = save(top_figure(frame, table, caption), output)
    return Report(frame=frame, table=table, caption=caption, figure_path=figure_path)
