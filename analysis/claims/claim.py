"""A claim of the paper as inequalities, each in one cell of the study."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from analysis.claims.cells import CellKey, ClaimData
from analysis.statistics.formatting import number

HOLDS, DOES_NOT_HOLD, NOT_RESOLVED, NOT_ENOUGH = "holds", "does not hold", "not resolved", "not enough data"
FOR, AGAINST = "for", "against"


class Measurement(NamedTuple):
    """A quantity with its interval; the fraction of best scores (NaN if none) and its components as text."""

    estimate: float
    low: float
    high: float
    fraction: float = math.nan
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Inequality:
    """One inequality of a claim in one cell: a quantity is below, or above, a bound.

    Attributes:
        part: the part of the claim it belongs to; "" for a claim with one part.
        cell_key: the cell.
        a, b: the labels of the compared methods, as in figures; "" if none.
        n_a, n_b: number of trainings (or settings, or pairs) of each.
        statistic: the name of the quantity.
        below: whether the claim is that the quantity is below the bound; else above.
        bound: in the unit of the quantity.
        measure: (level, corrected level) -> the interval at `level`, for a fraction of best scores that also has an
            interval at the corrected level, so that both measure the same quantity; None if there are too few
            trainings.
        show: formats the quantity.
    """

    part: str = ""
    cell_key: CellKey
    a: str = ""
    b: str = ""
    n_a: int
    n_b: int = 0
    statistic: str
    below: bool
    bound: float = 0.0
    measure: Callable[[float, float], Measurement | None]
    show: Callable[[float], str] = number


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper.

    Attributes:
        id: C1 to C20.
        statement: the claim.
        test: the test, in words.
        needs: the required data.
        paper: the paper's own result, with the source.
        inequalities: the inequalities of the claim in every cell that has the required methods.
        parts: names of parts; the claim can hold only if each part has an inequality with an interval.
    """

    id: str
    statement: str
    test: str
    needs: str
    paper: str
    inequalities: Callable[[ClaimData], list[Inequality]]
    parts: tuple[str, ...] = ("",)


def percent(value: float) -> str:
    """A share in per cent, with three digits.

    >>> percent(0.1234), percent(-0.5), percent(float("inf"))
    ('12.3 %', '-50 %', 'no score')
    """
    return f"{100 * value:.3g} %" if math.isfinite(value) else "no score"


def change(logarithm: float) -> str:
    """The logarithm of a ratio as a change in per cent.

    >>> change(math.log(1.1)), change(math.log(0.5))
    ('+10 %', '-50 %')
    """
    return f"{100 * math.expm1(logarithm):+.3g} %" if math.isfinite(logarithm) else "without bound"
