"""Losses: what discriminator (D) and generator (G) minimise, as functions of D's output.

D's output is [N], before any sigmoid. To add a loss, write it here and list it in LOSSES.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from study.gan.member import Member


@dataclass(frozen=True)
class Loss:
    """A pair of objectives.

    Attributes:
        discriminator: (output on real [N], output on fake [N]) -> scalar.
        generator: (output on fake [N]) -> scalar.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def non_saturating() -> Loss:
    """D: -log s(f(x)) - log(1 - s(f(x^))), G: -log s(f(x^)), s the sigmoid (Goodfellow et al., 2014, section 3)."""
    return Loss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake: softplus(-fake).mean(),
    )


LOSSES: dict[str, Member[Loss]] = {
    "non_saturating": Member(build=non_saturating, description="Goodfellow et al. 2014; the study's section 2.1"),
}
