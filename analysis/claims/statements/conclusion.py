"""The paper's conclusion, which follows from other claims."""

from dataclasses import replace

from analysis.claims.cells import ClaimData
from analysis.claims.claim import Claim, Inequality
from analysis.claims.statements.losses import C10
from analysis.claims.statements.methods import C1
from analysis.claims.statements.repeats import C7
from analysis.claims.statements.tuning import C5

GROUNDS = (C1, C5, C7, C10)


def _grounds(data: ClaimData) -> list[Inequality]:
    """The inequalities of all claims that it follows from."""
    return [
        replace(inequality, part=_part(claim, inequality.part))
        for claim in GROUNDS
        for inequality in claim.inequalities(data)
    ]


def _part(claim: Claim, part: str) -> str:
    return f"{claim.id} {part}".strip()


C16 = Claim(
    id="C16",
    statement="Start from the non-saturating loss with spectral norm; with more compute add GP and train longer.",
    test="Follows from C1, C5, C7 and C10: all their comparisons, corrected together.",
    needs="what C1, C5, C7 and C10 need",
    paper="The conclusion (section 6).",
    inequalities=_grounds,
    parts=tuple(_part(claim, part) for claim in GROUNDS for part in claim.parts),
)
