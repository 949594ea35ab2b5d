"""Adam as a pure function of tensors, on one flat vector of all parameters of a network."""

from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.member import Option
from study.gan.networks.layers import flat, shaped

EPSILON = 1e-8
TORCH, TENSORFLOW = "torch", "tensorflow"
OPTIONS = {
    "adam_epsilon": Option(
        default=TORCH,
        choices=(TORCH, TENSORFLOW),
        description="add Adam's epsilon after the bias correction, as PyTorch does, or before, as the study's code did",
    )
}
"""The options of the optimizer, which every method has."""


class AdamState(NamedTuple):
    """The state of Adam for a network with P parameters.

    Attributes:
        first, second: the moments, [P], in the order of `flat`.
        updates: number of updates so far, a float64 scalar.
    """

    first: Tensor
    second: Tensor
    updates: Tensor


def adam_state(parameters: dict[str, Tensor]) -> AdamState:
    """The state before the first update."""
    first_parameter = next(iter(parameters.values()))
    zeros = first_parameter.new_zeros(sum(parameter.numel() for parameter in parameters.values()))
    return AdamState(zeros, zeros.clone(), torch.zeros((), dtype=torch.float64, device=first_parameter.device))


def adam(
    parameters: dict[str, Tensor],
    gradients: dict[str, Tensor],
    state: AdamState,
    learning_rate: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    epsilon: str = TORCH,
) -> tuple[dict[str, Tensor], AdamState]:
    """One update (Kingma & Ba, 2015, algorithm 1), computed as torch.optim.Adam does.

    The hyperparameters are float64 scalar tensors: all trials of a cell share one program, and 1 - beta loses no
    digits. Differs from TensorFlow's Adam, which the study used, unless `epsilon` is TENSORFLOW: there epsilon is added
    before the bias correction (the end of their section 2), so that it counts more in the first updates.
    """
    gradient = torch.cat([flat(gradients[name]) for name in parameters])
    updates = state.updates + 1
    # In place where a value is no longer needed: memory bandwidth, not arithmetic, limits the speed on large vectors.
    first = (gradient - state.first).mul_(1 - beta1).add_(state.first)
    second = (beta2 * state.second).add_(gradient.mul_(gradient).mul_(1 - beta2))
    scale = learning_rate / (1 - beta1**updates)
    root, correction = second.sqrt(), torch.sqrt(1 - beta2**updates)
    root = root.add_(EPSILON).div_(correction) if epsilon == TENSORFLOW else root.div_(correction).add_(EPSILON)
    pieces = torch.split((scale * first).div_(root), [parameter.numel() for parameter in parameters.values()])
    updated = {
        name: parameter - shaped(piece, parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }
    return updated, AdamState(first, second, updates)
