"""The paper's claims, each with a test that can reject it.

    from pathlib import Path
    from analysis.claims import judge
    from analysis.rows.view import open_rows

    print(judge(open_rows(Path("results")))[["id", "verdict", "numbers"]])

A claim is a list of inequalities, one for each cell of the study; `verdicts` combines them into a verdict.
"""

import pandas as pd

from analysis.claims.cells import ClaimData
from analysis.claims.claim import DOES_NOT_HOLD, HOLDS, NOT_ENOUGH, NOT_RESOLVED, Claim
from analysis.claims.statements.conclusion import C16
from analysis.claims.statements.evaluation import C14, C17, C18
from analysis.claims.statements.losses import C8, C9, C10, C15
from analysis.claims.statements.methods import C1, C2, C4, C11
from analysis.claims.statements.repeats import C7, C13, C19, C20
from analysis.claims.statements.tuning import C3, C5, C6, C12
from analysis.claims.verdicts import EVIDENCE_COLUMNS, VERDICT_COLUMNS, evaluate, evidence_row, frame, verdict_row
from analysis.rows.scores import check_fraction
from analysis.rows.view import Rows
from analysis.statistics.intervals import check_level

__all__ = ["CLAIMS", "DOES_NOT_HOLD", "HOLDS", "NOT_ENOUGH", "NOT_RESOLVED", "Claim", "evidence", "judge"]

CLAIMS = (C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17, C18, C19, C20)


def judge(rows: Rows) -> pd.DataFrame:
    """The verdict of each claim on the rows of a study.

    Trainings that were selected by the scores of other trials are excluded. For each claim, the probability of a wrong
    verdict (holds or does not hold) is at most 1 - rows.level.

    Returns:
        One row per claim, in order: id, claim (its statement), verdict (holds, does not hold, not resolved, not enough
        data), numbers (counts of comparisons for and against, and the decisive one with its interval), cells (number of
        comparisons with an interval), against (number resolved against the claim, simultaneously), left_out (number of
        trials selected by the scores of others), needs, paper (the paper's numbers, with the source) and test, in
        words.
    """
    data = _claim_data(rows)
    return frame(
        [verdict_row(claim, evaluate(claim.inequalities(data), rows.level), data) for claim in CLAIMS], VERDICT_COLUMNS
    )


def evidence(rows: Rows) -> pd.DataFrame:
    """The comparisons behind `judge`.

    Returns:
        One row per claim and inequality: claim, part, dataset, architecture, loss, training (fields that differ within
        a dataset), a, b, statistic, n_a, n_b (trainings, settings or pairs), fraction (share of the best), claimed
        (below or above), bound, estimate, low, high (at the level), low_together, high_together (simultaneous
        for all inequalities of the claim), outcome (for, against, not resolved, not enough data), words (the row as
        text).
    """
    data = _claim_data(rows)
    result = [evidence_row(claim, each) for claim in CLAIMS for each in evaluate(claim.inequalities(data), rows.level)]
    return frame(result, EVIDENCE_COLUMNS)


def _claim_data(rows: Rows) -> ClaimData:
    check_level(rows.level)
    check_fraction(rows.fraction)
    return ClaimData(rows=rows)
