"""Trains one GAN and scores it on the way. Knows nothing of Ray or of files.

All randomness is keyed by (seed, purpose, step), and the order of the real images by (data seed, epoch): what a step
draws depends on nothing that happened before it.
"""

import hashlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from study.batches import real_batches
from study.data import Images
from study.gan.diagnostics import Batches, diagnose
from study.gan.model import Gan, Settings, State, build, initial_state
from study.gan.program import programs
from study.metrics.scoring import Scorer
from study.trial import Evaluation, Trial

CHECK_EVERY = 50
"""D updates between looks at whether training has diverged: each look waits for the device."""


class Diverged(Exception):  # noqa: N818  an outcome, not an error
    """A loss, a parameter or a generated image is no finite number; the message says what and at which step."""


class Checkpoint(NamedTuple):
    """A scored moment of a trial: its evaluation, what was trained, and the seconds spent on it so far."""

    evaluation: Evaluation
    gan: Gan
    state: State
    training_seconds: float
    scoring_seconds: float


def train(
    trial: Trial,
    images: Images,
    scorer: Scorer,
    *,
    checkpoint_every: int,
    device: str = "cpu",
    operator_norms: bool = False,
    start: Checkpoint | None = None,
) -> Iterator[Checkpoint]:
    """Trains `trial` and yields a checkpoint every `checkpoint_every` D updates and after the last one.

    From `start`, a checkpoint of this trial or of the same one with fewer steps, it goes on as if it had never stopped:
    to the same bit, and with the seconds spent so far.

    Steps count D updates (section 2.6 of the paper); G is updated on steps 1, 1 + n_dis, 1 + 2 n_dis, ..., on the
    latents of that step; every step takes a fresh batch of real images. `operator_norms`: see `study.gan.diagnostics`.

    Raises Diverged, and InputError where the trial cannot be built for these images.
    """
    training, n_dis = trial.training, trial.hyperparameters.n_dis
    gan = build(trial, *images.train.shape[1:3])
    steps = programs(gan)
    with torch.no_grad():
        done = start.evaluation.discriminator_step if start else 0
        state = start.state if start else initial_state(gan, stream(trial.seed, "initial", 0, device))
        settings = Settings.of(trial.hyperparameters, device)
        batches = real_batches(images, training, device)
        diagnosed = diagnostic_batches(trial, images, device)
        tally = Tally(device)
        trained, scored = (start.training_seconds, start.scoring_seconds) if start else (0.0, 0.0)
        clock = time.perf_counter()
        for step in range(done + 1, training.discriminator_steps + 1):
            real = batches(step)
            latents, noise = draw(gan, trial, real.shape, step, device)
            state, metrics = steps.discriminator(state, settings, real, latents, noise)
            generator_loss = None
            if (step - 1) % n_dis == 0:
                state, generator_loss = steps.generator(state, settings, latents)
            tally.add(step, metrics.loss, metrics.penalty, generator_loss)
            last = step == training.discriminator_steps
            if last or step % CHECK_EVERY == 0 or step % checkpoint_every == 0:
                tally.check()
            if last or step % checkpoint_every == 0:
                check_parameters(state, step)
                trained += time.perf_counter() - clock
                clock = time.perf_counter()
                networks = (state.generator, state.generator_buffers)
                scored_now = scorer.score(lambda z, n=networks: gan.sample(*n, z.to(device)), training.latent_dim)
                if scored_now is None:
                    raise Diverged(f"generated images are not finite at step {step}")
                evaluation = Evaluation(
                    trial_id=trial.id,
                    discriminator_step=step,
                    protocol_id=scorer.protocol.id,
                    frechet_distance=scored_now.frechet_distance,
                    scores=scored_now.scores,
                    **tally.means(),
                    diagnostics=diagnose(gan, state, diagnosed, operator_norms=operator_norms),
                )
                scored += time.perf_counter() - clock
                yield Checkpoint(evaluation, gan, state, trained, scored)
                tally = Tally(device)
                clock = time.perf_counter()


class Tally:
    """Sums of the losses since the last checkpoint and the first step at which one was not finite, on the device."""

    def __init__(self, device: str) -> None:
        self.sums = torch.zeros(3, device=device)
        self.steps = self.generator_steps = 0
        self.diverged_at = torch.zeros((), device=device)

    def add(self, step: int, discriminator: Tensor, penalty: Tensor, generator: Tensor | None) -> None:
        self.steps += 1
        self.generator_steps += generator is not None
        losses = torch.stack(
            [discriminator, penalty, torch.zeros_like(discriminator) if generator is None else generator]
        )
        self.sums = self.sums + losses
        fresh = (self.diverged_at == 0) & ~losses.isfinite().all()
        self.diverged_at = torch.where(fresh, step, self.diverged_at)

    def check(self) -> None:
        """Raises Diverged where a loss was not finite."""
        if step := int(self.diverged_at):
            raise Diverged(f"a loss is not finite at step {step}")

    def means(self) -> dict[str, float | None]:
        """The mean losses, by the names of their columns; None for G's where it was not updated."""
        discriminator, penalty, generator = self.sums.tolist()
        return {
            "discriminator_loss": discriminator / self.steps,
            "penalty": penalty / self.steps,
            "generator_loss": generator / self.generator_steps if self.generator_steps else None,
        }


def check_parameters(state: State, step: int) -> None:
    """Raises Diverged where a parameter of either network is not finite."""
    for network, parameters in (("discriminator", state.discriminator), ("generator", state.generator)):
        if not all(bool(parameter.isfinite().all()) for parameter in parameters.values()):
            raise Diverged(f"a parameter of the {network} is not finite at step {step}")


def stream(seed: int, purpose: str, step: int, device: str = "cpu") -> torch.Generator:
    """The random numbers of one purpose at one step of one seed; those of no other key are related to them."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def draw(gan: Gan, trial: Trial, shape: torch.Size, step: int, device: str) -> tuple[Tensor, Tensor]:
    """Latents [N, latent_dim], uniform in [-1, 1], and the penalty's noise, of one step."""
    rng = stream(trial.seed, "latents", step, device)
    latents = torch.rand(shape[0], trial.training.latent_dim, generator=rng, device=device) * 2 - 1
    if gan.penalty is None:
        return latents, latents.new_empty(0)
    return latents, gan.penalty.draw_noise(shape, stream(trial.seed, "penalty", step, device))


def diagnostic_batches(trial: Trial, images: Images, device: str) -> Batches:
    """The first images of each split, and latents and places that are the same at all checkpoints of a trial."""
    rng = stream(trial.seed, "diagnostics", 0, device)
    splits = (split[: trial.training.batch_size] for split in (images.train, images.test))
    train, test = (torch.from_numpy(split.copy()).to(device).float() / 255 for split in splits)
    n = len(train)
    latents = torch.rand(n, trial.training.latent_dim, generator=rng, device=device) * 2 - 1
    return Batches(train, test, latents, torch.rand(n, 1, 1, 1, generator=rng, device=device))
