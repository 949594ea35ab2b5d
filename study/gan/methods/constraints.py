"""Constraints: what is done to D's gradients or parameters at each of its updates.

They go with any penalty and normalisation; their values are options, never the penalty weight. To add one, write it
here and list it in CONSTRAINTS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.gan.member import Member, Option

Tensors = dict[str, Tensor]


def unchanged(tensors: Tensors) -> Tensors:
    """The tensors as they are."""
    return tensors


@dataclass(frozen=True)
class Constraint:
    """A map of D's gradients, by parameter, before the optimiser, and one of D's parameters after it."""

    gradients: Callable[[Tensors], Tensors] = unchanged
    parameters: Callable[[Tensors], Tensors] = unchanged


def weight_clipping(clip_value: float) -> Constraint:
    """Every parameter of D into [-c, c] after its update (Arjovsky et al., 2017, algorithm 1).

    All parameters, scales and offsets of normalisations included, as in that paper's code and in the released code.
    """
    return Constraint(
        parameters=lambda parameters: {n: p.clamp(-clip_value, clip_value) for n, p in parameters.items()}
    )


def gradient_clipping(clip_norm: float) -> Constraint:
    """D's gradient, all parameters as one vector, scaled to norm c where its norm exceeds c (Pascanu et al., 2013)."""

    def clipped(gradients: Tensors) -> Tensors:
        norm = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
        scale = (clip_norm / norm).clamp(max=1)
        return {name: gradient * scale for name, gradient in gradients.items()}

    return Constraint(gradients=clipped)


CONSTRAINTS: dict[str, Member[Constraint]] = {
    "weight_clipping": Member(
        build=weight_clipping,
        description="every parameter of D into [-c, c]; Arjovsky et al. 2017, algorithm 1; not in the study",
        options={"clip_value": Option(default=0.01, description="c, the largest magnitude of a parameter")},
    ),
    "gradient_clipping": Member(
        build=gradient_clipping,
        description="the norm of D's gradient at most c; Pascanu et al. 2013; not in the study",
        options={"clip_norm": Option(default=1.0, description="c, the largest norm of D's gradient")},
    ),
}
