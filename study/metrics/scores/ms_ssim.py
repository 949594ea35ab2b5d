"""Diversity as the mean similarity (MS-SSIM) of pairs of generated images; lower is more diverse."""

import torch
import torch.nn.functional as F
from torch import Tensor

BATCHES, BATCH = 5, 64
IMAGES = BATCHES * BATCH
"""5 batches of 64 generated images, as in the study."""
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
FILTER, SIGMA, SMALLEST = 11, 1.5, 8
C1, C2 = 0.01**2, 0.03**2


def mean_similarity(images: Tensor) -> float:
    """Mean MS-SSIM of all pairs within each batch of 64 images, over up to 5 batches.

    Args:
        images: [N, C, H, W] in [0, 1], N >= 2. Images after the fifth batch are ignored; so is a last batch of
            fewer than 64 images, unless it is the only one. Differs from the released code of the study, which
            shuffles the generated images first; they are independent, so their order has no effect on the law.
    """
    batches = torch.split(images[:IMAGES], BATCH)
    whole = [batch for batch in batches if len(batch) == BATCH] or [batches[0]]
    return sum(float(pairwise(batch).mean()) for batch in whole) / len(whole)


def scale_weights(height: int, width: int) -> tuple[float, ...]:
    """The weights of the scales: the paper's five for 128 px and more, fewer if the next scale would be below 8 px."""
    count = 1
    while count < len(WEIGHTS) and min(height, width) >> count >= SMALLEST:
        count += 1
    return WEIGHTS if count == len(WEIGHTS) else tuple(weight / sum(WEIGHTS[:count]) for weight in WEIGHTS[:count])


def pairwise(images: Tensor) -> Tensor:
    """MS-SSIM of all pairs i < j of images [N, C, H, W] in [0, 1]: [N (N - 1) / 2] in [0, 1].

    Wang et al. 2003, equation 7, with its weights; Gaussian window of 11 px, sigma 1.5, K = (0.01, 0.03), scales by 2x2
    means, each channel separately. As in the study's released code, the window shrinks to the size of smaller images,
    and negative terms count as 0. Differs from that code: images below 128 px have fewer scales, with weights rescaled
    to sum to 1 (the code continues down to single pixels).
    """
    images = images.float()
    first, second = torch.triu_indices(len(images), len(images), 1, device=images.device)
    weights = scale_weights(*images.shape[2:])
    result = images.new_ones(len(first), images.shape[1])
    for scale, weight in enumerate(weights):
        if scale:
            images = _halve(images)
        ssim, structure = _compare(images, first, second)
        result = result * (ssim if scale == len(weights) - 1 else structure).relu() ** weight
    return result.mean(dim=1)


def _compare(images: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure part for the pairs, each the mean over positions, [pairs, C]."""
    down, across = (_window(size, images) for size in images.shape[2:])

    def blur(x: Tensor) -> Tensor:  # as a product with two banded matrices, which is faster than a convolution
        return down @ x @ across.T

    means, squares = blur(images), blur(images.square())
    parts = []
    for i, j in zip(torch.split(first, BATCH), torch.split(second, BATCH), strict=True):
        product, power = means[i] * means[j], means[i].square() + means[j].square()
        covariance = blur(images[i] * images[j]) - product
        structure = (2 * covariance + C2) / (squares[i] + squares[j] - power + C2)
        luminance = (2 * product + C1) / (power + C1)
        parts.append(((luminance * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))))
    return torch.cat([ssim for ssim, _ in parts]), torch.cat([structure for _, structure in parts])


def _window(size: int, like: Tensor) -> Tensor:
    """The Gaussian window at every position where it fits, [size - window + 1, size]; rows sum to 1."""
    window = min(FILTER, size)
    offsets = torch.arange(window, dtype=like.dtype, device=like.device) - (window - 1) / 2
    weights = (-offsets.square() / (2 * SIGMA**2)).softmax(dim=0)
    matrix = like.new_zeros(size - window + 1, size)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights
    return matrix


def _halve(images: Tensor) -> Tensor:
    """2x2 means; an odd last row or column is repeated first."""
    height, width = images.shape[2:]
    return F.avg_pool2d(F.pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)
