"""Our step on one side of the comparison: random states in float64, and the same states in the reference's terms."""

import copy
import dataclasses
from functools import partial

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils._pytree import tree_map

from study.core.trial import Hyperparameters, Training, Trial
from study.gan.methods.menu import parse
from study.gan.model import State, build, initial_state
from study.gan.networks.layers import LeakyReLU, ReLU, shaped
from study.gan.program import EAGER, Programs
from study.gan.step import discriminator_step, generator_step
from study.training.lockstep import Lockstep, LossTally

N_DIS, CYCLES, WIDTH, LATENTS, CHANNELS = 2, 3, 4, 5, 3
SMALLEST = {"sndcgan": 8, "dcgan": 16, "resnet_cifar": 8, "resnet19": 64}


def blocks(count):
    return [f"block{i}.{part}" for i in range(count) for part in ("shortcut", "norm0", "conv0", "norm1", "conv1")]


GENERATOR_LAYERS = {
    "sndcgan": ["linear", "norm0", *(f"{kind}{i}" for i in (1, 2, 3) for kind in ("deconv", "norm")), "deconv4"],
    "dcgan": ["linear", *(f"{kind}{i}" for i in range(4) for kind in ("norm", "deconv"))],
    "resnet_cifar": ["linear", *blocks(3), "norm", "conv"],
    "resnet19": ["linear", *blocks(5), "norm", "conv"],
}
DISCRIMINATOR_LAYERS = {
    "sndcgan": [*(f"{kind}{i}" for i in range(7) for kind in ("conv", "norm")), "linear"],
    "dcgan": ["conv0", *(f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "norm")), "linear"],
    "resnet_cifar": [*blocks(4), "linear"],
    "resnet19": [*blocks(6), "linear"],
}
AUTOENCODER_LAYERS = ["conv0", "conv1", "encode", "norm0", "decode", "norm1", "deconv0", "norm2", "deconv1"]
"""The reference's names of the layers, in the order of our parameters."""

FLAT = {
    "generator": {"linear.kernel": 1, "linear.bias": 0},
    "sndcgan generator": {"linear.kernel": 1, "linear.bias": 0, "norm0.scale": 0, "norm0.offset": 0, "norm0": 0},
    "sndcgan discriminator": {"linear.kernel": 0, "linear.u": 0},
    "dcgan discriminator": {"linear.kernel": 0, "linear.u": 0},
    "autoencoder": {
        "encode.kernel": 0,
        "encode.u": 0,
        "decode.kernel": 1,
        "decode.bias": 0,
        "decode.v": 0,
        "norm1.scale": 0,
        "norm1.offset": 0,
    },
}
"""The axes that are flattened maps, [C, H, W] in ours and [H, W, C] in the reference."""


class Smooth(nn.Module):
    """Stands for ReLU and leaky ReLU."""

    def __init__(self, slope=0.0):
        super().__init__()
        self.slope = slope

    def forward(self, maps):
        return self.slope * maps + (1 - self.slope) * softplus(maps, threshold=50)  # exact in float64


