"""The study's layer tables written out plainly: what the networks of the menu must compute, and how large they are.

Parameters and buffers are read in order; a residual block's shortcut comes before its main path.
"""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, leaky_relu, linear, pad, relu

from study.gan.architectures import ARCHITECTURES


def pair(architecture, resolution, *, width=2, channels=1, latent_dim=3, norm=None, **options):
    """G and D of the menu, untouched by `initialize`, with the options at their defaults unless given."""
    entry = ARCHITECTURES[architecture]
    options = {name: option.default for name, option in entry.options.items()} | options
    size = {"width": width, "resolution": resolution, "channels": channels}
    generator = entry.generator(latent_dim=latent_dim, **size, **options)
    return generator, entry.discriminator(norm=norm or (lambda *_: nn.Identity()), **size, **options)


def spread_out(network, std, seed=0):
    """The network in float64 with weights around 0, and with biases and scales around 1."""
    rng = torch.Generator().manual_seed(seed)
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            start = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(start + std * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    return network


class Mark(nn.Module):
    """Stands for a normalisation; differs from place to place and sees that it is where it was told to be."""

    def __init__(self, number, channels, size):
        super().__init__()
        self.number, self.shape = number, (channels, size, size)

    def forward(self, maps):
        assert maps.shape[1:] == self.shape
        return mark(maps, self.number)


def mark(maps, number):
    return maps * (1 + 0.1 * number) - 0.1


def unpool(maps):
    """Bed of nails: values at even rows and columns, zeros elsewhere."""
    images, channels, height, width = maps.shape
    out = maps.new_zeros(images, channels, 2 * height, 2 * width)
    out[:, :, ::2, ::2] = maps
    return out


class Reader:
    """Layers that read their parameters one after the other; moving averages move in place where it trains."""

    def __init__(self, network, buffers=None, *, training=True, eps=None, marked=False):
        self.values = iter([parameter.detach() for parameter in network.parameters()])
        self.buffers = iter((buffers or {}).values())
        self.training, self.eps = training, eps
        self.marked, self.places = marked, 0

    def norm(self, maps):
        average, average_variance = next(self.buffers), next(self.buffers)
        each = (1, -1, *[1] * (maps.ndim - 2))
        if self.training:
            across = [dim for dim in range(maps.ndim) if dim != 1]
            mean, variance = maps.mean(across), maps.var(across, correction=0)
            average.copy_(0.9 * average + 0.1 * mean)
            average_variance.copy_(0.9 * average_variance + 0.1 * variance)
        else:
            mean, variance = average, average_variance
        scale, offset = next(self.values), next(self.values)
        normalized = (maps - mean.view(each)) / (variance.view(each) + self.eps).sqrt()
        return normalized * scale.view(each) + offset.view(each)

    def place(self, maps):
        """Where D's normalisation stands."""
        self.places += 1
        return mark(maps, self.places) if self.marked else maps

    def linear(self, vectors):
        return linear(vectors, next(self.values), next(self.values))

    def conv(self, maps, kernel=3, stride=1):
        weight, bias = next(self.values), next(self.values)
        assert weight.shape[2:] == (kernel, kernel)
        if kernel == 5:
            return conv2d(pad(maps, (1, 2, 1, 2)), weight, bias, stride)
        return conv2d(maps, weight, bias, stride, padding=1)

    def deconv(self, maps, kernel=4, stride=2):
        weight, bias = next(self.values), next(self.values)
        assert weight.shape[2:] == (kernel, kernel)
        if kernel == 5:  # everything, then 1 px cropped before and 2 after
            return conv_transpose2d(maps, weight, bias, stride)[:, :, 1:-2, 1:-2]
        return conv_transpose2d(maps, weight, bias, stride, padding=1)

    def assert_done(self):
        assert not list(self.values)
        assert not list(self.buffers)


def sndcgan_generator(read, latents, seed):
    maps = relu(read.norm(read.linear(latents))).view(len(latents), -1, seed, seed)
    for _ in range(3):
        maps = relu(read.norm(read.deconv(maps)))
    return (torch.tanh(read.deconv(maps, 3, 1)) + 1) / 2


def sndcgan_discriminator(read, images):
    maps = images * 2 - 1
    for stride in (1, 2, 1, 2, 1, 2, 1):
        maps = leaky_relu(read.place(read.conv(maps, 3 if stride == 1 else 4, stride)), 0.1)
    return read.linear(maps.flatten(1)).flatten()


def dcgan_generator(read, latents, seed):
    maps = read.linear(latents).view(len(latents), -1, seed, seed)
    for _ in range(4):
        maps = read.deconv(relu(read.norm(maps)), 5)
    return 0.5 * torch.tanh(maps) + 0.5


def dcgan_discriminator(read, images):
    maps = leaky_relu(read.conv(images, 5, 2), 0.2)
    for _ in range(3):
        maps = leaky_relu(read.place(read.conv(maps, 5, 2)), 0.2)
    return read.linear(maps.flatten(1)).flatten()


def residual_generator(read, latents, seed, ups, squash=torch.sigmoid):
    maps = read.linear(latents).view(len(latents), -1, seed, seed)
    for up in ups:
        shortcut = read.conv(unpool(maps) if up else maps)
        hidden = relu(read.norm(maps))
        hidden = read.conv(unpool(hidden) if up else hidden)
        maps = read.conv(relu(read.norm(hidden))) + shortcut
    return squash(read.conv(relu(read.norm(maps))))


def residual_discriminator(read, images, downs, *, identities=(), raw_first=False, pool=torch.mean):
    """`identities`: the numbers of the blocks whose shortcut is their input; `raw_first`: no ReLU on the image."""
    maps = images
    for number, down in enumerate(downs):
        shortcut = maps if number in identities else read.conv(maps)
        hidden = read.conv(maps if raw_first and number == 0 else relu(read.place(maps)))
        out = read.conv(relu(read.place(hidden)))
        maps = avg_pool2d(out, 2) + avg_pool2d(shortcut, 2) if down else out + shortcut
    return read.linear(pool(relu(maps), dim=(2, 3))).flatten()


def resnet_cifar_generator(read, latents, seed, **variant):
    return residual_generator(read, latents, seed, (True,) * 3, **variant)


def resnet_cifar_discriminator(read, images, **variant):
    return residual_discriminator(read, images, (True, True, False, False), **variant)


def resnet19_generator(read, latents, seed, doublings=4):
    return residual_generator(read, latents, seed, [number < doublings for number in range(max(5, doublings))])


def resnet19_discriminator(read, images):
    return residual_discriminator(read, images, (True,) * 6)


TABLES = {
    "sndcgan": (16, 2, 2e-5, sndcgan_generator, sndcgan_discriminator),
    "dcgan": (32, 2, 1e-5, dcgan_generator, dcgan_discriminator),
    "resnet_cifar": (16, 2, 1e-5, resnet_cifar_generator, resnet_cifar_discriminator),
    "resnet19": (64, 4, 1e-5, resnet19_generator, resnet19_discriminator),
}
"""(resolution to compare at, size of its seed map, eps of G's batch norm, G, D)."""


def conv_count(*layers, kernel=3):
    """Parameters of convolutions given by (inputs, outputs) or (inputs, outputs, kernel)."""
    return sum(i * o * (own or [kernel])[0] ** 2 + o for i, o, *own in layers)


def norm_count(*channels):
    return 2 * sum(channels)


def block_count(*pairs, norms=False):
    """Parameters of residual blocks of three convolutions each."""
    return sum(conv_count((i, o), (i, o), (o, o)) + (norm_count(i, o) if norms else 0) for i, o in pairs)


def sndcgan_count(size):
    units = (size // 8) ** 2 * 512
    generator = conv_count((512, 256, 4), (256, 128, 4), (128, 64, 4), (64, 3, 3)) + norm_count(units, 256, 128, 64)
    layers = ((3, 64, 3), (64, 128, 4), (128, 128, 3), (128, 256, 4), (256, 256, 3), (256, 512, 4), (512, 512, 3))
    return 129 * units + generator, conv_count(*layers) + units + 1


def dcgan_count(size):
    units = (size // 16) ** 2 * 512
    generator = conv_count((512, 256), (256, 128), (128, 64), (64, 3), kernel=5) + norm_count(512, 256, 128, 64)
    return 129 * units + generator, conv_count((3, 64), (64, 128), (128, 256), (256, 512), kernel=5) + units + 1


def resnet_cifar_count(size):
    generator = block_count(*[(256, 256)] * 3, norms=True) + norm_count(256) + conv_count((256, 3))
    return 129 * 256 * (size // 8) ** 2 + generator, block_count((3, 128), *[(128, 128)] * 3) + 129


def resnet19_count(size):
    ups = ((512, 512), (512, 256), (256, 256), (256, 128), (128, 64))
    downs = ((3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512))
    generator = block_count(*ups, norms=True) + norm_count(64) + conv_count((64, 3))
    return 129 * 512 * 16 + generator, block_count(*downs) + 513


COUNTS = {
    "sndcgan": sndcgan_count,
    "dcgan": dcgan_count,
    "resnet_cifar": resnet_cifar_count,
    "resnet19": resnet19_count,
}
"""(resolution) -> parameters of G and D at the study's width and latents, for images of three channels."""
