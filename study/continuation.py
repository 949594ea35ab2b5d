"""A longer trial that goes on from the state that the same trial with fewer steps left in the results folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from study.checkpoint import load_generator, load_state
from study.names import InputError
from study.results import generator_path, state_path
from study.train import Checkpoint
from study.trial import Evaluation, Trial


class Continuation(NamedTuple):
    """What the shorter trial hands over.

    Attributes:
        evaluations: its own, under the longer trial's id.
        best: the one with the lowest score, the first of equals; of its state only the generator is of that moment.
        last: where training goes on.
    """

    evaluations: tuple[Evaluation, ...]
    best: Checkpoint
    last: Checkpoint


def continuation(
    trial: Trial,
    parent: Trial,
    results: Path,
    conditions: Mapping[str, Any],
    *,
    device: str = "cpu",
    peek: bool = False,
) -> Continuation | None:
    """What `trial` goes on from, so that its rows are those of training from the start; None where no state is kept.

    Args:
        parent: the same trial with fewer steps.
        conditions: under which the longer trial is scored (`study.execute.Context.conditions`).
        peek: see `study.checkpoint.load_state`.

    Raises InputError where the state or the parent's best generator is missing, damaged, another's or scored otherwise.
    """
    path = state_path(results, parent.id)
    if not path.is_file():
        return None
    kept = load_state(path, device=device, peek=peek)
    if kept.trial != parent:
        raise InputError(f"{path}: holds the state of trial {kept.trial.id}.")
    if differing := [name for name, value in conditions.items() if kept.conditions.get(name) != value]:
        raise InputError(f"the shorter trials were scored otherwise ({', '.join(differing)}).")
    every, done = conditions["checkpoint_every"], kept.last.evaluation.discriminator_step
    if done != parent.training.discriminator_steps or done % every:
        raise InputError(f"the shorter trials end at step {done}, and the longer ones are scored every {every}.")
    evaluations = tuple(replace(evaluation, trial_id=trial.id) for evaluation in kept.evaluations)
    lowest = min(evaluations, key=lambda e: (e.frechet_distance, e.discriminator_step))
    generator = load_generator(generator_path(results, parent.id), peek=peek).to(device)
    if (generator.trial, generator.step) != (parent, lowest.discriminator_step):
        raise InputError(f"{path}: the best generator of its trial is not the one that is kept beside it.")
    state = kept.last.state._replace(generator=generator.parameters, generator_buffers=generator.buffers)
    best = kept.last._replace(evaluation=lowest, state=state)
    return Continuation(evaluations, best, kept.last._replace(evaluation=evaluations[-1]))
