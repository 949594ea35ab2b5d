"""Files of one trial: kept generators, which can be sampled and scored again, and training states to resume from."""

import contextlib
import errno
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.errors import InputError
from study.core.trial import Trial
from study.gan.model import Gan, State, build, empty_state
from study.gan.optimizers import AdamState
from study.storage.files import is_remote, replace
from study.storage.layout import generator_path
from study.storage.parts import read_evaluation
from study.training.lockstep import LossTally, Position, check_parameters
from study.worker.snapshot import KeptGenerator, Snapshot


class Unreadable(InputError):  # noqa: N818
    """Reading failed because of storage or GPU memory, not because the file is damaged: a later attempt may succeed."""


def save_generator(path: Path, generator: KeptGenerator, shape: tuple[int, int]) -> None:
    """Write a generator of images of `shape` (channels, resolution); an earlier file is replaced atomically."""
    content = {
        "trial": generator.trial.to_dict(),
        "step": generator.step,
        "shape": list(shape),
        "parameters": generator.parameters,
        "buffers": generator.buffers,
    }
    _save(path, content)


def resolve_trial(results: Path, prefix: str, trial_ids: Collection[str]) -> str:
    """The trial with a kept generator whose id starts with `prefix`.

    Args:
        results: the results folder.
        prefix: first digits of the id, as the user gave them.
        trial_ids: all trials of the folder.

    Raises:
        InputError: no trial or several trials have such an id, or the trial kept no generator.
    """
    matches = [trial_id for trial_id in trial_ids if prefix and trial_id.startswith(prefix)]
    if not matches:
        table = results / "trials.parquet"
        raise InputError(f"TRIAL_ID {prefix}: no such trial in {results}; the column trial_id of {table} has the ids.")
    if len(matches) > 1:
        raise InputError(f"TRIAL_ID {prefix}: {len(matches)} trials in {results} have such an id; give more digits.")
    path = generator_path(results, matches[0])
    if not path.is_file():
        raise InputError(
            f"TRIAL_ID {prefix}: no generator is kept in {path.parent}; one is kept when a trial finishes with a score;"
            " train it again."
        )
    return matches[0]


def load_generator(path: Path, *, peek: bool = False) -> KeptGenerator:
    """The generator that `save_generator` wrote.

    Args:
        path: the file.
        peek: see `load_state`.

    Raises:
        InputError: the file is missing or damaged.
        Unreadable: reading failed, but a later attempt may succeed; a subclass of InputError.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; a generator is kept when a trial finishes with a score.")
    try:
        content = _load(path, peek=peek)
        trial = Trial.from_dict(content["trial"])
        with contextlib.suppress(ValueError):  # a file that was moved, or holds another trial, is of today's semantics
            trial = trial.identified(path.parent.name)
        gan = build(trial, *content["shape"])
        return _read_generator(trial, gan, content)
    except Exception as error:  # a damaged file can raise any exception
        raise _read_error(path, error, "generator") from error


def _read_error(path: Path, error: Exception, kind: str) -> InputError:
    """The error to raise when reading a file of this kind failed: Unreadable if the failure may be temporary."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if _is_temporary(error):
        return Unreadable(f"{path}: cannot be read now ({reason}); try again.")
    return InputError(f"{path}: not a readable {kind} ({reason}); train the trial again.")


BATCH_COUNT = ".num_batches_tracked"
"""Ending of the names of buffers that earlier versions kept, and that nothing reads."""


def _read_generator(trial: Trial, gan: Gan, content: Mapping[str, Any]) -> KeptGenerator:
    """The generator in plain data; raises ValueError if names or shapes of its tensors are not those of `gan`."""
    buffers = {name: buffer for name, buffer in content["buffers"].items() if not name.endswith(BATCH_COUNT)}
    loaded = KeptGenerator(trial, content["step"], gan, content["parameters"], buffers)
    expected = dict(gan.generator.named_parameters()), dict(gan.generator.named_buffers())
    if (_shapes(loaded.parameters), _shapes(loaded.buffers)) != (_shapes(expected[0]), _shapes(expected[1])):
        raise ValueError("its tensors do not match its trial")
    return loaded


FORMAT = 2
"""Version of state files, raised when their content changes meaning. 2: Adam's moments are stored channels last."""
ADAMS = ("generator_adam", "discriminator_adam")


def save_state(path: Path, snapshot: Snapshot, shape: tuple[int, int]) -> None:
    """Write the state of a trial on images of `shape` (channels, resolution); an earlier file is replaced atomically.

    The memory layout of the tensors is kept too: convolutions round differently in another layout.

    Raises:
        Diverged: a parameter is not finite; the earlier file stays.
        ValueError: the trial has not started.
    """
    position, best = snapshot.reached, snapshot.best
    check_parameters(position.state, position.step)
    adams = {name: getattr(position.state, name)._asdict() for name in ADAMS}
    separate = best if best and best.step != position.step else None  # otherwise it is part of the state
    content = {
        "format": FORMAT,
        "trial_id": snapshot.trial.id,
        "trial": snapshot.trial.to_dict(),
        "shape": list(shape),
        "conditions": dict(snapshot.conditions),
        "evaluations": [asdict(evaluation) for evaluation in snapshot.evaluations],
        "best": separate and {"step": separate.step, "parameters": separate.parameters, "buffers": separate.buffers},
        "position": {
            **position._asdict(),
            "state": {**position.state._asdict(), **adams},
            "tally": position.tally._asdict(),
        },
        "source": snapshot.source,
        "resumptions": snapshot.resumptions,
    }
    _save(path, content)


