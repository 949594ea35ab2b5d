"""The networks of the reference: the study's tables, layer by layer. `width` channels stand for its 64.

A generator is (parameters, latents, size, rectify) -> images in [0, 1], and the batch's mean and variance at each
batch norm by name. A discriminator is (parameters, images, norm, rectify) -> outputs [N]; `norm(maps, name)` is its
layer normalization. The number of channels is read off the parameters.
"""

import jax
import jax.numpy as jnp

from tests.reference.layers import batch_norm, conv, deconv, linear, mean_pool, unpool


class Seen(dict):
    """Batch norm of a generator, which keeps what it has seen."""

    def norm(self, parameters, name, maps, eps):
        maps, self[name] = batch_norm(parameters, name, maps, eps)
        return maps


def as_map(vectors, size):
    return vectors.reshape(len(vectors), size, size, -1)


def sndcgan_generator(parameters, latents, size, rectify):
    seen = Seen()
    vectors = seen.norm(parameters, "norm0", linear(parameters, "linear", latents), 2e-5)
    maps = as_map(rectify(vectors), size // 8)
    for i in (1, 2, 3):
        maps = rectify(seen.norm(parameters, f"norm{i}", deconv(parameters, f"deconv{i}", maps, 2), 2e-5))
    return (jnp.tanh(deconv(parameters, "deconv4", maps, 1)) + 1) / 2, seen


def sndcgan_discriminator(parameters, images, norm, rectify):
    maps = images * 2 - 1
    for i, stride in enumerate((1, 2, 1, 2, 1, 2, 1)):
        maps = rectify(norm(conv(parameters, f"conv{i}", maps, stride), f"norm{i}"), 0.1)
    return linear(parameters, "linear", maps.reshape(len(maps), -1))[:, 0]


def dcgan_generator(parameters, latents, size, rectify):
    seen = Seen()
    maps = as_map(linear(parameters, "linear", latents), size // 16)
    for i in range(4):
        maps = deconv(parameters, f"deconv{i}", rectify(seen.norm(parameters, f"norm{i}", maps, 1e-5)), 2)
    return 0.5 * jnp.tanh(maps) + 0.5, seen


def dcgan_discriminator(parameters, images, norm, rectify):
    maps = rectify(conv(parameters, "conv0", images, 2), 0.2)
    for i in (1, 2, 3):
        maps = rectify(norm(conv(parameters, f"conv{i}", maps, 2), f"norm{i}"), 0.2)
    return linear(parameters, "linear", maps.reshape(len(maps), -1))[:, 0]


def residual_generator(parameters, latents, seed, ups, rectify):
    seen = Seen()
    maps = as_map(linear(parameters, "linear", latents), seed)
    for i, up in enumerate(ups):
        resized = unpool if up else lambda same: same
        shortcut = conv(parameters, f"block{i}.shortcut", resized(maps))
        main = rectify(seen.norm(parameters, f"block{i}.norm0", maps, 1e-5))
        main = conv(parameters, f"block{i}.conv0", resized(main))
        main = rectify(seen.norm(parameters, f"block{i}.norm1", main, 1e-5))
        maps = shortcut + conv(parameters, f"block{i}.conv1", main)
    maps = rectify(seen.norm(parameters, "norm", maps, 1e-5))
    return jax.nn.sigmoid(conv(parameters, "conv", maps)), seen


def residual_discriminator(parameters, images, downs, norm, rectify):
    maps = images
    for i, down in enumerate(downs):
        resized = mean_pool if down else lambda same: same
        shortcut = resized(conv(parameters, f"block{i}.shortcut", maps))
        main = conv(parameters, f"block{i}.conv0", rectify(norm(maps, f"block{i}.norm0")))
        main = conv(parameters, f"block{i}.conv1", rectify(norm(main, f"block{i}.norm1")))
        maps = shortcut + resized(main)
    return linear(parameters, "linear", rectify(maps).mean(axis=(1, 2)))[:, 0]


def resnet_cifar_generator(parameters, latents, size, rectify):
    return residual_generator(parameters, latents, size // 8, [True] * 3, rectify)


def resnet_cifar_discriminator(parameters, images, norm, rectify):
    return residual_discriminator(parameters, images, (True, True, False, False), norm, rectify)


def resnet19_generator(parameters, latents, size, rectify):
    """Five blocks for 128 px; for 64 px the last one does not upsample."""
    return residual_generator(parameters, latents, 4, [4 * 2**i < size for i in range(5)], rectify)


def resnet19_discriminator(parameters, images, norm, rectify):
    return residual_discriminator(parameters, images, [True] * 6, norm, rectify)


def autoencoder(parameters, images, norm, rectify):
    """BEGAN's discriminator: mean absolute errors of reconstruction [N]."""
    maps = rectify(conv(parameters, "conv0", images, 2), 0.2)
    maps = conv(parameters, "conv1", maps, 2)
    code = rectify(norm(linear(parameters, "encode", maps.reshape(len(maps), -1)), "norm0"), 0.2)
    vectors = rectify(norm(linear(parameters, "decode", code), "norm1"), 0.2)
    maps = rectify(norm(deconv(parameters, "deconv0", as_map(vectors, maps.shape[1]), 2), "norm2"), 0.2)
    return jnp.abs(jax.nn.sigmoid(deconv(parameters, "deconv1", maps, 2)) - images).mean(axis=(1, 2, 3))


GENERATORS = {
    "sndcgan": sndcgan_generator,
    "dcgan": dcgan_generator,
    "resnet_cifar": resnet_cifar_generator,
    "resnet19": resnet19_generator,
}
DISCRIMINATORS = {
    "sndcgan": sndcgan_discriminator,
    "dcgan": dcgan_discriminator,
    "resnet_cifar": resnet_cifar_discriminator,
    "resnet19": resnet19_discriminator,
}
