"""BEGAN's auto-encoder against its layers written out."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from study.core.trial import Hyperparameters, Training, Trial
from study.gan.methods.menu import parse
from study.gan.methods.normalizations import MomentNorm
from study.gan.model import build
from study.gan.networks.autoencoder import AutoEncoder


class Mark(nn.Module):
    """Stands for a normalisation; differs from place to place and sees that it is where it was told to be."""

    def __init__(self, number, shape):
        super().__init__()
        self.number, self.shape = number, shape

    def forward(self, maps):
        assert maps.shape[1:] == self.shape
        return mark(maps, self.number)


def mark(maps, number):
    return maps * (1 + 0.1 * number) - 0.1


def marked_autoencoder(*, width, resolution, channels):
    """The network in float64, all its parameters drawn, and the number of its places for a normalisation."""
    places = []

    def norm(channels, size):
        places.append((channels, size, size))
        return Mark(len(places), places[-1])

    network = AutoEncoder(width=width, resolution=resolution, channels=channels, norm=norm).double()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    return network, places


def written_out(parameters, images):
    """The layers of the released code, with the marks where its normalisation stands."""
    values = iter(parameters)
    both = lambda: (next(values), next(values))  # noqa: E731
    hidden = leaky_relu(conv2d(images, *both(), stride=2, padding=1), 0.2)
    hidden = conv2d(hidden, *both(), stride=2, padding=1)
    code = leaky_relu(mark(linear(hidden.flatten(1), *both()), 1), 0.2)
    decoded = leaky_relu(mark(linear(code, *both()), 2), 0.2).view_as(hidden)
    decoded = leaky_relu(mark(conv_transpose2d(decoded, *both(), stride=2, padding=1), 3), 0.2)
    decoded = torch.sigmoid(conv_transpose2d(decoded, *both(), stride=2, padding=1))
    assert not list(values)
    return torch.stack([(a - b).abs().sum() / a.numel() for a, b in zip(decoded, images, strict=True)])


@pytest.mark.parametrize(("resolution", "channels"), [(8, 1), (8, 3), (20, 1), (32, 3)])
def test_computes_its_layers_written_out(resolution, channels):
    network, places = marked_autoencoder(width=3, resolution=resolution, channels=channels)
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(4, channels, resolution, resolution, generator=rng, dtype=torch.float64)
    expected = written_out([parameter.detach() for parameter in network.parameters()], images)
    torch.testing.assert_close(network(images).detach(), expected, rtol=1e-12, atol=1e-14)
    assert expected.std() > 1e-3
    assert len(places) == 3


def test_layer_table_at_width_64_and_32_px():
    with torch.device("meta"):
        network = AutoEncoder(width=64, resolution=32, channels=3, norm=lambda *_: nn.Identity())
    assert [tuple(p.shape) for p in network.parameters() if p.ndim > 1] == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
        (64, 8192),
        (8192, 64),
        (128, 64, 4, 4),
        (64, 3, 4, 4),
    ]
    assert sum(p.numel() for p in network.parameters()) == (
        (3 * 64 * 16 + 64)
        + (64 * 128 * 16 + 128)
        + (8192 * 64 + 64)
        + (64 * 8192 + 8192)
        + (128 * 64 * 16 + 64)
        + (64 * 3 * 16 + 3)
    )


def test_output_is_an_error_from_0_to_1_of_each_image_alone():
    network, _ = marked_autoencoder(width=2, resolution=8, channels=1)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors = network(images).detach()
    assert errors.shape == (5,)
    assert ((errors > 0) & (errors < 1)).all()
    alone = torch.cat([network(image[None]).detach() for image in images])
    torch.testing.assert_close(errors, alone, rtol=1e-12, atol=0)


def test_an_image_that_it_reproduces_has_no_error():
    network, _ = marked_autoencoder(width=2, resolution=8, channels=1)
    with torch.no_grad():
        list(network.parameters())[-2].zero_()
        list(network.parameters())[-1].fill_(1.0)
    grey = torch.full((1, 1, 8, 8), 1 / (1 + torch.e**-1), dtype=torch.float64)
    assert network(grey).item() == pytest.approx(0, abs=1e-15)
    assert network(grey + 0.1).item() == pytest.approx(0.1, rel=1e-12)


def test_began_has_this_d_whatever_the_architecture(architecture, smallest_size):
    trial = Trial(
        dataset="digits",
        method=parse("began+layer_norm", architecture),
        hyperparameters=Hyperparameters(learning_rate=1, beta1=0, beta2=0, n_dis=1),
        training=Training(discriminator_steps=1, width=2, latent_dim=3),
    )
    resolution = smallest_size(architecture)
    gan = build(trial, channels=3, resolution=resolution)
    assert isinstance(gan.discriminator, AutoEncoder)
    norms = [m for m in gan.discriminator.modules() if isinstance(m, MomentNorm)]
    assert [len(m.weight) for m in norms] == [2, 4 * (resolution // 4) ** 2, 2]
