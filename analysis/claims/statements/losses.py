"""Claims across losses, architectures and combinations, by the medians of the best few per cent."""

import itertools
import math

import numpy as np
import pandas as pd
from scipy import stats

from analysis.claims.cells import GP, GP5, HINGE, LN, LS, NONE, NS, SN, WGAN, Cell, CellKey, ClaimData, label
from analysis.claims.claim import Claim, Inequality, Measurement
from analysis.claims.quantities import largest, level_per_term
from analysis.claims.statements.methods import TEST, Term, difference, weighted_inequality, weighted_sum
from analysis.frames.methods.compare import expected_top_median
from analysis.rows.scores import SETTING
from analysis.statistics.formatting import number
from analysis.statistics.intervals import resolved_fraction

MARGINAL = 0.1
"""A gain of less than a tenth is marginal; the paper gives no number."""
LEAST_SETTINGS = 3
"""Minimum number of settings with several seeds, to estimate the noise between seeds."""


def _losses(data: ClaimData) -> list[Inequality]:
    """For the boxes of Figure 2: SN gains under other losses too, and LS with GP5 is worst, so no box of NS is."""
    fraction, inequalities = data.rows.fraction, []
    places = {cell.across_losses for cell in data.of_loss()}
    cells = [cell for cell in data.of_loss(NS, LS, WGAN) if cell.across_losses in places]
    for cell in (cell for cell in cells if cell.cell_key.loss != NS):
        inequalities += difference(cell, SN, NONE, fraction, below=True, part="SN gains under other losses")
    for cell, other in itertools.product(cells, cells):
        if cell.cell_key.loss == LS and GP5 in cell.pools and cell.across_losses == other.across_losses:
            for variant in (NONE, SN, GP5):
                if variant in other.pools and (variant, other.cell_key.loss) != (GP5, LS):
                    inequalities.append(_worst(cell, other, variant, fraction))
    return inequalities


def _worst(cell: Cell, other: Cell, variant: str, fraction: float) -> Inequality:
    """LS with GP5 scores higher than a variant under another loss."""
    own, name = (f"{loss_label(loss)} {label(box)}" for loss, box in ((LS, GP5), (other.cell_key.loss, variant)))
    terms = [Term(own, 1, cell.pools[GP5]), Term(name, -1, other.pools[variant])]
    part, cell_key = "LS with GP5 is worst", cell.across_losses
    return weighted_inequality(cell_key, terms, fraction, statistic=f"{own} - {name}", below=False, part=part)


def loss_label(loss: str) -> str:
    """The paper's abbreviation of a loss.

    >>> loss_label("non_saturating"), loss_label("least_squares")
    ('NS', 'LS')
    """
    return "NS" if loss == NS else label(loss)


def _architectures(data: ClaimData) -> list[Inequality]:
    """Each architecture gains from SN, and the gap between two with SN is below either gain.

    |s1 - s2| < min(w1 - s1, w2 - s2) is s1 < w2, s2 < w1, 2 s1 < s2 + w1 and 2 s2 < s1 + w2.
    """
    fraction, inequalities = data.rows.fraction, []
    cells = [cell for cell in data.of_loss() if NONE in cell.pools and SN in cell.pools]
    for one, two in itertools.permutations(cells, 2):
        if one.cell_key._replace(architecture="") != two.cell_key._replace(architecture=""):
            continue
        cell_key = one.cell_key._replace(architecture="")
        s1, w1, s2, w2 = (
            Term(f"{cell.cell_key.architecture} {label(variant)}", 1, cell.pools[variant])
            for cell in (one, two)
            for variant in (SN, NONE)
        )
        inequalities += difference(one, SN, NONE, fraction, below=True, part="both gain")
        for terms in (
            [s1, w2._replace(factor=-1)],
            [s1._replace(factor=2), *(t._replace(factor=-1) for t in (s2, w1))],
        ):
            statistic = " - ".join(("2 " if term.factor == 2 else "") + term.name for term in terms)
            inequalities.append(
                weighted_inequality(
                    cell_key, terms, fraction, statistic=statistic, below=True, part="gap below the gains"
                )
            )
    return inequalities


def _combinations(data: ClaimData) -> list[Inequality]:
    fraction, inequalities = data.rows.fraction, []
    for cell, single in itertools.product(data.of_loss(), (SN, LN)):
        pair = f"{single}+{GP}"
        inequalities += difference(cell, pair, NONE, fraction, below=True, part="improves on none")
        singles = [variant for variant in (SN, LN, GP) if variant in cell.pools]
        if pair in cell.pools and singles:
            inequalities.append(_marginal(cell, pair, singles, fraction))
    return inequalities


def _marginal(cell: Cell, pair: str, singles: list[str], fraction: float) -> Inequality:
    """The pair is above 0.9 of the best single method: the largest difference from a single method is above 0."""
    scores = cell.pools[pair]
    budget = min(len(cell.pools[variant]) for variant in (pair, *singles))

    def measure(level: float, least: float) -> Measurement | None:
        each, corrected = (1 - (1 - one) / len(singles) for one in (level, least))
        used = resolved_fraction(budget, fraction, level_per_term(corrected))
        if used is None:
            return None
        own, *others = terms = [
            Term(label(variant), 1 if variant == pair else MARGINAL - 1, cell.pools[variant])
            for variant in (pair, *singles)
        ]
        own_median, *medians = result = [expected_top_median(term.scores, used, budget) for term in terms]
        sums = [
            weighted_sum([own, other], [own_median, median], used, each)
            for other, median in zip(others, medians, strict=True)
        ]
        words = [f"{term.name} {number(median)}" for term, median in zip(terms, result, strict=True)]
        return Measurement(*largest(sums), used, ", ".join(words))

    return Inequality(
        cell_key=cell.cell_key,
        part="gain is marginal",
        a=label(pair),
        b=", ".join(map(label, singles)),
        n_a=len(scores),
        n_b=sum(len(cell.pools[variant]) for variant in singles),
        statistic=f"{label(pair)} - {1 - MARGINAL:g} of the best single method",
        below=False,
        measure=measure,
    )