def smoothed(network):
    """A copy of a network without kinks."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU | ReLU | LeakyReLU):
            network.set_submodule(name, Smooth(getattr(module, "slope", 0.0)))
    return network


class Run:
    """A small GAN of ours with a random state, and the inputs of three cycles of updates.

    The weights keep the size of what passes through them, and no bias is 0, so that every term counts.
    """

    def __init__(self, architecture, name, *, smooth=False, size=None, batch=None, seed=0, **settings):
        self.method = parse(name, architecture)
        batch = batch or (2 if architecture == "resnet19" else 3)
        self.size, self.smooth = size or SMALLEST[architecture], smooth
        settings = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.9, "penalty_weight": 3.0} | settings
        if self.method.penalty is None:
            settings["penalty_weight"] = None
        self.trial = Trial(
            dataset="digits",
            method=self.method,
            hyperparameters=Hyperparameters(n_dis=N_DIS, **settings),
            training=Training(discriminator_steps=1, width=WIDTH, batch_size=batch, latent_dim=LATENTS),
        )
        self.gan = build(self.trial, CHANNELS, self.size)
        if smooth:
            networks = {name: smoothed(getattr(self.gan, name)) for name in ("generator", "discriminator")}
            self.gan = dataclasses.replace(self.gan, **networks)
        rng = torch.Generator().manual_seed(seed)
        self.state = _random(initial_state(self.gan, rng), rng)
        batches, steps = (batch, CHANNELS, self.size, self.size), N_DIS * CYCLES
        self.reals = torch.rand(steps, *batches, generator=rng, dtype=torch.float64)
        self.latents = torch.rand(steps, batch, LATENTS, generator=rng, dtype=torch.float64) * 2 - 1
        penalty = self.gan.penalty
        draws = [penalty.draw_noise(torch.Size(batches), rng) if penalty else torch.empty(0) for _ in range(steps)]
        self.noise = torch.stack(draws).double()

    def train(self):
        """The state after all cycles, and the sums of the losses; in the order of updates that training has."""
        lockstep = Lockstep(self.gan, [self.trial], EAGER, "cpu")
        steps = partial(discriminator_step, self.gan), partial(generator_step, self.gan)
        lockstep.programs = Programs(*steps, EAGER)  # untraced, which is quicker for a few updates
        lockstep.load(0, self.state, LossTally.empty("cpu"))
        for i in range(0, len(self.reals), N_DIS):
            part = slice(i, i + N_DIS)
            lockstep.run(i + 1, N_DIS, self.reals[part], self.latents[part], self.noise[part])
        return lockstep.state(0), lockstep.tallies()[0].sums

    def names(self, network):
        """(our names of a network's layers, the reference's), in order."""
        layers = (GENERATOR_LAYERS if network == "generator" else DISCRIMINATOR_LAYERS)[self.method.architecture]
        if network == "discriminator" and self.method.loss == "began":
            layers = AUTOENCODER_LAYERS
        ours = list(dict.fromkeys(name.rpartition(".")[0] for name in getattr(self.state, network)))
        if network == "discriminator" and not {"layer_norm", "batch_norm"} & {*self.method.normalizations}:
            layers = [layer for layer in layers if "norm" not in layer]
        return dict(zip(ours, layers, strict=True))

    def translated(self, state: State):
        """A state in the reference's names and layouts."""
        names = self.names("generator")
        averages = state.generator_buffers
        moving = {
            names[layer]: tuple(
                self._laid_out("generator", names[layer], averages[f"{layer}.running_{kind}"])
                for kind in ("mean", "var")
            )
            for layer in dict.fromkeys(name.rpartition(".")[0] for name in averages)
        }
        return {
            "generator": self._parameters("generator", state.generator),
            "averages": moving,
            "discriminator": self._parameters("discriminator", state.discriminator),
            "vectors": self._vectors(state.vectors),
            "balance": state.loss[0].numpy() if state.loss else torch.zeros(()).numpy(),
            "generator_adam": self._moments("generator", state),
            "discriminator_adam": self._moments("discriminator", state),
        }

    def _parameters(self, network, parameters):
        names, translated = self.names(network), {}
        for name, parameter in parameters.items():
            layer, _, kind = name.rpartition(".")
            kinds = {"weight": "scale", "bias": "offset"} if "norm" in names[layer] else {"weight": "kernel"}
            new = f"{names[layer]}.{kinds.get(kind, kind)}"
            translated[new] = self._laid_out(network, new, parameter)
        return translated

    def _vectors(self, vectors):
        names = self.names("discriminator")
        layers = {name.rsplit(".", 2)[0] for name in vectors}
        return {
            f"{names[layer]}.kernel": (
                self._laid_out("discriminator", f"{names[layer]}.u", vectors[f"{layer}.weight.right"]),
                self._laid_out("discriminator", f"{names[layer]}.v", vectors[f"{layer}.weight.left"]),
            )
            for layer in layers
        }

    def _moments(self, network, state):
        parameters, adam = getattr(state, network), getattr(state, f"{network}_adam")
        moments = {"updates": adam.updates.numpy()}
        for moment in ("first", "second"):
            pieces = getattr(adam, moment).split([parameter.numel() for parameter in parameters.values()])
            by_name = {
                name: shaped(piece, parameter)
                for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
            }
            moments[moment] = self._parameters(network, by_name)
        return moments

    def _laid_out(self, network, name, tensor):
        """A tensor of ours as an array of the reference."""
        if tensor.ndim > 1:
            tensor = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
        architecture, width = self.method.architecture, WIDTH
        key, channels = f"{architecture} {network}", 8 * width
        if network == "generator":
            key, channels = (key if key in FLAT else network), (4 if architecture == "resnet_cifar" else 8) * width
        elif self.method.loss == "began":
            key, channels = "autoencoder", 2 * width
        axis = FLAT.get(key, {}).get(name)
        if axis is not None:
            before, units, after = tensor.shape[:axis], tensor.shape[axis], tensor.shape[axis + 1 :]
            maps = tensor.reshape(*before, channels, units // channels, *after)
            tensor = maps.transpose(axis, axis + 1).reshape(tensor.shape)
        return tensor.numpy()


def _random(state, rng):
    """The state with random numbers in float64."""

    def draw(like):
        return torch.randn(like.shape, generator=rng, dtype=torch.float64)

    def parameters(named):
        drawn = {}
        for name, old in named.items():
            if old.ndim > 1:
                drawn[name] = draw(old) * (2 / old[0].numel()) ** 0.5
            else:
                drawn[name] = (1.0 if name.endswith("weight") else 0.0) + 0.2 * draw(old)
        return drawn

    buffers = {
        name: buffer if "num_batches" in name else 1 + 0.2 * draw(buffer)
        for name, buffer in state.generator_buffers.items()
    }
    vectors = {name: draw(vector) / vector.numel() ** 0.5 for name, vector in state.vectors.items()}
    double = tree_map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, state)
    return double._replace(
        generator=parameters(state.generator),
        discriminator=parameters(state.discriminator),
        generator_buffers=buffers,
        vectors=vectors,
        loss=tuple(torch.full_like(value, 0.3).double() for value in state.loss),
    )
