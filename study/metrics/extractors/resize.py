"""TensorFlow 1's bilinear resize, with which the published extractors were fed."""

import torch
from torch import Tensor


def resize(images: Tensor, size: int) -> Tensor:
    """Images [N, C, H, W] brought to [N, C, size, size] as `tf.image.resize_bilinear` did by default.

    Pixel i of n is taken from place i * n / size of the source (align_corners False, no half-pixel centres), between
    its two neighbours, without antialiasing. Two small matrix products: quicker than gathering the neighbours.
    """
    down, across = (_matrix(n, size, images) for n in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):  # whatever the features are computed in
        return down @ images @ across.T


def _matrix(n: int, size: int, like: Tensor) -> Tensor:
    """The weights [size, n] with which n pixels make size ones; rows sum to 1."""
    place = torch.arange(size, dtype=torch.float32, device=like.device) * torch.tensor(n / size, dtype=torch.float32)
    low = place.long()
    share = place - low
    rows = torch.arange(size, device=like.device)
    matrix = torch.zeros(size, n, device=like.device)  # made there: a copy would wait for the device
    matrix.index_put_((rows, low), 1 - share, accumulate=True)
    matrix.index_put_((rows, (low + 1).clamp_max(n - 1)), share, accumulate=True)
    return matrix.to(like)
