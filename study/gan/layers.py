"""Convolutions that leave out the taps of their kernel that only ever see padding."""

from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d for square kernels and maps, without the taps that only see padding.

    On a map of 1 px a 3x3 kernel with padding 1 is its centre, on one of 2 px a 4x4 kernel of stride 2 its inner 2x2.
    """

    def forward(self, maps: Tensor) -> Tensor:
        (kernel, _), (stride, _), (padding, _) = self.kernel_size, self.stride, self.padding
        size = maps.shape[-1]
        outputs = (size + 2 * padding - kernel) // stride + 1
        unseen = max(0, padding - (outputs - 1) * stride)
        taps = slice(unseen, min(kernel, size + padding))
        return conv2d(maps, self.weight[:, :, taps, taps], self.bias, stride, padding - unseen)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d for square kernels and maps, without the taps whose products are all cropped away."""

    def forward(self, maps: Tensor) -> Tensor:
        (kernel, _), (stride, _), (padding, _) = self.kernel_size, self.stride, self.padding
        unseen = max(0, padding - (maps.shape[-1] - 1) * stride)
        taps = slice(unseen, kernel - unseen)
        return conv_transpose2d(maps, self.weight[:, :, taps, taps], self.bias, stride, padding - unseen)