def _hinge(data: ClaimData) -> list[Inequality]:
    """Equivalence: m(hinge) within the factor exp(2 s) of m(NS), where s is the spread of log scores over seeds."""
    fraction, inequalities = data.rows.fraction, []
    if not data.of_loss(HINGE):
        return []
    noise = _seed_noise(data.trainings)
    others = {cell.across_losses: cell for cell in data.of_loss()}
    for cell in data.of_loss(HINGE):
        if (other := others.get(cell.across_losses)) is None:
            continue
        for variant in (NONE, SN, GP):
            observed = noise[(noise["cell_key"] == cell.across_losses) & (noise["variant"] == variant)]["variance"]
            if variant in cell.pools and variant in other.pools and len(observed) >= LEAST_SETTINGS:
                factor = math.exp(2 * math.sqrt(observed.median()))
                inequalities += _within(cell, other, variant, factor, fraction)
    return inequalities


def _within(cell: Cell, other: Cell, variant: str, factor: float, fraction: float) -> list[Inequality]:
    names = [f"{loss} {label(variant)}" for loss in (HINGE, "NS")]
    own = Term(names[0], 1, cell.pools[variant])
    return [
        weighted_inequality(
            cell.across_losses,
            [own, Term(names[1], -times, other.pools[variant])],
            fraction,
            statistic=f"{names[0]} - {times:.3g} {names[1]}",
            below=below,
            part="not higher" if below else "not lower",
        )
        for times, below in ((factor, True), (1 / factor, False))
    ]


def _seed_noise(trainings: pd.DataFrame) -> pd.DataFrame:
    """By setting under NS or hinge with two seeds or more: cell_key, variant and variance of the log score.

    Variances are divided by the median of their distribution for normal scores, so that their median is unbiased for
    few seeds.
    """
    rows = trainings[trainings["loss"].isin([NS, HINGE]) & (trainings["score"] > 0) & trainings["variant"].notna()]
    groups = rows.assign(log=np.log(rows["score"])).groupby([*SETTING, "training", "variant"], dropna=False)["log"]
    result = groups.agg(["var", "count"]).dropna().reset_index()
    freedom = result["count"] - 1
    result["variance"] = result["var"] / (stats.chi2.median(freedom) / freedom)
    places = [
        CellKey(*names) for names in zip(result["dataset"], result["architecture"], result["training"], strict=True)
    ]
    return result.assign(cell_key=pd.Series(places, index=result.index, dtype=object))


C8 = Claim(
    id="C8",
    statement="Findings carry over losses: spectral norm gains under others, too; LS with GP5 is worst, and NS never.",
    test=f"m(SN) < m(W/O) under LS and WGAN; m(LS GP5) > m(none, SN, GP5 under NS, LS, WGAN); {TEST}.",
    needs="trainings of none, spectral_norm and gradient_penalty (n_dis 5) under non_saturating and least_squares",
    paper="Holds; LS with SN is best on LSUN, 30 (Figure 2, read off).",
    inequalities=_losses,
    parts=("SN gains under other losses", "LS with GP5 is worst"),
)
C9 = Claim(
    id="C9",
    statement="Both architectures gain from spectral norm, and with it they differ by less than either gains.",
    test=f"m(SN) < m(W/O) in each, and |m1(SN) - m2(SN)| below the smaller gain, loss NS; {TEST}.",
    needs="trainings of none and spectral_norm under non_saturating with two architectures on one dataset",
    paper="29.1 and 33.4 on CelebA-HQ, 55.5 and 45 on LSUN, of SNDCGAN and ResNet19 (Figure 3, read off).",
    inequalities=_architectures,
    parts=("both gain", "gap below the gains"),
)
C10 = Claim(
    id="C10",
    statement="GP with SN or LN improves on no normalisation, and gains little over the best single method.",
    test=f"m(SN+GP), m(LN+GP) < m(W/O), and above {1 - MARGINAL:g} of the least of m(SN), m(LN), m(GP); {TEST}.",
    needs="trainings of none, spectral_norm, layer_norm, gradient_penalty and the pairs under non_saturating",
    paper="Holds with n_dis 5 only: no pair beats SN alone, 33.8 and 41.5 (Figure 4, read off at low resolution).",
    inequalities=_combinations,
    parts=("improves on none", "gain is marginal"),
)
C15 = Claim(
    id="C15",
    statement="The hinge loss scores as the non-saturating loss does.",
    test=f"m(hinge) within the factor exp(2 s) of m(NS), s the typical spread of log scores over seeds; {TEST}.",
    needs=f"trainings under hinge and non_saturating, {LEAST_SETTINGS} settings or more with two seeds",
    paper="Unverified: appendix A was not at hand.",
    inequalities=_hinge,
    parts=("not higher", "not lower"),
)
