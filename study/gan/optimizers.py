"""Adam as a pure function of tensors, on one flat vector for all parameters of a network."""

from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-8


class AdamState(NamedTuple):
    """First and second moments, [P] for P parameters in all, and the number of updates so far (float64 scalar)."""

    first: Tensor
    second: Tensor
    updates: Tensor


def adam_state(parameters: dict[str, Tensor]) -> AdamState:
    """The state before the first update."""
    some = next(iter(parameters.values()))
    zeros = some.new_zeros(sum(parameter.numel() for parameter in parameters.values()))
    return AdamState(zeros, zeros.clone(), torch.zeros((), dtype=torch.float64, device=some.device))


def adam(
    parameters: dict[str, Tensor],
    gradients: dict[str, Tensor],
    state: AdamState,
    learning_rate: Tensor,
    beta1: Tensor,
    beta2: Tensor,
) -> tuple[dict[str, Tensor], AdamState]:
    """One update (Kingma & Ba, 2015, algorithm 1), as torch.optim.Adam computes it.

    The settings are scalar tensors in float64, so that all settings share one program and 1 - beta keeps its digits.
    Differs from TensorFlow's Adam, which the study used: there epsilon is added before the bias correction.
    """
    flat = torch.cat([gradients[name].flatten() for name in parameters])
    updates = state.updates + 1
    first = state.first + (1 - beta1) * (flat - state.first)
    second = beta2 * state.second + (1 - beta2) * flat.square()
    scale = learning_rate / (1 - beta1**updates)
    change = scale * first / (second.sqrt() / torch.sqrt(1 - beta2**updates) + EPSILON)
    pieces = change.split([parameter.numel() for parameter in parameters.values()])
    moved = {
        name: parameter - piece.view_as(parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }
    return moved, AdamState(first, second, updates)
