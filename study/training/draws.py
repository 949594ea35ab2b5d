"""The random numbers of training, and the inputs of the diagnostics.

All random numbers are keyed by (seed, purpose, step): the draws of a step do not depend on earlier steps.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from study.core.trial import Trial
from study.data import Images
from study.gan.diagnostics import DiagnosticBatches
from study.gan.model import Gan


def stream(seed: int, purpose: str, step: int, device: str = "cpu") -> torch.Generator:
    """A random number generator for one purpose at one step of one seed, independent of all other keys."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def draw(gan: Gan, trial: Trial, shape: torch.Size, step: int, device: str) -> tuple[Tensor, Tensor]:
    """The latents [N, latent_dim], uniform in [-1, 1], and the penalty's noise of one step."""
    rng = stream(trial.seed, "latents", step, device)
    latents = torch.rand(shape[0], trial.training.latent_dim, generator=rng, device=device) * 2 - 1
    if gan.penalty is None:
        return latents, latents.new_empty(0)
    return latents, gan.penalty.draw_noise(shape, stream(trial.seed, "penalty", step, device))


def draws(gan: Gan, slots: Sequence[Trial], shape: torch.Size, steps: Sequence[int], device: str) -> list[Tensor]:
    """The results of `draw` for n steps and all slots: [n, slots, ...], or [n, ...] for a single slot."""
    drawn = {}
    for trial in slots:  # trials with the same seed have the same draws
        if trial.seed not in drawn:
            each = (draw(gan, trial, shape, step, device) for step in steps)
            drawn[trial.seed] = [torch.stack(kind) for kind in zip(*each, strict=True)]
    if len(slots) == 1:
        return drawn[slots[0].seed]
    return [torch.stack(kind, dim=1) for kind in zip(*(drawn[trial.seed] for trial in slots), strict=True)]


def diagnostic_batches(trial: Trial, images: Images, device: str) -> DiagnosticBatches:
    """The first images of each split, and latents and places that are the same at all checkpoints of a trial."""
    rng = stream(trial.seed, "diagnostics", 0, device)
    splits = (split[: trial.training.batch_size] for split in (images.train, images.test))
    train, test = (torch.from_numpy(split.copy()).to(device).float() / 255 for split in splits)
    n = len(train)
    latents = torch.rand(n, trial.training.latent_dim, generator=rng, device=device) * 2 - 1
    return DiagnosticBatches(train, test, latents, torch.rand(n, 1, 1, 1, generator=rng, device=device))
