"""Layers with the parameters and outputs of PyTorch's own, but with fewer multiplications.

Convolutions skip kernel taps that only see padding, and take the form of `study.gan.networks.winograd` where that is
faster. Layers that also change the size of a map fold unpooling or pooling into the kernel, as Progressive GAN's code
did with nearest-neighbour upscaling (Karras et al., 2018). Activations have no second derivative, so that a gradient
penalty skips a backward pass that would only compute zeros.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d

from study.gan.networks import winograd


def to_channels_last(kernel: Tensor) -> Tensor:
    """A kernel [out, in, h, w] in its memory order, [out, h, w, in]; other tensors unchanged."""
    return kernel.permute(0, 2, 3, 1) if kernel.ndim == 4 else kernel


def flat(tensor: Tensor) -> Tensor:
    """All numbers of a tensor as a vector; kernels [out, in, h, w] in memory order, which is channels last."""
    numbers = to_channels_last(tensor)
    if tensor.ndim == 4 and 1 in tensor.shape[:2]:  # where maps have one channel, kernels come in either layout
        numbers = numbers.clone(memory_format=torch.contiguous_format)
    return numbers.flatten()


def shaped(numbers: Tensor, like: Tensor) -> Tensor:
    """The inverse of `flat`: the numbers in the shape of `like`."""
    if like.ndim != 4:
        return numbers.view_as(like)
    outputs, inputs, height, width = like.shape
    return numbers.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


class Together(torch.autograd.Function):
    """Tensors as they are, whose gradients are passed on when all are there, as parts of one vector.

    What follows in the backward pass, such as that of spectral normalization, then waits for no layer, and a compiler
    can make one kernel of the same operation for all of them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        vector = torch.cat([flat(gradient) for gradient in gradients])
        parts = torch.split(vector, [gradient.numel() for gradient in gradients])
        return tuple(shaped(part, like) for part, like in zip(parts, gradients, strict=True))


def convolve(maps: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """conv2d for square maps and kernels, without kernel taps that only see padding; in the fastest form."""
    size, width = maps.shape[-1], kernel.shape[-1]
    outputs = (size + 2 * padding - width) // stride + 1
    if outputs * stride == size and (fast := winograd.convolution(maps, kernel, bias, stride, padding)) is not None:
        return fast
    skipped = max(0, padding - (outputs - 1) * stride)
    taps = slice(skipped, min(width, size + padding))
    return conv2d(maps, kernel[:, :, taps, taps], bias, stride, padding - skipped)


def pixels(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """The padding of a layer in px; raises ValueError for padding given as a word such as "same"."""
    if isinstance(padding, str):
        raise ValueError(f"padding {padding}: must be given in px")
    return padding


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d for square kernels and maps, without kernel taps that only see padding.

    On a 1-px map a 3x3 kernel with padding 1 reduces to its centre; on a 2-px map a 4x4 kernel of stride 2 to its inner
    2x2.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return convolve(maps, self.weight, self.bias, self.stride[0], pixels(self.padding)[0])


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d for square kernels and maps, without kernel taps whose products are all cropped."""

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]  # no output_size: padding fixes the size
        kernel, stride, padding = self.kernel_size[0], self.stride[0], pixels(self.padding)[0]
        doubles = stride == 2 and kernel - 2 * padding == 2
        if doubles and (fast := winograd.transposed_convolution(maps, self.weight, self.bias, padding)) is not None:
            return fast
        skipped = max(0, padding - (maps.shape[-1] - 1) * stride)
        taps = slice(skipped, kernel - skipped)
        return conv_transpose2d(maps, self.weight[:, :, taps, taps], self.bias, stride, padding - skipped)


class Conv3x3(Conv2d):
    """A 3x3 convolution with padding 1: [N, inputs, S, S] -> [N, outputs, S, S]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


class UnpoolConv3x3(Conv3x3):
    """Unpooling to twice the size, then a 3x3 convolution: [N, inputs, S, S] -> [N, outputs, 2S, 2S].

    Unpooling moves each value to an even row and column and fills the rest with zeros. Three of four products would be
    with these zeros; a transposed convolution of the small map with the mirrored kernel computes only the others.
    """

    def forward(self, maps: Tensor) -> Tensor:
        mirrored = self.weight.flip(2, 3).permute(1, 2, 3, 0).contiguous().permute(0, 3, 1, 2)  # channels last
        if (fast := winograd.transposed_convolution(maps, mirrored, self.bias, 1)) is not None:
            return fast
        if maps.shape[-1] == 1:  # products with the first row and column of the kernel are all cropped
            return conv_transpose2d(maps, mirrored[:, :, 1:, 1:], self.bias, stride=2)
        return conv_transpose2d(maps, mirrored, self.bias, stride=2, padding=1, output_padding=1)


class Conv3x3Pool(Conv3x3):
    """A 3x3 convolution, then 2x2 mean pooling: [N, inputs, S, S] -> [N, outputs, S // 2, S // 2].

    The mean of four neighbouring outputs equals one output, at stride 2, of the mean of the four shifted kernels, a 4x4
    kernel: 16 products instead of 36.
    """

    def forward(self, maps: Tensor) -> Tensor:
        outputs, inputs, _, _ = self.weight.shape
        taps = mean_of_shifted(self.weight) @ to_channels_last(self.weight).reshape(outputs, 9, inputs)
        return convolve(maps, taps.view(outputs, 4, 4, inputs).permute(0, 3, 1, 2), self.bias, stride=2, padding=1)


class BatchNorm(nn.Module):
    """Batch normalization of a generator: [N, C] or [N, C, H, W] -> the same shape; its averages decay by 0.9.

    The moving variance averages the biased variances of the batches, as in the released code of the study. Differs from
    torch.nn.BatchNorm2d, which averages the unbiased ones: n / (n - 1) times as large for n values per channel.
    """

    MOMENTUM = 0.1
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def reset_running_stats(self) -> None:
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def forward(self, maps: Tensor) -> Tensor:
        mean, variance, affine = self.running_mean, self.running_var, (self.weight, self.bias)
        if not self.training:
            return batch_norm(maps, mean, variance, *affine, eps=self.eps)
        average = variance.clone()  # becomes the average of the unbiased variances
        outputs = batch_norm(maps, mean, average, *affine, True, self.MOMENTUM, self.eps)
        share = len(self.weight) / maps.numel()  # 1 / n
        variance.mul_((1 - self.MOMENTUM) * share).add_(average * (1 - share))
        return outputs


def mean_of_shifted(like: Tensor) -> Tensor:
    """The matrix [16, 9] from a 3x3 kernel to the 4x4 kernel that is its mean over four positions one pixel apart."""
    unit = torch.eye(4, dtype=like.dtype, device=like.device)
    along = (unit[:, :3] + unit[:, 1:]) / 2
    return torch.kron(along, along)


class ReLU(nn.Module):
    """torch.nn.ReLU with a gradient that does not depend on the maps, and therefore no second derivative.

    The second derivative of torch.nn.ReLU is a map of zeros, which is then propagated back through the whole network: a
    third of the cost of a gradient penalty on a network without normalization. The backward operation also gives the
    forward value.
    """

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.aten.threshold_backward(maps, maps.detach(), 0)
        return outputs


class LeakyReLU(nn.Module):
    """torch.nn.LeakyReLU without a second derivative; see ReLU.

    Differs from the released code of the study, max(x, slope x), at exactly 0: its derivative there is 1, here `slope`.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, maps: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.aten.leaky_relu_backward(maps, maps.detach(), self.slope, False)
        return outputs
