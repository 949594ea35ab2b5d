"""Losses: what discriminator (D) and generator (G) minimise, as functions of D's output.

D's output is [N], before any sigmoid s. To add a loss, write it here and list it in LOSSES.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from study.gan.member import Member, Option
from study.gan.networks.autoencoder import AutoEncoder


@dataclass(frozen=True)
class Loss:
    """A pair of objectives.

    Attributes:
        discriminator: (output on real [N], output on fake [N], *state) -> scalar.
        generator: (output on fake [N]) -> scalar.
        threshold: the output above which D takes an image for real; None where its output is no such judgement.
        state: initial values of the scalars that the loss keeps from one D update to the next.
        advance: (output on real, output on fake, *state) -> state after a D update.
        network: D, as `Architecture.discriminator` makes it, where it is not the architecture's.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[[Tensor], Tensor]
    threshold: float | None = 0.0
    state: tuple[float, ...] = ()
    advance: Callable[..., tuple[Tensor, ...]] = lambda real, fake: ()
    network: Callable[..., nn.Module] | None = None


def non_saturating() -> Loss:
    """D: -log s(f(x)) - log(1 - s(f(x^))), G: -log s(f(x^)) (Goodfellow et al., 2014, section 3)."""
    return Loss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake: softplus(-fake).mean(),
    )


def minimax() -> Loss:
    """D as in non_saturating, G: log(1 - s(f(x^))) (Goodfellow et al., 2014, equation 1)."""
    return Loss(non_saturating().discriminator, generator=lambda fake: -softplus(fake).mean())


def wasserstein() -> Loss:
    """D: f(x^) - f(x), G: -f(x^) (Arjovsky et al., 2017, equations 2 and 3).

    It bounds D by nothing: add a penalty, a normalisation or weight_clipping, as the study did with the first two.
    """
    return Loss(
        discriminator=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda fake: -fake.mean(),
        threshold=None,
    )


def least_squares(real_valued: bool) -> Loss:
    """D: ((d(x) - 1)^2 + d(x^)^2) / 2, G: (d(x^) - 1)^2 / 2 (Mao et al., 2017, equation 9).

    Differs from that paper: d = s(f), a sigmoid, because the released code of the study ran it so. With `real_valued`
    it is d = f, as in the papers; there the study's section 2.1 has its signs turned round.
    """

    def judged(outputs: Tensor) -> Tensor:
        return outputs if real_valued else outputs.sigmoid()

    return Loss(
        discriminator=lambda real, fake: ((judged(real) - 1).square().mean() + judged(fake).square().mean()) / 2,
        generator=lambda fake: (judged(fake) - 1).square().mean() / 2,
        threshold=0.5 if real_valued else 0.0,
    )


def hinge() -> Loss:
    """D: max(0, 1 - f(x)) + max(0, 1 + f(x^)), G: -f(x^) (Miyato et al., 2018, equations 16 and 17)."""
    return Loss(
        discriminator=lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        generator=lambda fake: -fake.mean(),
    )


def began(began_gamma: float, began_lambda: float) -> Loss:
    """D: L(x) - k L(x^), G: L(x^) (Berthelot et al., 2017, section 3.4).

    D is an auto-encoder, its output L the error of reconstruction; k starts at 0, and after each D update it is
    k + lambda (gamma L(x) - L(x^)), held in [0, 1]. Differs from the released code: there
    k moves after both networks have, and is not held in [0, 1]; here it moves on the losses of the D update itself,
    which takes no further pass.
    """
    return Loss(
        discriminator=lambda real, fake, k: real.mean() - k * fake.mean(),
        generator=lambda fake: fake.mean(),
        threshold=None,
        state=(0.0,),
        advance=lambda real, fake, k: ((k + began_lambda * (began_gamma * real.mean() - fake.mean())).clamp(0, 1),),
        network=AutoEncoder,
    )


LOSSES: dict[str, Member[Loss]] = {
    "non_saturating": Member(
        build=non_saturating, description="logistic, G maximises log D; Goodfellow et al. 2014; the study's section 2.1"
    ),
    "minimax": Member(
        build=minimax,
        description="logistic, G minimises log(1 - D); Goodfellow et al. 2014, equation 1; not in the study",
    ),
    "wasserstein": Member(
        build=wasserstein, description="D's output itself; Arjovsky et al. 2017; the study's section 2.1"
    ),
    "least_squares": Member(
        build=least_squares,
        description="on D's sigmoid, as the study's code ran it; Mao et al. 2017; the study's section 2.1",
        options={"real_valued": Option(default=False, description="on D's output itself, as in the papers")},
    ),
    "hinge": Member(
        build=hinge, description="margins of 1; Miyato et al. 2018, equations 16 and 17; the study's appendix"
    ),
    "began": Member(
        build=began,
        description="D is an auto-encoder; Berthelot et al. 2017; not in the study",
        options={
            "began_gamma": Option(default=0.75, description="the ratio L(x^) / L(x) that k aims at", at_most=1),
            "began_lambda": Option(default=0.001, description="how fast k moves"),
        },
    ),
}