def load_state(path: Path, *, device: str = "cpu", peek: bool = False) -> Snapshot:
    """The snapshot that `save_state` wrote, on `device`; it has a position.

    Args:
        path: the file.
        device: where its tensors are put.
        peek: do not read the tensors' values, which is fast but does not detect damage to them.

    Raises:
        InputError: the file is damaged, or of another release.
        Unreadable: reading failed, but a later attempt may succeed; a subclass of InputError.
    """
    try:
        content = _load(path, peek=peek, device=device)
        trial = Trial.from_dict(content["trial"])
        if content.get("format") != FORMAT:
            raise ValueError("it was written by another release")
        if content["trial_id"] != trial.id:
            raise ValueError("it was written under other semantics")
        gan = build(trial, *content["shape"])
        position = _read_position(gan, content["position"])
        evaluations = tuple(read_evaluation(**evaluation) for evaluation in content["evaluations"])
        steps = _scored_steps(trial, position.step, content["conditions"]["checkpoint_every"])
        if [(e.trial_id, e.discriminator_step) for e in evaluations] != [(trial.id, step) for step in steps]:
            raise ValueError("its evaluations do not match its trial")
        snapshot = Snapshot(
            trial=trial,
            conditions=dict(content["conditions"]),
            evaluations=evaluations,
            position=position,
            source=str(content["source"]),
            resumptions=int(content["resumptions"]),
        )
        return snapshot._replace(best=_read_best(snapshot, gan, content["best"]))
    except Exception as error:  # a damaged file can raise any exception
        raise _read_error(path, error, "state") from error


def _scored_steps(trial: Trial, step: int, checkpoint_every: int) -> list[int]:
    """The steps at which a trial that has reached `step` was scored."""
    last = [step] if step == trial.training.discriminator_steps and step % checkpoint_every else []
    return [*range(checkpoint_every, step + 1, checkpoint_every), *last]


def _read_best(snapshot: Snapshot, gan: Gan, content: Mapping[str, Any] | None) -> KeptGenerator | None:
    """The best generator, from its own entry or the state; raises ValueError if its step is not the best one."""
    if snapshot.lowest is None:
        return None
    state, step = snapshot.reached.state, snapshot.reached.step
    current = {"step": step, "parameters": state.generator, "buffers": state.generator_buffers}
    best = _read_generator(snapshot.trial, gan, content or current)
    if best.step != snapshot.lowest.discriminator_step:
        raise ValueError("its best generator does not match its evaluations")
    return best


def _read_position(gan: Gan, content: Mapping[str, Any]) -> Position:
    """The position in plain data; raises ValueError if it does not fit `gan`, Diverged if a loss is not finite."""
    state, tally = _read_state(gan, content["state"]), LossTally(**content["tally"])
    expected = LossTally.empty("cpu").sums
    if (tally.sums.shape, tally.sums.dtype) != (expected.shape, expected.dtype):
        raise ValueError("its losses have another shape or type")
    tally.check()
    seconds = float(content["training_seconds"]), float(content["scoring_seconds"])
    return Position(int(content["step"]), state, tally, *seconds)


def _read_state(gan: Gan, content: Mapping[str, Any]) -> State:
    """The state in plain data; raises ValueError if shapes or types of its tensors are not those of `gan`."""
    adams = {name: AdamState(**content[name]) for name in ADAMS}
    state = State(**{**content, **adams})
    (loaded, loaded_tree), (expected, expected_tree) = map(pytree.tree_flatten, (state, empty_state(gan)))
    types = [[(tensor.shape, tensor.dtype) for tensor in tensors] for tensors in (loaded, expected)]
    if loaded_tree != expected_tree or types[0] != types[1]:
        raise ValueError("its tensors do not match its trial")
    return state


def _is_temporary(error: Exception) -> bool:
    """Whether storage or GPU memory failed; False if the file is damaged or missing.

    Reading a damaged file may seek to a negative offset, for which the system reports EINVAL.
    """
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError) and error.errno != errno.EINVAL
    return isinstance(error, torch.OutOfMemoryError)


def _load(path: Path, *, peek: bool, device: str = "cpu") -> dict[str, Any]:
    """The content that `_save` wrote; a damaged file can raise any exception. `peek`: see `load_state`."""
    content: dict[str, Any]
    if peek and not is_remote(path):
        content = torch.load(path, weights_only=True, mmap=True, map_location=device)
        return content
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            if damaged := archive.testzip():  # PyTorch ignores checksums
                raise ValueError(f"wrong checksum of {damaged}")
        file.seek(0)
        content = torch.load(file, weights_only=True, map_location=device)
    return content


def _save(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data and tensors, from any device; an earlier file is replaced atomically."""
    plain = pytree.tree_map_only(Tensor, lambda tensor: tensor.cpu().clone(), content)
    replace(path, partial(_write, plain))


def _write(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Raises OSError if the system cannot write; PyTorch would raise a RuntimeError instead."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
