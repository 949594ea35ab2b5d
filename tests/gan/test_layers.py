"""The convolutions that leave out taps compute what torch's do, forward and backward."""

import pytest
import torch
from torch import nn

from study.gan.layers import Conv2d, ConvTranspose2d

SIZES = range(1, 10)


def outputs(kind, size, kernel, stride, padding):
    if issubclass(kind, nn.Conv2d):
        return (size + 2 * padding - kernel) // stride + 1 if size + 2 * padding >= kernel else 0
    return (size - 1) * stride - 2 * padding + kernel


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize(("ours", "plain"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
def test_equal_to_torch_wherever_torch_has_an_output(ours, plain, kernel, stride, padding):
    torch.manual_seed(0)
    reference = plain(2, 3, kernel, stride=stride, padding=padding, dtype=torch.float64)
    lean = ours(2, 3, kernel, stride=stride, padding=padding, dtype=torch.float64)
    lean.load_state_dict(reference.state_dict())
    sizes = [size for size in SIZES if outputs(ours, size, kernel, stride, padding) > 0]
    assert sizes
    for size in sizes:
        maps = torch.randn(2, 2, size, size, dtype=torch.float64, requires_grad=True)
        results = []
        for layer in (lean, reference):
            out = layer(maps)
            cotangent = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape)
            results.append((out, *torch.autograd.grad((out * cotangent).sum(), (maps, layer.weight, layer.bias))))
        torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12, msg=lambda m, s=size: f"{s} px: {m}")
