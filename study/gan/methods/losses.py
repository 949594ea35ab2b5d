"""Losses of the discriminator (D) and the generator (G), as functions of D's output f.

D's output is [N], before any sigmoid s; x is a real image and x^ a generated one. To add a loss, write it here and list
it in LOSSES.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from study.gan.member import Member, Option
from study.gan.networks.autoencoder import AutoEncoder


@dataclass(frozen=True)
class Loss:
    """A pair of objectives, both minimized.

    Attributes:
        discriminator: (outputs on real images [N], outputs on generated images [N], *state) -> scalar.
        generator: (outputs on generated images [N]) -> scalar.
        threshold: D classifies an image as real if its output is above this; None if the output is not a
            classification.
        state: initial values of the scalars that the loss keeps between D updates.
        advance: (outputs on real images, outputs on generated images, *state) -> state after a D update.
        network: makes D, with the arguments of `Architecture.discriminator`, if the loss needs its own network.
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

    The loss itself does not bound D: add a penalty or a normalization, as the study did, or weight_clipping.
    """
    return Loss(
        discriminator=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda fake: -fake.mean(),
        threshold=None,
    )


def least_squares(real_valued: bool) -> Loss:
    """D: ((d(x) - 1)^2 + d(x^)^2) / 2, G: (d(x^) - 1)^2 / 2 (Mao et al., 2017, equation 9).

    Differs from that paper: d = s(f), a sigmoid, because the released code of the study used it. With `real_valued`, d
    = f, as in the papers; the formula in section 2.1 of the study has reversed signs.
    """

    def decision(outputs: Tensor) -> Tensor:
        return outputs if real_valued else outputs.sigmoid()

    return Loss(
        discriminator=lambda real, fake: ((decision(real) - 1).square().mean() + decision(fake).square().mean()) / 2,
        generator=lambda fake: (decision(fake) - 1).square().mean() / 2,
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

    D is an autoencoder, and its output L is the reconstruction error. k starts at 0; after each D update it becomes k +
    lambda (gamma L(x) - L(x^)), clipped to [0, 1]. Differs from the released code, which updates k after both networks
    and does not clip it: here k is updated with the losses of the D update, which needs no further pass.
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
        build=non_saturating,
        description="logistic loss, G maximizes log D; Goodfellow et al. 2014; section 2.1 of the study",
    ),
    "minimax": Member(
        build=minimax,
        description="logistic loss, G minimizes log(1 - D); Goodfellow et al. 2014, equation 1; not in the study",
    ),
    "wasserstein": Member(
        build=wasserstein, description="difference of D's mean outputs; Arjovsky et al. 2017; section 2.1 of the study"
    ),
    "least_squares": Member(
        build=least_squares,
        description="squared error of D's sigmoid, as in the study's code; Mao et al. 2017; section 2.1 of the study",
        options={
            "real_valued": Option(default=False, description="use D's output without the sigmoid, as in the papers")
        },
    ),
    "hinge": Member(
        build=hinge,
        description="hinge loss with margin 1; Miyato et al. 2018, equations 16 and 17; appendix of the study",
    ),
    "began": Member(
        build=began,
        description="D is an autoencoder, its output the reconstruction error; Berthelot et al. 2017; not in the study",
        options={
            "began_gamma": Option(
                default=0.75,
                description="gamma, target ratio of the reconstruction errors L(generated) / L(real)",
                at_most=1,
            ),
            "began_lambda": Option(default=0.001, description="lambda, learning rate of the balance k"),
        },
    ),
}
