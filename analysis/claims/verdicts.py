"""From the inequalities of a claim to its verdict, with a bounded probability of error.

A claim holds if every inequality with an interval holds at the level (an intersection-union test). It does not hold if
some inequality is resolved against it at 1 - (1 - level) / m, where m is the number of inequalities (Bonferroni). So
the probability of a wrong verdict is at most 1 - level for each claim; there is no correction over all claims.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.claims.cells import ClaimData
from analysis.claims.claim import (
    AGAINST,
    DOES_NOT_HOLD,
    FOR,
    HOLDS,
    NOT_ENOUGH,
    NOT_RESOLVED,
    Claim,
    Inequality,
    Measurement,
)
from study.core.text import plural

VERDICT_COLUMNS = ("id", "claim", "verdict", "numbers", "cells", "against", "left_out", "needs", "paper", "test")
EVIDENCE_COLUMNS = (
    *("claim", "part", "dataset", "architecture", "loss", "training", "a", "b", "statistic", "n_a", "n_b", "fraction"),
    *("claimed", "bound", "estimate", "low", "high", "low_together", "high_together", "outcome", "words"),
)


class EvaluatedInequality(NamedTuple):
    """An inequality with its intervals: at the level, and simultaneous for all inequalities of the claim."""

    inequality: Inequality
    alone: Measurement | None
    together: Measurement | None
    outcome: str


def evaluate(inequalities: Sequence[Inequality], level: float) -> list[EvaluatedInequality]:
    """The intervals and the outcome of each inequality."""
    least = 1 - (1 - level) / max(len(inequalities), 1)
    evaluated = []
    for inequality in inequalities:
        # small pools may have an interval only at the uncorrected level, for a larger fraction of best scores
        alone, together = (
            inequality.measure(each, least) or inequality.measure(each, level) for each in (level, least)
        )
        if alone is None or together is None:
            evaluated.append(EvaluatedInequality(inequality, None, None, NOT_ENOUGH))
            continue
        beyond = together.low > inequality.bound if inequality.below else together.high < inequality.bound
        within = alone.high < inequality.bound if inequality.below else alone.low > inequality.bound
        outcome = AGAINST if beyond else FOR if within else NOT_RESOLVED
        evaluated.append(EvaluatedInequality(inequality, alone, together, outcome))
    return evaluated


def verdict(claim: Claim, evaluated: Sequence[EvaluatedInequality]) -> str:
    """The verdict of a claim from its inequalities."""
    tested = [each for each in evaluated if each.alone is not None]
    if any(each.outcome == AGAINST for each in tested):
        return DOES_NOT_HOLD
    if any(part not in {each.inequality.part for each in tested} for part in claim.parts):
        return NOT_ENOUGH
    return HOLDS if all(each.outcome == FOR for each in tested) else NOT_RESOLVED


def verdict_row(claim: Claim, evaluated: Sequence[EvaluatedInequality], data: ClaimData) -> dict[str, Any]:
    """One row of `judge`."""
    outcome_of_claim = verdict(claim, evaluated)
    return {
        "id": claim.id,
        "claim": claim.statement,
        "verdict": outcome_of_claim,
        "numbers": _numbers(claim, outcome_of_claim, evaluated),
        "cells": sum(each.alone is not None for each in evaluated),
        "against": sum(each.outcome == AGAINST for each in evaluated),
        "left_out": data.left_out,
        "needs": claim.needs,
        "paper": claim.paper,
        "test": claim.test,
    }


def evidence_row(claim: Claim, evaluated: EvaluatedInequality) -> dict[str, Any]:
    """One row of `evidence`; the numbers are NaN if there is no interval."""
    inequality, alone, together, outcome = evaluated
    nothing = Measurement(math.nan, math.nan, math.nan)
    alone, together = alone or nothing, together or nothing
    names = ("part", "a", "b", "statistic", "n_a", "n_b", "bound")
    return {
        "claim": claim.id,
        **inequality.cell_key._asdict(),
        **{name: getattr(inequality, name) for name in names},
        "claimed": "below" if inequality.below else "above",
        "fraction": alone.fraction,
        "estimate": alone.estimate,
        "low": alone.low,
        "high": alone.high,
        "low_together": together.low,
        "high_together": together.high,
        "outcome": outcome,
        "words": evidence_words(evaluated),
    }


def evidence_words(evaluated: EvaluatedInequality) -> str:
    """An inequality with its numbers, as text."""
    inequality, alone, together, _ = evaluated
    counts = f"n {inequality.n_a:,}" + (f" and {inequality.n_b:,}" if inequality.b else "")
    if alone is None or together is None:
        return f"{inequality.cell_key.description}, {inequality.statistic}: too few for an interval ({counts})"
    leans = alone.low > inequality.bound if inequality.below else alone.high < inequality.bound
    used = together if leans else alone  # `against` uses the simultaneous interval
    ends = f"[{inequality.show(used.low)}, {inequality.show(used.high)}]"
    best = f", best {100 * used.fraction:.3g} %" if math.isfinite(used.fraction) else ""
    asked = f"{'below' if inequality.below else 'above'} {inequality.show(inequality.bound) if inequality.bound else 0}"
    about = f"({counts}{best}{f'; {used.words}' if used.words else ''})"
    place = inequality.cell_key.description
    return f"{place}, {inequality.statistic}: {inequality.show(used.estimate)} {ends}, claimed {asked} {about}"


def _numbers(claim: Claim, outcome_of_claim: str, evaluated: Sequence[EvaluatedInequality]) -> str:
    """The numbers of inequalities for and against, and the one that supports the claim least."""
    tested = [each for each in evaluated if each.alone is not None]
    few = len(evaluated) - len(tested)
    if not tested:
        return f"{few} {plural(few, 'comparison')} with too few trainings" if few else f"needs {claim.needs}"
    counts = [f"{sum(each.outcome == FOR for each in tested)} of {len(tested)} for"]
    if against := sum(each.outcome == AGAINST for each in tested):
        counts.append(f"{against} against")
    if few:
        counts.append(f"{few} more with too few trainings")
    if outcome_of_claim == NOT_ENOUGH and not few:
        counts.append(f"the rest needs {claim.needs}")
    least = "strongest against" if outcome_of_claim == DOES_NOT_HOLD else "least for"
    which = f"{least}: " if len(tested) > 1 else ""
    return f"{', '.join(counts)}; {which}{evidence_words(min(tested, key=_lean))}"


def _lean(evaluated: EvaluatedInequality) -> tuple[bool, float]:
    """Sort key, most against the claim first: distance from the bound in half-widths of the interval."""
    inequality, (estimate, low, high, *_) = (
        evaluated.inequality,
        evaluated.alone or Measurement(math.nan, -math.inf, math.inf),
    )
    inside = inequality.bound - estimate if inequality.below else estimate - inequality.bound
    width = high - estimate if (inside > 0) == inequality.below else estimate - low
    if math.isnan(inside) or math.isnan(width):  # an infinite value is judged only by the ends
        return evaluated.outcome != AGAINST, 0.0
    return evaluated.outcome != AGAINST, inside / width if width else math.copysign(math.inf, inside)


def frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A frame with all columns, even without rows."""
    return pd.DataFrame(rows, columns=list(columns))
