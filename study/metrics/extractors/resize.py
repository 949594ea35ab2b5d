"""The bilinear resize of TensorFlow 1, which the published extractors were used with."""

import torch
from torch import Tensor


def resize(images: Tensor, size: int) -> Tensor:
    """Images [N, C, H, W] resized to [N, C, size, size], as `tf.image.resize_bilinear` does by default.

    Output pixel i is interpolated at position i * n / size of the n input pixels (align_corners False, no half-pixel
    centres), without antialiasing. Computed as two small matrix products, which is faster than gathering neighbours.
    """
    down, across = (_matrix(n, size, images) for n in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):  # in every precision of the features
        return down @ images @ across.T


def _matrix(n: int, size: int, like: Tensor) -> Tensor:
    """The interpolation weights [size, n] from n pixels to `size` pixels; rows sum to 1."""
    position = torch.arange(size, dtype=torch.float32, device=like.device) * torch.tensor(n / size, dtype=torch.float32)
    low = position.long()
    share = position - low
    rows = torch.arange(size, device=like.device)
    matrix = torch.zeros(size, n, device=like.device)  # created on the device, since a copy would wait for it
    matrix.index_put_((rows, low), 1 - share, accumulate=True)
    matrix.index_put_((rows, (low + 1).clamp_max(n - 1)), share, accumulate=True)
    return matrix.to(like)
