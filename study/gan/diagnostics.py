"""Diagnostics of the discriminator (D): singular values, gradient norms, accuracies, saturation.

They are computed only at checkpoints, on one batch of each kind of image, and have no effect on training.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from study.core.evaluation import Diagnostics
from study.gan.methods.losses import Loss
from study.gan.methods.penalties import interpolate
from study.gan.model import Gan, State
from study.gan.networks.discriminator import Critic, Parameters, image_gradients, layer_weights

FLAT = 0.01
"""A loss counts as saturated on an image if its derivative with respect to D's output is below this."""


class DiagnosticBatches(NamedTuple):
    """The inputs of the diagnostics.

    Attributes:
        train: images of the training split, [N, C, H, W] in [0, 1].
        test: images of the held-out split, of the same shape and range.
        latents: [N, latent_dim], in [-1, 1].
        places: interpolation weights between training and generated images, U[0, 1), [N, 1, 1, 1].
    """

    train: Tensor
    test: Tensor
    latents: Tensor
    places: Tensor


def diagnose(gan: Gan, state: State, batches: DiagnosticBatches, *, operator_norms: bool = False) -> Diagnostics:
    """Computes the diagnostics of a state.

    Operator norms need many power iterations, so they are computed only on request. The generated images use batch
    statistics, as D sees them in training.
    """
    critic = gan.critic(state.discriminator, state.vectors)
    fake, _ = gan.generate(state.generator, state.generator_buffers, batches.latents)
    norms, outputs = {}, {"test": critic(batches.test)}
    places = {"train": batches.train, "fake": fake, "between": interpolate(batches.train, fake, batches.places)}
    for name, images in places.items():
        gradients, outputs[name] = image_gradients(critic, images)
        norms[name] = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
    weights = gan.weights(state.discriminator, state.vectors)
    single = {
        **{f"gradient_norm_{name}": norm.mean() for name, norm in norms.items()},
        **{f"gradient_norm_{name}_max": norm.max() for name, norm in norms.items()},
        **accuracies(gan.loss.threshold, outputs),
        **flat_shares(gan.loss, state.loss, outputs),
        "extreme_pixels": ((fake < 0.5 / 255) | (fake > 1 - 0.5 / 255)).float().mean(),
    }
    # One transfer from the device for all numbers.
    numbers = torch.cat([torch.stack(list(single.values())).double(), sigmas(weights)]).tolist()
    singular = numbers[len(single) :]
    values: dict[str, float | list[float] | None] = {
        **dict(zip(single, numbers, strict=False)),
        "sigmas": singular,
        "sigma_product": math.prod(singular),
        "operator_norms": layer_operator_norms(gan.discriminator, weights, batches.train) if operator_norms else None,
    }
    finite: dict[str, Any] = {name: _finite(value) for name, value in values.items()}
    return Diagnostics(**finite)


def sigmas(weights: Parameters) -> Tensor:
    """The largest singular value of each layer's weight after normalization, kernels flattened to [out, in * h * w].

    Returns float64 [layers]; NaN for a weight that is not finite. Their product is not a bound on D's Lipschitz
    constant; see `operator_norm`.
    """
    matrices = (weights[name].flatten(1).double() for name in layer_weights(weights))
    return torch.stack([_sigma(matrix, matrix.isfinite().all()) for matrix in matrices])


def _sigma(matrix: Tensor, finite: Tensor) -> Tensor:
    return torch.where(finite, torch.linalg.matrix_norm(torch.where(finite, matrix, 0), 2), math.nan)


def operator_norm(layer: Critic, image: Tensor, iterations: int = 1000, tolerance: float = 1e-7) -> float:
    """The operator norm of a linear map from images to maps: its largest gain ||layer(x)|| / ||x||.

    Power iteration through the map and its transpose, starting at `image` [1, C, H, W], until the relative change of
    the estimate is at most `tolerance`. The operator norm of a convolution can exceed the singular value of its
    flattened kernel, by a factor of up to the square root of the number of taps: a 3x3 kernel with all entries 1/3 has
    sigma 1 and an operator norm near 3 (Tsuzuku et al., 2018, section 4).
    """
    norm = 0.0
    for _ in range(iterations):
        outputs, transposed, *_ = torch.func.vjp(layer, image / image.norm())
        previous, norm = norm, outputs.norm().item()
        if not math.isfinite(norm) or norm - previous <= tolerance * norm:
            break
        (image,) = transposed(outputs)
    return norm


def layer_operator_norms(network: nn.Module, weights: Parameters, images: Tensor) -> list[float]:
    """The operator norm of each layer of D at its input size, including its stride, padding and fused pooling."""
    inputs: dict[str, Tensor] = {}
    modules = {name: network.get_submodule(name.rpartition(".")[0]) for name in layer_weights(weights)}

    def record_input(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, arguments: inputs.update({name: arguments[0]})

    hooks = [module.register_forward_pre_hook(record_input(name)) for name, module in modules.items()]
    try:
        torch.func.functional_call(network, dict(weights), images)
    finally:
        for hook in hooks:
            hook.remove()

    def norm(name: str, module: nn.Module) -> float:
        values = {"weight": weights[name].double()}
        if module.bias is not None:
            values["bias"] = weights[name.removesuffix("weight") + "bias"].double() * 0
        start = torch.rand(inputs[name][:1].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return operator_norm(partial(torch.func.functional_call, module, values), start.to(images.device))

    return [norm(name, module) for name, module in modules.items()]


def accuracies(threshold: float | None, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The share of images of each kind that D classifies correctly, in [0, 1]; none for losses without a threshold."""
    if threshold is None:
        return {}
    correct = {name: outputs[name] > threshold for name in ("train", "test")} | {"fake": outputs["fake"] < threshold}
    return {f"accuracy_{name}": hits.float().mean() for name, hits in correct.items()}


def flat_shares(loss: Loss, state: tuple[Tensor, ...], outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The share of images on which each loss is saturated (its derivative is below FLAT), in [0, 1].

    The derivative is that of the image's own term of the loss, so that the shares are comparable between losses.
    """
    train, fake = outputs["train"], outputs["fake"]
    by_train, by_fake = torch.func.grad(lambda r, f: loss.discriminator(r, f, *state), argnums=(0, 1))(train, fake)
    by_generator = torch.func.grad(loss.generator)(fake)
    shares = {"flat_train": by_train, "flat_fake": by_fake, "flat_generator": by_generator}
    return {name: (d.abs() * len(d) < FLAT).float().mean() for name, d in shares.items()}


def _finite(value: float | list[float] | None) -> float | list[float] | None:
    """The value, or None if it is not finite or contains a number that is not finite."""
    numbers = value if isinstance(value, list) else [value]
    return value if all(number is not None and math.isfinite(number) for number in numbers) else None
