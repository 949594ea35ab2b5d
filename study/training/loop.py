"""Trains GANs and scores them on the way. Knows nothing of Ray or of files.

All randomness is keyed by (seed, purpose, step), and the order of the real images by (data seed, epoch): what a step
draws depends on nothing that happened before it.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.data import Images
from study.gan.diagnostics import DiagnosticBatches, diagnose
from study.gan.model import Gan, State, build, initial_state
from study.gan.program import EAGER
from study.metrics.scoring import Scorer, ScoreResult
from study.training.batches import real_batches
from study.training.lockstep import Diverged, Lockstep, LossTally, Position

CHECK_EVERY = 50
"""D updates between looks at whether training has diverged: each look waits for the device."""


class Seconds(NamedTuple):
    """Spent on a trial."""

    training: float
    scoring: float


class Checkpoint(NamedTuple):
    """A scored moment of a trial: its evaluation, what was trained, the seconds spent on it so far, and by what."""

    evaluation: Evaluation
    gan: Gan
    state: State
    training_seconds: float
    scoring_seconds: float
    lockstep: Lockstep

    @property
    def position(self) -> Position:
        """Where training goes on: the losses are summed anew."""
        tally = LossTally.empty(next(iter(self.state.generator.values())).device)
        step = self.evaluation.discriminator_step
        return Position(step, self.state, tally, self.training_seconds, self.scoring_seconds)


def train(
    trial: Trial,
    images: Images,
    scorer: Scorer,
    *,
    start: Position | None = None,
    on_position: Callable[[Position], None] = lambda _: None,
    **how: Any,
) -> Iterator[Checkpoint]:
    """`train_pack` of one trial, with its other arguments; raises Diverged where that does."""
    pack = train_pack(
        [trial], images, scorer, starts=[start], on_position=lambda _, position: on_position(position), **how
    )
    for _, reached in pack:
        if isinstance(reached, Diverged):
            raise reached
        yield reached


@torch.no_grad()  # which leaves its callers as they are, between two checkpoints too
def train_pack(
    trials: Sequence[Trial | None],
    images: Images,
    scorer: Scorer,
    *,
    checkpoint_every: int,
    device: str = "cpu",
    operator_norms: bool = False,
    compiler: str = EAGER,
    starts: Sequence[Position | None] | None = None,
    on_position: Callable[[int, Position], None] = lambda *_: None,
) -> Iterator[tuple[int, Checkpoint | Diverged]]:
    """Trains trials of one cell, and yields the slot of one with each checkpoint of it, or with how it diverged.

    Checkpoints come every `checkpoint_every` D updates and after the last one. Steps count D updates (section 2.6 of
    the paper); G is updated on steps 1, 1 + n_dis, 1 + 2 n_dis, ..., on the latents of that step; every step takes a
    fresh batch of real images. `operator_norms`: see `study.gan.diagnostics`.

    From its start, a position of this trial or of the same one with fewer steps, a trial goes on as if it had never
    stopped: to the same bit, and with the seconds spent so far. It waits there until the others have come as far.
    `between` is shown positions between checkpoints, about every CHECK_EVERY D updates, all losses up to which are
    finite; the time that it takes counts for nothing.

    Several trials are computed in one program, each in its slot; None is a slot that computes for nobody. Rounding
    differs from that of a trial alone, with the number of slots, and with the slot: what is left of a pack has the bits
    of the whole where each trial stands in its old slot of as many. Seconds are shared by those that train.

    Raises InputError where the trials cannot be built for these images, ValueError where they are of several cells, and
    OutOfMemoryError where so many do not fit.
    """
    some = check_same_cell([trial for trial in trials if trial])
    fixed, n_dis = some.training, some.hyperparameters.n_dis
    gan = build(some, *images.train.shape[1:3])
    slots = [trial or some for trial in trials]
    batches = real_batches(images, fixed, device)
    lockstep = Lockstep(gan, slots, compiler, device)
    waiting = _starts(gan, trials, starts or [None] * len(trials), device)
    diagnosed = {slot: diagnostic_batches(slots[slot], images, device) for slot in waiting}
    training: dict[int, Seconds] = {}
    step = 0
    while waiting or training:
        step = step if training else min(start.step for start in waiting.values())
        training |= _enter(lockstep, waiting, step)
        ends = [fixed.discriminator_steps, *(start.step for start in waiting.values())]
        stop = min(*ends, *(step - step % every + every for every in (CHECK_EVERY, checkpoint_every)))
        clock = time.perf_counter()
        for numbers in _cycles(step, stop, n_dis):
            reals = torch.stack([batches(number) for number in numbers])
            lockstep.run(numbers[0], n_dis, reals, *draws(gan, slots, reals.shape[1:], numbers, device))
        step = stop
        at_checkpoint = step == fixed.discriminator_steps or step % checkpoint_every == 0
        lost = _diverged(lockstep, training, step, parameters=at_checkpoint)
        share = (time.perf_counter() - clock) / len(training)
        training = {slot: Seconds(spent.training + share, spent.scoring) for slot, spent in training.items()}
        for slot, error in lost.items():
            del training[slot]
            yield slot, error
        if not at_checkpoint:
            for slot, spent in training.items():
                on_position(slot, Position(step, lockstep.state(slot), lockstep.tally(slot), *spent))
            continue
        yield from _checkpoints(lockstep, step, training, scorer, diagnosed, operator_norms=operator_norms)
        if step == fixed.discriminator_steps:
            training.clear()


def check_same_cell(trials: Sequence[Trial]) -> Trial:
    """One of the trials, for all that those of a cell share; raises ValueError where they are of several."""
    if (cells := len({trial.cell for trial in trials})) != 1:
        raise ValueError(f"trials of {cells} cells cannot be trained together")
    return trials[0]


def _starts(
    gan: Gan, trials: Sequence[Trial | None], starts: Sequence[Position | None], device: str
) -> dict[int, Position]:
    """Where trials go on or begin, by slot, but for those that are at their end."""
    found = {}
    for slot, (trial, start) in enumerate(zip(trials, starts, strict=True)):
        if trial and start is None:
            state = initial_state(gan, stream(trial.seed, "initial", 0, device))
            start = Position(0, state, LossTally.empty(device), 0.0, 0.0)
        if trial and start and start.step < trial.training.discriminator_steps:
            found[slot] = start
    return found


def _enter(lockstep: Lockstep, waiting: dict[int, Position], step: int) -> dict[int, Seconds]:
    """Those that waited for this step no longer do; the seconds spent on each so far."""
    entered = {}
    for slot in [slot for slot, start in waiting.items() if start.step == step]:
        start = waiting.pop(slot)
        lockstep.load(slot, start.state, start.tally)
        entered[slot] = Seconds(start.training_seconds, start.scoring_seconds)
    return entered


def _cycles(step: int, stop: int, n_dis: int) -> Iterator[range]:
    """The D updates after `step` up to `stop`, those that belong to one update of G together."""
    while step < stop:
        end = min(step - step % n_dis + n_dis, stop)
        yield range(step + 1, end + 1)
        step = end


def _checkpoints(
    lockstep: Lockstep,
    step: int,
    training: dict[int, Seconds],
    scorer: Scorer,
    diagnosed: Mapping[int, DiagnosticBatches],
    *,
    operator_norms: bool,
) -> Iterator[tuple[int, Checkpoint | Diverged]]:
    """Scores all that train, adds what that took to their seconds, and begins their tallies anew.

    Those whose generator has diverged train no longer.
    """
    clock = time.perf_counter()
    scored = scorer.score_pack(lockstep.sample, lockstep.trials[0].training.latent_dim, len(lockstep.trials))
    share = (time.perf_counter() - clock) / max(1, len(training))
    for slot, spent in list(training.items()):
        clock = time.perf_counter()
        try:
            evaluation = make_evaluation(lockstep.trials[slot], step, scorer, scored[slot])
        except Diverged as error:
            del training[slot]
            yield slot, error
            continue
        state = lockstep.state(slot)
        diagnostics = diagnose(lockstep.gan, state, diagnosed[slot], operator_norms=operator_norms)
        means = lockstep.tally(slot).means()
        evaluation = replace(
            evaluation,
            discriminator_loss=means.discriminator_loss,
            generator_loss=means.generator_loss,
            penalty=means.penalty,
            diagnostics=diagnostics,
        )
        training[slot] = spent._replace(scoring=spent.scoring + share + time.perf_counter() - clock)
        yield slot, Checkpoint(evaluation, lockstep.gan, state, *training[slot], lockstep)
        lockstep.reset_tally(slot)


def _diverged(lockstep: Lockstep, slots: Iterable[int], step: int, *, parameters: bool) -> dict[int, Diverged]:
    """Those of which a loss, or where asked for a parameter, is not finite."""
    found = {}
    for slot in slots:
        try:
            lockstep.tally(slot).check()
            if parameters:
                check_parameters(lockstep.state(slot), step)
        except Diverged as error:
            found[slot] = error
    return found


def make_evaluation(trial: Trial, step: int, scorer: Scorer, scored: ScoreResult | None) -> Evaluation:
    """A generator's scores, without losses and diagnostics; raises Diverged where there are none."""
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


def draws(gan: Gan, slots: Sequence[Trial], shape: torch.Size, steps: Sequence[int], device: str) -> list[Tensor]:
    """What `draw` gives, of n steps and the trials of all slots: [n, slots, ...], or [n, ...] where there is one."""
    drawn = {}
    for trial in slots:  # those of one seed draw the same
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
