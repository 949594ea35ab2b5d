"""Adam as a pure function of tensors, on one flat vector for all parameters of a network."""

from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.networks.layers import to_channels_last

EPSILON = 1e-8


class AdamState(NamedTuple):
    """First and second moments, [P] for P parameters in all, in the order of `flat`, and the number of updates so far.

    That is a float64 scalar.
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
) -> tuple[dict[str, Tensor], AdamState]:
    """One update (Kingma & Ba, 2015, algorithm 1), as torch.optim.Adam computes it.

    The settings are scalar tensors in float64, so that all settings share one program and 1 - beta keeps its digits.
    Differs from TensorFlow's Adam, which the study used: there epsilon is added before the bias correction.
    """
    gradient = torch.cat([flat(gradients[name]) for name in parameters])
    updates = state.updates + 1
    # What a result takes is written over where it is needed no more: large vectors wait for memory, not for arithmetic.
    first = (gradient - state.first).mul_(1 - beta1).add_(state.first)
    second = (beta2 * state.second).add_(gradient.mul_(gradient).mul_(1 - beta2))
    scale = learning_rate / (1 - beta1**updates)
    root = second.sqrt().div_(torch.sqrt(1 - beta2**updates)).add_(EPSILON)
    pieces = torch.split((scale * first).div_(root), [parameter.numel() for parameter in parameters.values()])
    moved = {
        name: parameter - shaped(piece, parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }
    return moved, AdamState(first, second, updates)


def flat(tensor: Tensor) -> Tensor:
    """All numbers of a tensor, kernels [out, in, h, w] in the order in which they lie: channels last."""
    return to_channels_last(tensor).flatten()


def shaped(numbers: Tensor, like: Tensor) -> Tensor:
    """The inverse of `flat`."""
    if like.ndim != 4:
        return numbers.view_as(like)
    outputs, inputs, height, width = like.shape
    return numbers.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
