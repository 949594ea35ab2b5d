"""Constraints: limits on D's gradients or parameters, applied at each of its updates.

They combine with any penalty and normalization; their values are options, never the penalty weight. To add a
constraint, write it here and list it in CONSTRAINTS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from study.gan.member import Member, Option

Tensors = dict[str, Tensor]


def unchanged(tensors: Tensors) -> Tensors:
    """Returns its argument."""
    return tensors


@dataclass(frozen=True)
class Constraint:
    """A map of D's gradients before the optimizer, and a map of D's parameters after it.

    Attributes:
        gradients: gradients by parameter name -> gradients.
        parameters: parameters by name -> parameters.
    """

    gradients: Callable[[Tensors], Tensors] = unchanged
    parameters: Callable[[Tensors], Tensors] = unchanged


def weight_clipping(clip_value: float) -> Constraint:
    """Clips every parameter of D to [-c, c] after its update (Arjovsky et al., 2017, algorithm 1).

    All parameters, including scales and offsets of normalizations, as in that paper's code and in the released code of
    the study.
    """
    return Constraint(
        parameters=lambda parameters: {n: p.clamp(-clip_value, clip_value) for n, p in parameters.items()}
    )


def gradient_clipping(clip_norm: float) -> Constraint:
    """Scales D's gradient (all parameters as one vector) to norm c if its norm exceeds c (Pascanu et al., 2013)."""

    def clip(gradients: Tensors) -> Tensors:
        norm = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
        scale = (clip_norm / norm).clamp(max=1)
        return {name: gradient * scale for name, gradient in gradients.items()}

    return Constraint(gradients=clip)


CONSTRAINTS: dict[str, Member[Constraint]] = {
    "weight_clipping": Member(
        build=weight_clipping,
        description="clip every parameter of D to [-c, c]; Arjovsky et al. 2017, algorithm 1; not in the study",
        options={"clip_value": Option(default=0.01, description="c, the maximum absolute value of a parameter")},
    ),
    "gradient_clipping": Member(
        build=gradient_clipping,
        description="limit the norm of D's gradient to c; Pascanu et al. 2013; not in the study",
        options={"clip_norm": Option(default=1.0, description="c, the maximum norm of D's gradient")},
    ),
}
