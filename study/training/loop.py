"""Trains GANs and scores them at checkpoints. Does not depend on Ray or on files.

The random numbers of a step (`study.training.draws`) and its real images (`study.training.batches`) do not depend on
earlier steps.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.data import Images
from study.gan.diagnostics import DiagnosticBatches, diagnose
from study.gan.model import Gan, State, build, initial_state
from study.gan.program import EAGER
from study.metrics.scoring import Scorer, ScoreResult
from study.training.batches import real_batches
from study.training.draws import diagnostic_batches, draws, stream
from study.training.lockstep import Diverged, Lockstep, LossTally, Position, not_finite

CHECK_EVERY = 50
"""D updates between checks for divergence; each check waits for the device."""


class Seconds(NamedTuple):
    """Seconds spent on a trial."""

    training: float
    scoring: float


class Checkpoint(NamedTuple):
    """A scored checkpoint of a trial.

    Attributes:
        evaluation: its scores, mean losses and diagnostics.
        gan: the static structure.
        state: the training state.
        training_seconds, scoring_seconds: spent on the trial so far.
        lockstep: the slots that it was trained in.
    """

    evaluation: Evaluation
    gan: Gan
    state: State
    training_seconds: float
    scoring_seconds: float
    lockstep: Lockstep

    @property
    def position(self) -> Position:
        """Where training continues, with empty sums of the losses."""
        tally = LossTally.empty(next(iter(self.state.generator.values())).device)
        step = self.evaluation.discriminator_step
        return Position(step, self.state, tally, self.training_seconds, self.scoring_seconds)


def train(
    trial: Trial,
    images: Images,
    scorer: Scorer,
    *,
    start: Position | None = None,
    on_position: Callable[[float, Callable[[], Position]], None] = lambda *_: None,
    **options: Any,
) -> Iterator[Checkpoint]:
    """`train_pack` for one trial, with the same other arguments; raises Diverged if the trial diverges."""
    pack = train_pack([trial], images, scorer, starts=[start], on_position=lambda _, *now: on_position(*now), **options)
    for _, result in pack:
        if isinstance(result, Diverged):
            raise result
        yield result


@torch.no_grad()  # a decorated generator restores the caller's gradient mode at each yield
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
    on_position: Callable[[int, float, Callable[[], Position]], None] = lambda *_: None,
) -> Iterator[tuple[int, Checkpoint | Diverged]]:
    """Trains trials of one cell, and yields their checkpoints.

    Yields (slot, checkpoint) for each checkpoint, and (slot, Diverged) once for a trial that diverges.

    Checkpoints come every `checkpoint_every` D updates and after the last one. Steps count D updates (section 2.6 of
    the paper); G is updated at steps 1, 1 + n_dis, 1 + 2 n_dis, ..., with the latents of that step; every step has a
    new batch of real images.

    A trial continues from its start (a position of the same trial, or of the same one with fewer steps) as if it had
    never stopped: bit-identically, and with the seconds spent so far. It waits until the other trials reach its step.

    Several trials are computed in one program, each in its slot; None is an empty slot. Rounding depends on the number
    of slots and on the slot, so an incomplete pack gives bit-identical results only if each trial keeps its slot and
    the number of slots stays the same. Seconds are divided equally among the trials that train.

    Args:
        trials: one per slot, or None.
        images: the prepared dataset.
        scorer: scores the checkpoints.
        checkpoint_every: D updates between checkpoints.
        device: cpu, cuda or cuda:N.
        operator_norms: see `study.gan.diagnostics`.
        compiler: a key of `study.gan.program.COMPILERS`.
        starts: positions to continue from, one per slot; None begins at step 0.
        on_position: called about every CHECK_EVERY D updates between checkpoints, if all losses so far are finite,
            with (slot, seconds of training, a function that returns the position, which copies the state); its time
            is not counted.

    Raises InputError if the trials cannot be built for these images, ValueError if they are of several cells, and
    OutOfMemoryError if they do not fit in memory together.
    """
    first = check_same_cell([trial for trial in trials if trial])
    fixed, n_dis = first.training, first.hyperparameters.n_dis
    gan = build(first, *images.train.shape[1:3])
    slots = [trial or first for trial in trials]
    batches = real_batches(images, fixed, device)
    lockstep = Lockstep(gan, slots, compiler, device)
    waiting = _starts(gan, trials, starts or [None] * len(trials), device)
    diagnosed = {slot: diagnostic_batches(slots[slot], images, device) for slot in waiting}

    def with_draws(reals: Tensor, numbers: range) -> list[Tensor]:
        return [reals, *draws(gan, slots, reals.shape[1:], numbers, device)]

    training: dict[int, Seconds] = {}
    step = 0
    while waiting or training:
        step = step if training else min(start.step for start in waiting.values())
        if entered := _enter(lockstep, waiting, step):
            training |= entered
            blank = torch.zeros(n_dis, fixed.batch_size, *images.train.shape[1:], device=device)
            lockstep.prepare(*with_draws(blank, range(1, n_dis + 1)))  # not counted as training
        ends = [fixed.discriminator_steps, *(start.step for start in waiting.values())]
        stop = min(*ends, *(step - step % every + every for every in (CHECK_EVERY, checkpoint_every)))
        clock = time.perf_counter()
        for numbers in _cycles(step, stop, n_dis):
            lockstep.run(numbers[0], n_dis, *with_draws(batches(numbers), numbers))
        step = stop
        at_checkpoint = step == fixed.discriminator_steps or step % checkpoint_every == 0
        tallies = lockstep.tallies()
        diverged = _diverged(lockstep, tallies, training, step, parameters=at_checkpoint)
        share = (time.perf_counter() - clock) / len(training)
        training = {slot: Seconds(spent.training + share, spent.scoring) for slot, spent in training.items()}
        for slot, error in diverged.items():
            del training[slot]
            yield slot, error
        if not at_checkpoint:
            for slot, spent in training.items():
                on_position(slot, spent.training, partial(_position, lockstep, slot, step, tallies[slot], spent))
            continue
        yield from _checkpoints(lockstep, step, training, tallies, scorer, diagnosed, operator_norms=operator_norms)
        if step == fixed.discriminator_steps:
            training.clear()


def check_same_cell(trials: Sequence[Trial]) -> Trial:
    """The first trial, whose cell is that of all trials; raises ValueError for trials of several cells."""
    if (cells := len({trial.cell for trial in trials})) != 1:
        raise ValueError(f"trials of {cells} cells cannot be trained together")
    return trials[0]


def _starts(
    gan: Gan, trials: Sequence[Trial | None], starts: Sequence[Position | None], device: str
) -> dict[int, Position]:
    """The start of each trial by slot, without trials that have reached their last step."""
    positions = {}
    for slot, (trial, start) in enumerate(zip(trials, starts, strict=True)):
        if trial and start is None:
            state = initial_state(gan, stream(trial.seed, "initial", 0))
            state = pytree.tree_map(lambda tensor: tensor.to(device), state)
            start = Position(0, state, LossTally.empty(device), 0.0, 0.0)
        if trial and start and start.step < trial.training.discriminator_steps:
            positions[slot] = start
    return positions


def _enter(lockstep: Lockstep, waiting: dict[int, Position], step: int) -> dict[int, Seconds]:
    """Loads the trials that start at this step into their slots and removes them from `waiting`.

    Returns the seconds spent so far, by slot.
    """
    entered = {}
    for slot in [slot for slot, start in waiting.items() if start.step == step]:
        start = waiting.pop(slot)
        lockstep.load(slot, start.state, start.tally)
        entered[slot] = Seconds(start.training_seconds, start.scoring_seconds)
    return entered


def _position(lockstep: Lockstep, slot: int, step: int, tally: LossTally, spent: Seconds) -> Position:
    return Position(step, lockstep.state(slot), tally, *spent)


def _cycles(step: int, stop: int, n_dis: int) -> Iterator[range]:
    """The D updates after `step` up to `stop`, in groups that belong to one update of G."""
    while step < stop:
        end = min(step - step % n_dis + n_dis, stop)
        yield range(step + 1, end + 1)
        step = end


def _checkpoints(
    lockstep: Lockstep,
    step: int,
    training: dict[int, Seconds],
    tallies: Sequence[LossTally],
    scorer: Scorer,
    diagnosed: Mapping[int, DiagnosticBatches],
    *,
    operator_norms: bool,
) -> Iterator[tuple[int, Checkpoint | Diverged]]:
    """Scores all training trials, adds the time to their seconds, and resets their sums of losses.

    A trial whose generator has diverged is removed from `training`.
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
        means = tallies[slot].means()
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


def _diverged(
    lockstep: Lockstep, tallies: Sequence[LossTally], slots: Iterable[int], step: int, *, parameters: bool
) -> dict[int, Diverged]:
    """The trials with a loss, or on request a parameter, that is not finite."""
    broken = lockstep.broken_networks() if parameters else [None] * lockstep.slots
    diverged = {}
    for slot in slots:
        try:
            tallies[slot].check()
            if network := broken[slot]:
                raise not_finite(network, step)
        except Diverged as error:
            diverged[slot] = error
    return diverged


def make_evaluation(trial: Trial, step: int, scorer: Scorer, scored: ScoreResult | None) -> Evaluation:
    """A generator's scores, without losses and diagnostics; raises Diverged if `scored` is None."""
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
