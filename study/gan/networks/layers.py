"""Layers with the parameters and results of plain ones, in fewer multiplications.

All convolutions leave out the taps of their kernel that only ever see padding. Those that also change a map's size fold
unpooling or pooling into the kernel, as Progressive GAN's code did with its nearest-neighbour upscaling (Karras et al.,
2018). Activations have no second derivative, so that a gradient penalty takes no pass back that could only bring zeros.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d


def to_channels_last(kernel: Tensor) -> Tensor:
    """A kernel [out, in, h, w] as it lies in memory, [out, h, w, in]; other tensors as they are."""
    return kernel.permute(0, 2, 3, 1) if kernel.ndim == 4 else kernel


def convolve(maps: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """conv2d of square maps and kernels, without the taps that only see padding."""
    size, width = maps.shape[-1], kernel.shape[-1]
    outputs = (size + 2 * padding - width) // stride + 1
    unseen = max(0, padding - (outputs - 1) * stride)
    taps = slice(unseen, min(width, size + padding))
    return conv2d(maps, kernel[:, :, taps, taps], bias, stride, padding - unseen)


def pixels(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """The padding of a layer in px; raises ValueError for padding given as a word such as "same"."""
    if isinstance(padding, str):
        raise ValueError(f"padding {padding}: must be given in px")
    return padding


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d for square kernels and maps, without the taps that only see padding.

    On a map of 1 px a 3x3 kernel with padding 1 is its centre, on one of 2 px a 4x4 kernel of stride 2 its inner 2x2.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return convolve(maps, self.weight, self.bias, self.stride[0], pixels(self.padding)[0])


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d for square kernels and maps, without the taps whose products are all cropped away."""

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]  # no output_size: padding fixes the size
        kernel, stride, padding = self.kernel_size[0], self.stride[0], pixels(self.padding)[0]
        unseen = max(0, padding - (maps.shape[-1] - 1) * stride)
        taps = slice(unseen, kernel - unseen)
        return conv_transpose2d(maps, self.weight[:, :, taps, taps], self.bias, stride, padding - unseen)


class Conv3x3(Conv2d):
    """A 3x3 convolution that keeps the size of square maps."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


class UnpoolConv3x3(Conv3x3):
    """Unpooling to twice the size, then a 3x3 convolution: [N, inputs, S, S] -> [N, outputs, 2S, 2S].

    Unpooling puts each value at an even row and column and zeros elsewhere. Three of four products would be with these
    zeros: a transposed convolution of the small map, its kernel mirrored, computes the others alone.
    """

    def forward(self, maps: Tensor) -> Tensor:
        mirrored = self.weight.flip(2, 3).permute(1, 2, 3, 0).contiguous().permute(0, 3, 1, 2)  # laid out channels last
        if maps.shape[-1] == 1:  # the first row and column of taps only reach what is cropped
            return conv_transpose2d(maps, mirrored[:, :, 1:, 1:], self.bias, stride=2)
        return conv_transpose2d(maps, mirrored, self.bias, stride=2, padding=1, output_padding=1)


class Conv3x3Pool(Conv3x3):
    """A 3x3 convolution, then 2x2 mean pooling: [N, inputs, S, S] -> [N, outputs, S // 2, S // 2].

    The mean of four neighbouring outputs is one output of stride 2 of the mean of the four shifted kernels, which is
    4x4: 16 products for what would take 36.
    """

    def forward(self, maps: Tensor) -> Tensor:
        outputs, inputs, _, _ = self.weight.shape
        taps = mean_of_shifted(self.weight) @ to_channels_last(self.weight).reshape(outputs, 9, inputs)
        return convolve(maps, taps.view(outputs, 4, 4, inputs).permute(0, 3, 1, 2), self.bias, stride=2, padding=1)


def mean_of_shifted(like: Tensor) -> Tensor:
    """The matrix [16, 9] from the taps of a 3x3 kernel to those, 4x4, of its mean over four places a pixel apart."""
    unit = torch.eye(4, dtype=like.dtype, device=like.device)
    along = (unit[:, :3] + unit[:, 1:]) / 2
    return torch.kron(along, along)


class ReLU(nn.Module):
    """torch.nn.ReLU, and its gradient, which depends on no map.

    Of torch's own the second derivative is a map of zeros, which is then taken back through the whole network: a third
    of what a gradient penalty costs on one without normalisation. What it does forward is what it does backward.
    """

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.aten.threshold_backward(maps, maps.detach(), 0)
        return outputs


class LeakyReLU(nn.Module):
    """torch.nn.LeakyReLU, and its gradient, which depends on no map; see ReLU."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.aten.leaky_relu_backward(maps, maps.detach(), self.slope, False)
        return outputs
