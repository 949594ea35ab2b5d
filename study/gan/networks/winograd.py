"""Convolutions with fewer multiplications on a CPU, after Winograd (Lavin & Gray, 2016).

Along one axis, r neighbouring outputs of a filter with k taps need only r + k - 1 multiplications, instead of r k:
outputs = A ((G taps) * (B inputs)). B and G evaluate polynomials at r + k - 1 points, and A interpolates (Toom-Cook;
Winograd's F(r, k)). A layer of stride 2 is a sum (convolution) or an alternation (transposed convolution) of two such
filters, one for each parity of the pixels, so that all layers have this form. In two dimensions the matrices are
Kronecker products, and the multiplications are products of matrices [tiles, inputs] and [inputs, outputs].

The outputs differ from those of a direct convolution by rounding. In float32 their relative error is 4e-7 for r = 2 and
3e-6 for r = 4; that of direct convolutions is up to 1e-6.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

Matrix = NDArray[Any]

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
"""Where polynomials are evaluated, besides infinity; small numbers keep rounding small."""
MOST_TAPS = 3
"""Of a filter; more taps need more points."""
TRAFFIC, KERNEL_TRAFFIC = (45, 90) if torch.backends.cpu.get_cpu_capability() == "AVX512" else (25, 50)
"""Multiplications in the time that a number of the maps, or of the kernel, takes to and from memory.

