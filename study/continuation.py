"""A longer trial that goes on from the state that the same trial with fewer steps left in the results folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from study.checkpoint import Snapshot, load_state
from study.names import InputError
from study.results import state_path
from study.rows import CONTINUED
from study.trial import Trial


def continuation(
    trial: Trial,
    parent: Trial,
    results: Path,
    conditions: Mapping[str, Any],
    *,
    device: str = "cpu",
    peek: bool = False,
) -> Snapshot | None:
    """What `trial` goes on from, so that its rows are those of training from the start; None where no state is kept.

    Args:
        parent: the same trial with fewer steps.
        conditions: under which the longer trial is scored (`study.context.Context.conditions`).
        peek: see `study.checkpoint.load_state`.

    Raises InputError where the parent's state is damaged, another's or scored otherwise.
    """
    path = state_path(results, parent.id)
    if not path.is_file():
        return None
    kept = load_state(path, device=device, peek=peek)
    if kept.trial != parent:
        raise InputError(f"{path}: holds the state of trial {kept.trial.id}.")
    if differing := kept.differing(conditions):
        raise InputError(f"the shorter trials were scored otherwise ({', '.join(differing)}).")
    every, done = conditions["checkpoint_every"], kept.position.step
    if done != parent.training.discriminator_steps or done % every:
        raise InputError(f"the shorter trials end at step {done}, and the longer ones are scored every {every}.")
    return Snapshot(
        trial=trial,
        conditions=conditions,
        evaluations=tuple(replace(evaluation, trial_id=trial.id) for evaluation in kept.evaluations),
        best=kept.best._replace(trial=trial),
        position=kept.position,
        source=CONTINUED.format(trial_id=parent.id),
    )
