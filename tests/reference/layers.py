"""Layers of the reference, in JAX: as plain as they can be, and without any of our code.

Parameters are a dict of arrays; a layer reads `name.kernel`, `name.bias`, `name.scale` and `name.offset`. Maps are
[N, H, W, C], kernels [h, w, inputs, outputs], matrices [inputs, outputs]. Padding is TensorFlow's "SAME".
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax import stop_gradient

DECAY = 0.9


def linear(parameters, name, vectors):
    return vectors @ parameters[f"{name}.kernel"] + parameters[f"{name}.bias"]


def conv(parameters, name, maps, stride=1):
    return _conv(maps, parameters[f"{name}.kernel"], stride) + parameters[f"{name}.bias"]


def deconv(parameters, name, maps, stride):
    """The transpose of the convolution that would map the result to `maps`; its kernel is [h, w, outputs, inputs]."""
    kernel = parameters[f"{name}.kernel"]
    images, height, width, _ = maps.shape
    result = jnp.zeros((images, height * stride, width * stride, kernel.shape[2]))
    _, transpose = jax.vjp(lambda large: _conv(large, kernel, stride), result)
    return transpose(maps)[0] + parameters[f"{name}.bias"]


def _conv(maps, kernel, stride):
    """In float64 the library's convolution takes seconds on large maps."""
    if maps.shape[1] >= 32:
        return taps_conv(maps, kernel, stride)
    return lax.conv_general_dilated(maps, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def taps_conv(maps, kernel, stride):
    """The same: at each place the product of the kernel with the pixels that it sees."""
    height, width, inputs, outputs = kernel.shape
    padded = jnp.pad(maps, ((0, 0), _same(maps.shape[1], height, stride), _same(maps.shape[2], width, stride), (0, 0)))
    rows, columns = -(-maps.shape[1] // stride), -(-maps.shape[2] // stride)
    seen = [
        padded[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.concatenate(seen, axis=-1) @ kernel.reshape(height * width * inputs, outputs)


def _same(size, kernel, stride):
    """TensorFlow's "SAME": as much padding as the last place needs, the odd pixel after the map."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def unpool(maps):
    """Bed of nails: values at even rows and columns, zeros elsewhere."""
    images, height, width, channels = maps.shape
    return jnp.zeros((images, 2 * height, 2 * width, channels)).at[:, ::2, ::2].set(maps)


def mean_pool(maps):
    """Means of 2 x 2 pixels."""
    images, height, width, channels = maps.shape
    return maps.reshape(images, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def rectify(maps, slope=0.0):
    """ReLU, or leaky ReLU; its derivative at 0 is the slope."""
    return jnp.where(maps > 0, maps, slope * maps)


def smooth(maps, slope=0.0):
    """Stands for `rectify` where a function without a kink is wanted."""
    return slope * maps + (1 - slope) * jax.nn.softplus(maps)


def moments(maps, axes, *, stopped=False):
    """Mean and biased variance. `stopped`: the variance does not pass a gradient through the mean inside it."""
    mean = maps.mean(axis=axes, keepdims=True)
    centre = stop_gradient(mean) if stopped else mean
    return mean, jnp.square(maps - centre).mean(axis=axes, keepdims=True)


def batch_norm(parameters, name, maps, eps, *, stopped=False):
    """Normalized over all axes but the last; returns also mean and variance of the batch."""
    mean, variance = moments(maps, tuple(range(maps.ndim - 1)), stopped=stopped)
    return _scaled(parameters, name, (maps - mean) / jnp.sqrt(variance + eps)), (mean.ravel(), variance.ravel())


def layer_norm(parameters, name, maps, *, stopped=False):
    """Normalized over pixels and channels of each image; scale and offset per channel."""
    mean, variance = moments(maps, tuple(range(1, maps.ndim)), stopped=stopped)
    return _scaled(parameters, name, (maps - mean) / jnp.sqrt(variance + 1e-12))


def _scaled(parameters, name, maps):
    return maps * parameters[f"{name}.scale"] + parameters[f"{name}.offset"]


def matrix(kernel):
    """A kernel as [h * w * inputs, outputs]."""
    return kernel.reshape(-1, kernel.shape[-1])


def unit(vector):
    return vector / jnp.sqrt(jnp.maximum(jnp.sum(vector**2), 1e-12))


def power_iteration(kernel, u):
    """The pair (u, v) after one iteration from u, which is on the side of the inputs."""
    weight = matrix(kernel)
    v = unit(weight.T @ u)
    return unit(weight @ v), v


def sigma(kernel, u, v):
    """u^T W v: an estimate of the largest singular value; no gradient passes through u and v."""
    return stop_gradient(u) @ matrix(kernel) @ stop_gradient(v)