Measured on a CPU with AVX2; estimated for AVX-512, which multiplies about twice as fast.
"""
CHUNK = 2**22
"""Numbers of the transformed tiles that are computed at once; memory for more would come from the system each time."""


class Filter(NamedTuple):
    """A filter of a layer as products of transformed tiles.

    Attributes:
        a, b: the matrices, [outputs^2, m] and [m, rows columns]; float64.
        window: (first row, rows, first column, columns) of its tiles, in pixels that are `Form.stride` apart.
    """

    a: Matrix
    b: Matrix
    window: tuple[int, int, int, int]


class Form(NamedTuple):
    """A layer as a sum of filters.

    Attributes:
        filters: one for each parity of the pixels in a convolution of stride 2, otherwise one.
        g: the matrices G of all filters, [sum of m, taps^2]; float64.
        stride: distance between the pixels of a tile.
        step: distance between neighbouring tiles, a multiple of `stride`; at least half the size of a tile.
        outputs: size of a tile of outputs.
        before: padding before the first row and column of the maps.
        size: of a tile in pixels of the maps.
    """

    filters: tuple[Filter, ...]
    g: Matrix
    stride: int
    step: int
    outputs: int
    before: int
    size: int

    def cost(self, tiles: int, inputs: int, outputs: int) -> int:
        """Multiplications for a number of tiles and channels, including those that memory traffic counts as."""
        total = 0
        for a, b, _ in self.filters:
            maps = tiles * inputs * (b.shape[1] + TRAFFIC) + tiles * outputs * (len(a) + TRAFFIC)
            total += len(b) * (tiles * inputs * outputs + maps + KERNEL_TRAFFIC * inputs * outputs)
        return total


def toom_cook(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """The matrices A, G and B of a filter."""
    count = outputs + taps - 1

    def values(coefficients: int) -> Matrix:
        infinity = np.eye(coefficients)[-1:]  # the value at infinity is the last coefficient
        return np.vstack([np.vander(POINTS[: count - 1], coefficients, increasing=True), infinity])

    return values(outputs).T, values(taps), np.linalg.inv(values(count)).T


@lru_cache
def strided(taps: int, stride: int, before: int, outputs: int) -> Form:
    """A convolution of stride 1 or 2 with `outputs` outputs per tile, which adds up a filter per parity of the taps."""
    filters, rows = [], []
    for down, right in product(range(stride), repeat=2):
        parts = [toom_cook(outputs, len(range(phase, taps, stride))) for phase in (down, right)]
        a, g, b = (np.kron(*matrices) for matrices in zip(*parts, strict=True))
        filters.append(Filter(a, b, (down, len(parts[0][2]), right, len(parts[1][2]))))
        chosen = np.zeros((len(g), taps, taps))
        chosen[:, down::stride, right::stride] = g.reshape(len(g), len(range(down, taps, stride)), -1)
        rows.append(chosen.reshape(len(g), -1))
    size = (outputs - 1) * stride + taps
    return Form(tuple(filters), np.vstack(rows), stride, outputs * stride, outputs, before, size)


@lru_cache
def transposed(taps: int, cropped: int, outputs: int) -> Form:
    """A transposed convolution of stride 2, whose even and odd outputs, `outputs` each per tile, have a filter each.

    Input x and tap t contribute to output 2 x + t - cropped.
    """
    chosen = [range(taps)[(parity + cropped) % 2 :: 2][::-1] for parity in (0, 1)]
    starts = [(parity + cropped - those[0]) // 2 for parity, those in enumerate(chosen)]
    filters = [toom_cook(outputs, len(those)) for those in chosen]
    tile = max(start - min(starts) + len(g) for start, (_, g, _) in zip(starts, filters, strict=True))
    m, row = sum(len(g) for _, g, _ in filters), 0
    a, g, b = np.zeros((2 * outputs, m)), np.zeros((m, taps)), np.zeros((m, tile))
    for parity, parts in enumerate(filters):
        rows, shift = slice(row, row := row + len(parts[1])), starts[parity] - min(starts)
        a[parity::2, rows], g[rows, chosen[parity]], b[rows, shift : shift + len(parts[2])] = parts
    only = Filter(square(a), square(b), (0, tile, 0, tile))
    return Form((only,), square(g), 1, outputs, 2 * outputs, -min(starts), tile)


def square(matrix: Matrix) -> Matrix:
    """The matrix applied along both axes."""
    return np.kron(matrix, matrix)


def convolution(maps: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, before: int) -> Tensor | None:
    """conv2d of maps [N, inputs, S, S] and a kernel [outputs, inputs, k, k] with S / stride outputs per axis.

    `before` is the padding before the maps; that behind them follows. None if a direct convolution is as fast.
    """
    channels, inputs, width, _ = kernel.shape
    if not stride <= width <= MOST_TAPS * stride:
        return None
    form = best_form(maps, channels, (width * (maps.shape[-1] // stride)) ** 2, partial(strided, width, stride, before))
    if form is None:
        return None
    taps = kernel.permute(0, 2, 3, 1).reshape(channels, -1).t().reshape(width**2, -1)
    return convolve_tiles(maps, (tensor(form.g, kernel) @ taps).view(-1, inputs, channels), bias, form)


def transposed_convolution(maps: Tensor, kernel: Tensor, bias: Tensor | None, cropped: int) -> Tensor | None:
    """conv_transpose2d of stride 2, for maps [N, inputs, S, S] and a kernel [inputs, outputs, k, k].

    `cropped` rows and columns are removed before the outputs, and behind them as many as leave 2 S. None if a direct
    convolution is as fast.
    """
    inputs, channels, width, _ = kernel.shape
    if not 2 <= width <= 2 * MOST_TAPS:
        return None
    form = best_form(maps, channels, (width * maps.shape[-1]) ** 2, partial(transposed, width, cropped))
    if form is None:
        return None
    taps = kernel.permute(0, 2, 3, 1).reshape(inputs, width**2, channels)
    return convolve_tiles(maps, (tensor(form.g, kernel) @ taps).permute(1, 0, 2), bias, form)


def best_form(maps: Tensor, outputs: int, direct: int, make: Callable[[int], Form]) -> Form | None:
    """The cheapest form for maps [N, inputs, S, S]; None if a direct convolution is as cheap.

    Args:
        maps: the inputs.
        outputs: output channels.
        direct: multiplications of a direct convolution for one image and one channel of inputs and outputs.
        make: makes the form with this number of outputs of each filter per tile.
    """
    # Units for bfloat16 and GPUs multiply faster than memory supplies the tiles; on a GPU, cuDNN has such forms itself.
    if maps.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    images, inputs, size, _ = maps.shape
    best, lowest = None, direct * images * inputs * outputs
    for form in (make(2), make(4)):
        cost = form.cost(images * (size // form.step) ** 2, inputs, outputs)
        if size % form.step == 0 and cost < lowest:
            best, lowest = form, cost
    return best


class Tiles(torch.autograd.Function):
    """The overlapping tiles [rows, columns, N, T, T, C] of each filter, of maps [N, S, S, C]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, form: Form) -> tuple[Tensor, ...]:
        tiles, step = [], form.step // form.stride
        for _, _, (down, rows, right, columns) in form.filters:
            pixels = maps[:, down :: form.stride, right :: form.stride]
            tiles.append(pixels.unfold(1, rows, step).unfold(2, columns, step).permute(4, 5, 0, 1, 2, 3).contiguous())
        return tuple(tiles)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.form = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return Untiled.apply(ctx.form, *gradients), None  # type: ignore[no-untyped-call]


