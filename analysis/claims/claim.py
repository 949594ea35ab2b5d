"""What a claim of the paper is: inequalities that it asserts, each in one cell of the study."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from analysis.claims.cells import CellKey, ClaimData
from analysis.statistics.formatting import number

HOLDS, DOES_NOT_HOLD, NOT_RESOLVED, NOT_ENOUGH = "holds", "does not hold", "not resolved", "not enough data"
FOR, AGAINST = "for", "against"


class Measurement(NamedTuple):
    """A quantity with its interval; the share of the best that it is about, or NaN; what it is made of, in words."""

    estimate: float
    low: float
    high: float
    fraction: float = math.nan
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Inequality:
    """One inequality of a claim in one cell: that a quantity is below a bound, or above it.

    Attributes:
        part: which part of the claim it belongs to; a claim of one part has "".
        place: where.
        a, b: what is compared, in the labels of figures; "" where nothing is.
        n_a, n_b: trainings (or settings, pairs) behind each.
        statistic: the quantity, in words.
        below: whether the claim has it below the bound, or above.
        bound: in the quantity's unit.
        measure: (level, least level) -> its interval at `level`, of a share of the best that has an interval at the
            least level, too, so that both are about one quantity; None where the trainings are too few for any.
        show: how the quantity is written.
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
        id: as the house numbers them.
        statement: the claim.
        test: how it is tested.
        needs: the data without which it is not.
        paper: what the paper's own figures say, with the source.
        lines: the inequalities that it asserts, in every cell that has the methods for it.
        parts: each must have a line that can be tested for the claim to hold.
    """

    id: str
    statement: str
    test: str
    needs: str
    paper: str
    inequalities: Callable[[ClaimData], list[Inequality]]
    parts: tuple[str, ...] = ("",)


def percent(value: float) -> str:
    """A share as per cent, in three digits.

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
