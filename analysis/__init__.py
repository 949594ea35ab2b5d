"""Rows in, numbers out, ink last: what the trials of a study say, as plain frames, and the figures drawn from them.

    from analysis import load, select, top_fraction, top_table

    trials = select(load("results"), dataset="digits")
    print(top_table(top_fraction(trials, 0.05)))

`load` and `select` give rows that may be compared; `top`, `rounds` and `random_search` compute frames; `figures`,
`round_figure` and `tables` only draw frames; `report` composes them.
"""

from analysis.load import load, select
from analysis.report import Report, SearchReport, report, search_report
from analysis.scores import BEST, FINAL, SelectionRule
from analysis.top import top_fraction, top_table

__all__ = [
    "BEST",
    "FINAL",
    "Report",
    "SearchReport",
    "SelectionRule",
    "load",
    "report",
    "search_report",
    "select",
    "top_fraction",
    "top_table",
]
