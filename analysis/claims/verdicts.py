"""From the inequalities of a claim to its verdict, without more wrong ones than the level allows.

A claim holds where every inequality that can be tested holds at the level (an intersection-union test: the chance that
all do although one is wrong is at most that of the wrong one). It does not hold where some inequality is resolved
against it at 1 - (1 - level) / m, m being how many there are (Bonferroni). So either wrong verdict comes with a chance
of at most 1 - level for each claim by itself; over all claims they add up.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.claims.cells import Material
from analysis.claims.claim import (
    AGAINST,
    DOES_NOT_HOLD,
    FOR,
    HOLDS,
    NOT_ENOUGH,
    NOT_RESOLVED,
    Claim,
    Line,
    Reading,
)

JUDGED = ("id", "claim", "verdict", "numbers", "cells", "against", "left_out", "needs", "paper", "test")
EVIDENCE = (
    *("claim", "part", "dataset", "architecture", "loss", "training", "a", "b", "statistic", "n_a", "n_b", "fraction"),
    *("claimed", "bound", "estimate", "low", "high", "low_together", "high_together", "outcome", "words"),
)


class Decided(NamedTuple):
    """A line with its intervals, at the level and at that at which all lines of the claim hold together."""

    line: Line
    alone: Reading | None
    together: Reading | None
    outcome: str


def decide(lines: Sequence[Line], level: float) -> list[Decided]:
    """What the rows say of each line."""
    least = 1 - (1 - level) / max(len(lines), 1)
    decided = []
    for line in lines:
        # small pools have an interval at the level by itself, of a larger share of the best than they would have else
        alone, together = (line.measure(each, least) or line.measure(each, level) for each in (level, least))
        if alone is None or together is None:
            decided.append(Decided(line, None, None, NOT_ENOUGH))
            continue
        beyond = together.low > line.bound if line.below else together.high < line.bound
        within = alone.high < line.bound if line.below else alone.low > line.bound
        outcome = AGAINST if beyond else FOR if within else NOT_RESOLVED
        decided.append(Decided(line, alone, together, outcome))
    return decided


def verdict(claim: Claim, decided: Sequence[Decided]) -> str:
    """Of a claim, from its lines."""
    tested = [each for each in decided if each.alone is not None]
    if any(each.outcome == AGAINST for each in tested):
        return DOES_NOT_HOLD
    if any(part not in {each.line.part for each in tested} for part in claim.parts):
        return NOT_ENOUGH
    return HOLDS if all(each.outcome == FOR for each in tested) else NOT_RESOLVED


def judged_row(claim: Claim, decided: Sequence[Decided], material: Material) -> dict[str, Any]:
    """The row of `judge`."""
    found = verdict(claim, decided)
    return {
        "id": claim.id,
        "claim": claim.statement,
        "verdict": found,
        "numbers": _numbers(claim, found, decided),
        "cells": sum(each.alone is not None for each in decided),
        "against": sum(each.outcome == AGAINST for each in decided),
        "left_out": material.left_out,
        "needs": claim.needs,
        "paper": claim.paper,
        "test": claim.test,
    }


def evidence_row(claim: Claim, decided: Decided) -> dict[str, Any]:
    """The row of `evidence`; without an interval its numbers are NaN."""
    line, alone, together, outcome = decided
    nothing = Reading(math.nan, math.nan, math.nan)
    alone, together = alone or nothing, together or nothing
    names = ("part", "a", "b", "statistic", "n_a", "n_b", "bound")
    return {
        "claim": claim.id,
        **line.place._asdict(),
        **{name: getattr(line, name) for name in names},
        "claimed": "below" if line.below else "above",
        "fraction": alone.fraction,
        "estimate": alone.estimate,
        "low": alone.low,
        "high": alone.high,
        "low_together": together.low,
        "high_together": together.high,
        "outcome": outcome,
        "words": evidence_words(decided),
    }


def evidence_words(decided: Decided) -> str:
    """A line with its numbers, for people."""
    line, alone, together, _ = decided
    counts = f"n {line.n_a:,}" + (f" and {line.n_b:,}" if line.b else "")
    if alone is None or together is None:
        return f"{line.place.words}, {line.statistic}: too few for an interval ({counts})"
    leans = alone.low > line.bound if line.below else alone.high < line.bound
    used = together if leans else alone  # against is decided by all together
    ends = f"[{line.show(used.low)}, {line.show(used.high)}]"
    best = f", best {100 * used.fraction:.3g} %" if math.isfinite(used.fraction) else ""
    asked = f"{'below' if line.below else 'above'} {line.show(line.bound) if line.bound else 0}"
    about = f"({counts}{best}{f'; {used.words}' if used.words else ''})"
    return f"{line.place.words}, {line.statistic}: {line.show(used.estimate)} {ends}, claimed {asked} {about}"


def _numbers(claim: Claim, found: str, decided: Sequence[Decided]) -> str:
    """How many lines are for and against, and the one that is least for the claim."""
    tested = [each for each in decided if each.alone is not None]
    few = len(decided) - len(tested)
    if not tested:
        return f"{few} comparison{'s' * (few > 1)} with too few trainings" if few else f"needs {claim.needs}"
    counts = [f"{sum(each.outcome == FOR for each in tested)} of {len(tested)} for"]
    if against := sum(each.outcome == AGAINST for each in tested):
        counts.append(f"{against} against")
    if few:
        counts.append(f"{few} more with too few trainings")
    if found == NOT_ENOUGH and not few:
        counts.append(f"the rest needs {claim.needs}")
    least = "strongest against" if found == DOES_NOT_HOLD else "least for"
    which = f"{least}: " if len(tested) > 1 else ""
    return f"{', '.join(counts)}; {which}{evidence_words(min(tested, key=_lean))}"


def _lean(decided: Decided) -> tuple[bool, float]:
    """Sort key: the most against the claim first, by how many half-widths of its interval a value is from the bound."""
    line, (estimate, low, high, *_) = decided.line, decided.alone or Reading(math.nan, -math.inf, math.inf)
    inside = line.bound - estimate if line.below else estimate - line.bound
    width = high - estimate if (inside > 0) == line.below else estimate - low
    if math.isnan(inside) or math.isnan(width):  # an infinite value: by the ends alone
        return decided.outcome != AGAINST, 0.0
    return decided.outcome != AGAINST, inside / width if width else math.copysign(math.inf, inside)


def frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A frame with all columns, also where there are no rows."""
    return pd.DataFrame(rows, columns=list(columns))
