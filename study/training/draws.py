"""The random numbers of training, and the inputs of the diagnostics.

All random numbers are keyed by (seed, purpose, step): the draws of a step do not depend on earlier steps. They are
drawn on the CPU, so that a trial has the same on every device, and those of several steps go to a GPU at once.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from study.core.trial import Trial
from study.data import Images
from study.gan.diagnostics import DiagnosticBatches
from study.gan.model import Gan
from study.training.batches import send


def stream(seed: int, purpose: str, step: int) -> torch.Generator:
    """A random number generator for one purpose at one step of one seed, independent of all other keys."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def draw(gan: Gan, trial: Trial, shape: torch.Size, step: int) -> tuple[Tensor, Tensor]:
    """The latents [N, latent_dim], uniform in [-1, 1], and the penalty's noise of one step."""
    latents = torch.rand(shape[0], trial.training.latent_dim, generator=stream(trial.seed, "latents", step)) * 2 - 1
    if gan.penalty is None:
        return latents, latents.new_empty(0)
    return latents, gan.penalty.draw_noise(shape, stream(trial.seed, "penalty", step))


def draws(gan: Gan, slots: Sequence[Trial], shape: torch.Size, steps: Sequence[int], device: str) -> list[Tensor]:
    """The results of `draw` for n steps and all slots: [n, slots, ...], or [n, ...] for a single slot."""
    drawn = {}
    for trial in slots:  # trials with the same seed have the same draws
        if trial.seed not in drawn:
            each = (draw(gan, trial, shape, step) for step in steps)
            drawn[trial.seed] = [torch.stack(kind) for kind in zip(*each, strict=True)]
    if len(slots) == 1:
        kinds = drawn[slots[0].seed]
    else:
        kinds = [torch.stack(kind, dim=1) for kind in zip(*(drawn[trial.seed] for trial in slots), strict=True)]
    return [send(kind, device) for kind in kinds]


def diagnostic_batches(trial: Trial, images: Images, device: str) -> DiagnosticBatches:
    """The first images of each split, and latents and places that are the same at all checkpoints of a trial."""
    rng = stream(trial.seed, "diagnostics", 0)
    splits = (split[: trial.training.batch_size] for split in (images.train, images.test))
    train, test = (torch.from_numpy(split.copy()).float() / 255 for split in splits)
    latents = torch.rand(len(train), trial.training.latent_dim, generator=rng) * 2 - 1
    places = torch.rand(len(train), 1, 1, 1, generator=rng)
    return DiagnosticBatches(*(send(batch, device) for batch in (train, test, latents, places)))
