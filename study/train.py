"""Trains one GAN and scores it on the way. Knows nothing of Ray or of files.

All randomness is keyed by (seed, purpose, step), and the order of the real images by (data seed, epoch): what a step
draws depends on nothing that happened before it.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
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


class Tally(NamedTuple):
    """Sums of the losses since the last checkpoint and the first step at which one was not finite, on the device.

    Attributes:
        sums: of D's loss, the penalty and G's loss; float32 [3].
        diverged_at: float32 scalar; 0 where all were finite.
        steps, generator_steps: updates of D and of G that they are sums of.
    """

    sums: Tensor
    diverged_at: Tensor
    steps: int = 0
    generator_steps: int = 0

    @classmethod
    def empty(cls, device: str | torch.device) -> "Tally":
        return cls(torch.zeros(3, device=device), torch.zeros((), device=device))

    def add(self, step: int, discriminator: Tensor, penalty: Tensor, generator: Tensor | None) -> "Tally":
        losses = torch.stack(
            [discriminator, penalty, torch.zeros_like(discriminator) if generator is None else generator]
        )
        fresh = (self.diverged_at == 0) & ~losses.isfinite().all()
        diverged_at = torch.where(fresh, step, self.diverged_at)
        return Tally(self.sums + losses, diverged_at, self.steps + 1, self.generator_steps + (generator is not None))

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


class Position(NamedTuple):
    """Where training stands after `step` D updates: all that it goes on from, and the seconds spent on it so far."""

    step: int
    state: State
    tally: Tally
    training_seconds: float
    scoring_seconds: float


class Checkpoint(NamedTuple):
    """A scored moment of a trial: its evaluation, what was trained, and the seconds spent on it so far."""

    evaluation: Evaluation
    gan: Gan
    state: State
    training_seconds: float
    scoring_seconds: float

    @property
    def position(self) -> Position:
        """Where training goes on: the losses are summed anew."""
        tally = Tally.empty(next(iter(self.state.generator.values())).device)
        step = self.evaluation.discriminator_step
        return Position(step, self.state, tally, self.training_seconds, self.scoring_seconds)


def train(
    trial: Trial,
    images: Images,
    scorer: Scorer,
    *,
    checkpoint_every: int,
    device: str = "cpu",
    operator_norms: bool = False,
    start: Position | None = None,
    between: Callable[[Position], None] = lambda _: None,
) -> Iterator[Checkpoint]:
    """Trains `trial` and yields a checkpoint every `checkpoint_every` D updates and after the last one.

    From `start`, a position of this trial or of the same one with fewer steps, it goes on as if it had never stopped:
    to the same bit, and with the seconds spent so far. `between` is shown positions between checkpoints, about every
    CHECK_EVERY D updates, all losses up to which are finite; the time that it takes counts for nothing.

    Steps count D updates (section 2.6 of the paper); G is updated on steps 1, 1 + n_dis, 1 + 2 n_dis, ..., on the
    latents of that step; every step takes a fresh batch of real images. `operator_norms`: see `study.gan.diagnostics`.

    Raises Diverged, and InputError where the trial cannot be built for these images.
    """
    training, n_dis = trial.training, trial.hyperparameters.n_dis
    gan = build(trial, *images.train.shape[1:3])
    steps = programs(gan)
    with torch.no_grad():
        if start is None:
            state = initial_state(gan, stream(trial.seed, "initial", 0, device))
            start = Position(0, state, Tally.empty(device), 0.0, 0.0)
        done, state, tally, trained, scored = start
        start = None  # it would keep the first state in memory
        settings = Settings.of(trial.hyperparameters, device)
        batches = real_batches(images, training, device)
        diagnosed = diagnostic_batches(trial, images, device)
        clock = time.perf_counter()
        for step in range(done + 1, training.discriminator_steps + 1):
            real = batches(step)
            latents, noise = draw(gan, trial, real.shape, step, device)
            state, metrics = steps.discriminator(state, settings, real, latents, noise)
            generator_loss = None
            if (step - 1) % n_dis == 0:
                state, generator_loss = steps.generator(state, settings, latents)
            tally = tally.add(step, metrics.loss, metrics.penalty, generator_loss)
            at_checkpoint = step == training.discriminator_steps or step % checkpoint_every == 0
            if not at_checkpoint and step % CHECK_EVERY:
                continue
            tally.check()
            if at_checkpoint:
                check_parameters(state, step)
            trained += time.perf_counter() - clock
            clock = time.perf_counter()
            if at_checkpoint:
                networks = (state.generator, state.generator_buffers)
                scores = score(trial, step, scorer, lambda z, n=networks: gan.sample(*n, z.to(device)))
                diagnostics = diagnose(gan, state, diagnosed, operator_norms=operator_norms)
                evaluation = replace(scores, **tally.means(), diagnostics=diagnostics)
                scored += time.perf_counter() - clock
                yield Checkpoint(evaluation, gan, state, trained, scored)
                tally = Tally.empty(device)
            else:
                between(Position(step, state, tally, trained, scored))
            clock = time.perf_counter()


def score(trial: Trial, step: int, scorer: Scorer, generate: Callable[[Tensor], Tensor]) -> Evaluation:
    """The scores of a generator, without losses and diagnostics; raises Diverged where its images are not finite."""
    scored = scorer.score(generate, trial.training.latent_dim)
    if scored is None:
        raise Diverged(f"generated images are not finite at step {step}")
    return Evaluation(
        trial_id=trial.id,
        discriminator_step=step,
        protocol_id=scorer.protocol.id,
        frechet_distance=scored.frechet_distance,
        scores=scored.scores,
        discriminator_loss=None,
        generator_loss=None,
        penalty=None,
    )


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
