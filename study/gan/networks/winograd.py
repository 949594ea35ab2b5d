"""Convolutions with fewer multiplications on a CPU, after Winograd (Lavin & Gray, 2016).

Along one axis, r neighbouring outputs of a filter with k taps need only r + k - 1 multiplications, instead of r k:
outputs = A ((G taps) * (B inputs)). B and G evaluate polynomials at r + k - 1 points, and A interpolates (Toom-Cook;
Winograd's F(r, k)). A layer of stride 2 is a sum (convolution) or an alternation (transposed convolution) of two such
filters, one for each parity of the pixels, so that all layers have this form. In two dimensions the matrices are
Kronecker squares, and the multiplications are products of matrices [tiles, inputs] and [inputs, outputs].

The outputs differ from those of a direct convolution by rounding. In float32 their relative error is 4e-7 for r = 2 and
3e-6 for r = 4; that of direct convolutions is up to 1e-6.
"""

from collections.abc import Callable
from functools import lru_cache, partial
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
CHUNK = 2**22
"""Numbers of the transformed tiles that are computed at once; memory for more would come from the system each time."""


class Form(NamedTuple):
    """A layer as products of transformed tiles.

    Attributes:
        a, g, b: the matrices, [outputs^2, m^2], [m^2, taps^2] and [m^2, tile^2]; float64.
        tile, step: size of a tile of the maps, and distance between neighbouring tiles; at least half the size.
        outputs: size of a tile of outputs.
        before: padding before the first row and column of the maps.
    """

    a: Matrix
    g: Matrix
    b: Matrix
    tile: int
    step: int
    outputs: int
    before: int

    def cost(self, tiles: int, inputs: int, outputs: int) -> int:
        """Multiplications for a number of tiles and channels; memory traffic counts as 40 to 45 per number."""
        maps = tiles * inputs * (self.tile**2 + 45) + tiles * outputs * (self.outputs**2 + 45)
        return len(self.g) * (tiles * inputs * outputs + maps + 40 * inputs * outputs)


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
    filters = [toom_cook(outputs, len(range(phase, taps, stride))) for phase in range(stride)]
    m, tile, row = sum(len(g) for _, g, _ in filters), (outputs - 1) * stride + taps, 0
    a, g, b = np.zeros((outputs, m)), np.zeros((m, taps)), np.zeros((m, tile))
    for phase, parts in enumerate(filters):
        rows = slice(row, row := row + len(parts[1]))
        a[:, rows], g[rows, phase::stride], b[rows, phase::stride] = parts
    return Form(square(a), square(g), square(b), tile, outputs * stride, outputs, before)


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
    return Form(square(a), square(g), square(b), tile, outputs, 2 * outputs, -min(starts))


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
    taps = kernel.permute(0, 2, 3, 1).reshape(channels, width**2, inputs)
    return convolve_tiles(maps, (tensor(form.g, kernel) @ taps).permute(1, 2, 0), bias, form)


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
    """Overlapping tiles [tile, tile, N, T, T, C] of maps [N, S, S, C] with S = (T - 1) step + tile."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, tile: int, step: int) -> Tensor:
        return maps.unfold(1, tile, step).unfold(2, tile, step).permute(4, 5, 0, 1, 2, 3).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.tile, ctx.step = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return Untiled.apply(gradients[0], ctx.tile, ctx.step), None, None  # type: ignore[no-untyped-call]


class Untiled(torch.autograd.Function):
    """The transpose of Tiles, which adds up what overlaps: [tile, tile, N, T, T, C] -> [N, S, S, C]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tiles: Tensor, tile: int, step: int) -> Tensor:
        images, count, _, channels = tiles.shape[2:]
        blocks = tiles.new_zeros(images, count + 1, step, count + 1, step, channels)
        within = blocks.permute(2, 4, 0, 1, 3, 5)
        parts = ((slice(0, step), slice(0, count)), (slice(step, tile), slice(1, count + 1)))
        for rows, down in parts:
            for columns, right in parts:
                part = tiles[rows, columns]
                within[: part.shape[0], : part.shape[1], :, down, right].add_(part)
        whole, size = (count + 1) * step, (count - 1) * step + tile
        return blocks.view(images, whole, whole, channels)[:, :size, :size]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.tile, ctx.step = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return Tiles.apply(gradients[0], ctx.tile, ctx.step), None, None  # type: ignore[no-untyped-call]


def convolve_tiles(maps: Tensor, taps: Tensor, bias: Tensor | None, form: Form) -> Tensor:
    """Maps [N, inputs, S, S] and transformed taps [m^2, inputs, outputs] -> [N, outputs, S', S'], channels last."""
    a, b = tensor(form.a, maps), tensor(form.b, maps)
    _, inputs, size, _ = maps.shape
    count = size // form.step
    after = (count - 1) * form.step + form.tile - size - form.before
    padded = pad(maps, (form.before, after, form.before, after)).permute(0, 2, 3, 1)
    pieces = []
    for part in torch.split(padded, max(1, CHUNK // (len(b) * count**2 * inputs))):
        tiles = Tiles.apply(part, form.tile, form.step)  # type: ignore[no-untyped-call]
        values = (b @ tiles.reshape(form.tile**2, -1)).view(len(b), -1, inputs)
        outputs = a @ torch.bmm(values, taps).view(len(b), -1)
        outputs = outputs.view(form.outputs, form.outputs, len(part), count, count, -1).permute(2, 3, 0, 4, 1, 5)
        outputs = outputs if bias is None else outputs + bias
        pieces.append(outputs.reshape(len(part), count * form.outputs, count * form.outputs, -1))
    return torch.cat(pieces).permute(0, 3, 1, 2)


def tensor(matrix: Matrix, like: Tensor) -> Tensor:
    """The matrix with the type of a tensor."""
    return torch.tensor(matrix, dtype=like.dtype, device=like.device)
