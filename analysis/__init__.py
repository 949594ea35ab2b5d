"""From the rows of a study to plain pandas frames, and from the frames to figures, tables and a report.

    from analysis import load, select, top_fraction, top_table

    trials = select(load("results"), dataset="digits")
    print(top_table(top_fraction(trials, 0.05)))

`load` and `select` return rows that are comparable; the modules of `frames` compute frames from them; `figures` and
`tables` display these frames; `claims` tests the claims of the paper; `page` combines everything in one document.
README.md in this folder is the guide, and its examples are tested.
"""

from analysis.claims import evidence, judge
from analysis.figures import NotEnough, draw
from analysis.frames.hyperparameters.response import importance, response
from analysis.frames.methods.ablation import paired_ablations
from analysis.frames.methods.budget import budget_curve
from analysis.frames.methods.compare import compare
from analysis.frames.methods.distribution import distribution_table, ecdf
from analysis.frames.methods.top import top_fraction, top_table
from analysis.frames.trainings.agreement import both_distances, rank_correlation, top_overlap
from analysis.frames.trainings.cost import update_cost
from analysis.frames.trainings.curves import diagnostic_curve, score_curve
from analysis.frames.trainings.seeds import seed_table
from analysis.page.run_report import Report, SearchReport, report, search_report
from analysis.rows.load import load, load_checkpoints, select
from analysis.rows.scores import BEST, FINAL, SETTINGS, TRAININGS, Pool, SelectionRule, scored
from analysis.rows.view import Rows, open_rows

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