class Untiled(torch.autograd.Function):
    """The transpose of Tiles, which adds up what overlaps."""

    generate_vmap_rule = True

    @staticmethod
    def forward(form: Form, *tiles: Tensor) -> Tensor:
        images, count, _, channels = tiles[0].shape[2:]
        blocks = tiles[0].new_zeros(images, count + 1, form.step, count + 1, form.step, channels)
        each = form.step // form.stride
        halves = ((slice(0, each), slice(0, count)), (slice(each, None), slice(1, count + 1)))
        for part, (_, _, (down, _, right, _)) in zip(tiles, form.filters, strict=True):
            within = blocks[:, :, down :: form.stride, :, right :: form.stride].permute(2, 4, 0, 1, 3, 5)
            for upper, above in halves:
                for lefts, beside in halves:
                    piece = part[upper, lefts]
                    within[: piece.shape[0], : piece.shape[1], :, above, beside].add_(piece)
        whole, size = (count + 1) * form.step, (count - 1) * form.step + form.size
        return blocks.view(images, whole, whole, channels)[:, :size, :size]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.form = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *Tiles.apply(gradients[0], ctx.form)  # type: ignore[no-untyped-call]


def convolve_tiles(maps: Tensor, taps: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """Maps [N, inputs, S, S] and transformed taps [sum of m, inputs, outputs] -> [N, outputs, S', S'] in NHWC."""
    matrices = [(tensor(a, maps), tensor(b, maps)) for a, b, _ in form.filters]
    kernels = torch.split(taps, [len(b) for _, b in matrices])
    _, inputs, size, _ = maps.shape
    count = size // form.step
    after = (count - 1) * form.step + form.size - size - form.before
    padded = pad(maps, (form.before, after, form.before, after)).permute(0, 2, 3, 1)
    pieces = []
    for part in torch.split(padded, max(1, CHUNK // (len(taps) * count**2 * inputs))):
        outputs: Any = None
        for (a, b), kernel, tiles in zip(matrices, kernels, Tiles.apply(part, form), strict=True):  # type: ignore[no-untyped-call]
            values = (b @ tiles.reshape(b.shape[1], -1)).view(len(b), -1, inputs)
            products = torch.bmm(values, kernel).view(len(b), -1)
            outputs = a @ products if outputs is None else torch.addmm(outputs, a, products)
        outputs = outputs.view(form.outputs, form.outputs, len(part), count, count, -1).permute(2, 3, 0, 4, 1, 5)
        outputs = outputs if bias is None else outputs + bias
        pieces.append(outputs.reshape(len(part), count * form.outputs, count * form.outputs, -1))
    return torch.cat(pieces).permute(0, 3, 1, 2)


def tensor(matrix: Matrix, like: Tensor) -> Tensor:
    """The matrix with the type of a tensor."""
    return torch.tensor(matrix, dtype=like.dtype, device=like.device)
