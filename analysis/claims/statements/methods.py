"""Claims about which method scores lower: medians of the best few per cent, at equal numbers of trainings."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from analysis.claims.cells import BN, GP1, GP5, L2, LS, NONE, NS, SN, Cell, CellKey, ClaimData, label
from analysis.claims.claim import Claim, Inequality, Measurement
from analysis.claims.quantities import QuantityEstimate, level_per_term, quantile_sum
from analysis.frames.methods.compare import expected_top_median
from analysis.statistics.formatting import number
from analysis.statistics.intervals import Array, resolved_fraction

TEST = (
    "medians of the best of equal numbers of trainings, intervals by order statistics, on each dataset, "
    "architecture and loss"
)


class Term(NamedTuple):
    """A factor times the median of the best scores of a pool, with its name."""

    name: str
    factor: float
    scores: Array


def weighted_inequality(
    cell_key: CellKey, terms: Sequence[Term], fraction: float, *, statistic: str, below: bool, part: str = ""
) -> Inequality:
    """The inequality that a sum of terms is below 0, or above.

    Args:
        cell_key, statistic, below, part: of the inequality.
        terms: the first is a, the others are b.
        fraction: the fraction of best scores; the smallest larger one that all pools resolve is used.
    """
    first, *others = terms
    budget = min(len(term.scores) for term in terms)

    def measure(level: float, least: float) -> Measurement | None:
        used = resolved_fraction(budget, fraction, level_per_term(least, len(terms)))
        if used is None:
            return None
        medians = [expected_top_median(term.scores, used, budget) for term in terms]
        words = ", ".join(f"{term.name} {number(one)}" for term, one in zip(terms, medians, strict=True))
        return Measurement(*weighted_sum(terms, medians, used, level), used, words)

    return Inequality(
        cell_key=cell_key,
        part=part,
        a=first.name,
        b=", ".join(term.name for term in others),
        n_a=len(first.scores),
        n_b=sum(len(term.scores) for term in others),
        statistic=statistic,
        below=below,
        measure=measure,
    )


def weighted_sum(terms: Sequence[Term], medians: Sequence[float], fraction: float, level: float) -> QuantityEstimate:
    """The sum of the terms, with the interval of the quantiles at fraction / 2, as `compare_scores`."""
    quantiles = [(term.factor, term.scores, fraction / 2) for term in terms]
    value = sum(
        term.factor * median if math.isfinite(median) else math.nan for term, median in zip(terms, medians, strict=True)
    )
    return quantile_sum(quantiles, level, value)


def difference(cell: Cell, a: str, b: str, fraction: float, *, below: bool, part: str = "") -> list[Inequality]:
    """The inequality m(a) < m(b) or m(a) > m(b); none if the cell does not have both methods."""
    if a not in cell.pools or b not in cell.pools:
        return []
    terms = [Term(label(a), 1, cell.pools[a]), Term(label(b), -1, cell.pools[b])]
    statistic = f"{label(a)} - {label(b)}"
    return [weighted_inequality(cell.cell_key, terms, fraction, statistic=statistic, below=below, part=part)]


def _pairs(data: ClaimData, a: str, b: str, *losses: str, below: bool) -> list[Inequality]:
    fraction = data.rows.fraction
    return [
        inequality for cell in data.of_loss(*losses) for inequality in difference(cell, a, b, fraction, below=below)
    ]


C1 = Claim(
    id="C1",
    statement="Spectral norm beats no normalisation, on every dataset, architecture and loss.",
    test=f"m(SN) < m(W/O), losses NS and LS; {TEST}.",
    needs="trainings of none and spectral_norm under non_saturating or least_squares",
    paper="Holds in all 10 plotted pairs (Figures 1 to 3).",
    inequalities=lambda data: _pairs(data, SN, NONE, NS, LS, below=True),
)
C2 = Claim(
    id="C2",
    statement="Batch norm in the discriminator hurts.",
    test=f"m(BN) > m(W/O), loss NS; {TEST}.",
    needs="trainings of none and batch_norm under non_saturating",
    paper="Holds: 50.3 against 40.9 on CelebA-HQ, 166 against 136 on LSUN (Figure 1, read off).",
    inequalities=lambda data: _pairs(data, BN, NONE, below=False),
)
C4 = Claim(
    id="C4",
    statement="The gradient penalty profits from five discriminator updates per generator update.",
    test=f"m(GP 5) < m(GP), loss NS, n_dis 5 and 1; {TEST}.",
    needs="trainings of gradient_penalty with n_dis 1 and with n_dis 5 under non_saturating",
    paper="Holds for ResNet19; reverses for SNDCGAN: 43 against 31.5 and 135 against 72 (Figures 1 and 3, read off).",
    inequalities=lambda data: _pairs(data, GP5, GP1, below=True),
)
C11 = Claim(
    id="C11",
    statement="L2 regularisation gives no gain.",
    test=f"m(L2) > m(W/O), loss NS; {TEST}. Equal medians stay unresolved.",
    needs="trainings of none and l2 under non_saturating",
    paper="Holds: 47.2 against 40.9 and 142 against 136 (Figure 1, read off); the wording is ours.",
    inequalities=lambda data: _pairs(data, L2, NONE, below=False),
)
