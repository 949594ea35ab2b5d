"""Rows in, numbers out, ink last: what the trials of a study say, as plain frames, and the figures drawn from them.

    from analysis import load, select, top_fraction, top_table

    trials = select(load("results"), dataset="digits")
    print(top_table(top_fraction(trials, 0.05)))

`load` and `select` give rows that may be compared; a module each computes frames; `figures` and `tables` are menus that
show them; `claims` tests what the paper says; `page` puts all of it in one document. README.md beside this file leads
through it, and its examples are tested.
"""

from analysis.ablation import paired_ablations
from analysis.agreement import both_distances, rank_correlation, top_overlap
from analysis.budget import budget_curve
from analysis.claims import evidence, judge
from analysis.compare import compare
from analysis.cost import update_cost
from analysis.curves import diagnostic_curve, score_curve
from analysis.distribution import distribution_table, ecdf
from analysis.figures import NotEnough, draw
from analysis.load import load, load_checkpoints, select
from analysis.report import Report, SearchReport, report, search_report
from analysis.response import importance, response
from analysis.rows import Rows, open_rows
from analysis.scores import BEST, FINAL, SETTINGS, TRAININGS, Pool, SelectionRule, scored
from analysis.seeds import seed_table
from analysis.top import top_fraction, top_table

__all__ = [
    "BEST",
    "FINAL",
    "SETTINGS",
    "TRAININGS",
    "NotEnough",
    "Pool",
    "Report",
    "Rows",
    "SearchReport",
    "SelectionRule",
    "both_distances",
    "budget_curve",
    "compare",
    "diagnostic_curve",
    "distribution_table",
    "draw",
    "ecdf",
    "evidence",
    "importance",
    "judge",
    "load",
    "load_checkpoints",
    "open_rows",
    "paired_ablations",
    "rank_correlation",
    "report",
    "response",
    "score_curve",
    "scored",
    "search_report",
    "seed_table",
    "select",
    "top_fraction",
    "top_overlap",
    "top_table",
    "update_cost",
]
