"""What is kept of a trial on disk: its best generator, to be sampled and scored again, and all that it goes on from."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.gan.model import Gan, State, Tensors, build, empty_state
from study.gan.optimizers import AdamState
from study.names import InputError
from study.results import read_evaluation, sync_and_replace, temporary_name
from study.train import Checkpoint
from study.trial import Evaluation, Trial


class Generator(NamedTuple):
    """A kept generator: its trial, the D update after which it was kept, and what it computes with."""

    trial: Trial
    step: int
    gan: Gan
    parameters: Tensors
    buffers: Tensors

    def __call__(self, latents: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] for latents [N, latent_dim], with the moving averages."""
        device = next(iter(self.parameters.values())).device
        with torch.no_grad():
            return self.gan.sample(self.parameters, self.buffers, latents.to(device))

    def to(self, device: str) -> "Generator":
        """The same generator, computing on `device`."""
        tensors = ({name: value.to(device) for name, value in part.items()} for part in (self.parameters, self.buffers))
        return self._replace(**dict(zip(("parameters", "buffers"), tensors, strict=True)))


def save_generator(path: Path, trial: Trial, step: int, shape: tuple[int, int], state: State) -> None:
    """Keep a generator of images of shape (channels, resolution), replacing an earlier one at once or not at all."""
    content = {
        "trial": trial.to_dict(),
        "step": step,
        "shape": list(shape),
        "parameters": state.generator,
        "buffers": state.generator_buffers,
    }
    _save(path, content)


def load_generator(path: Path, *, peek: bool = False) -> Generator:
    """The generator that `save_generator` kept; raises InputError where the file is missing or cannot be used.

    `peek`: see `load_state`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no generator is kept there; it is kept when a trial finishes with a score.")
    try:
        content = _load(path, peek=peek)
        trial = Trial.from_dict(content["trial"])
        gan = build(trial, *content["shape"])
        kept = Generator(trial, content["step"], gan, content["parameters"], content["buffers"])
        wanted = dict(gan.generator.named_parameters()), dict(gan.generator.named_buffers())
        if (_shapes(kept.parameters), _shapes(kept.buffers)) != (_shapes(wanted[0]), _shapes(wanted[1])):
            raise ValueError("its tensors are not those of its trial")
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable generator ({reason}); train it again.") from error
    return kept


ADAMS = ("generator_adam", "discriminator_adam")


class Snapshot(NamedTuple):
    """A trial at a scored checkpoint: all that training and its rows go on from.

    No random stream is part of it, since what a step draws depends on its number alone (`study.train`).

    Attributes:
        trial: what was trained.
        conditions: what, beside the trial, decided the evaluations (`study.execute.Context.conditions`).
        evaluations: all so far, that of `last` at the end.
        last: where training goes on.
    """

    trial: Trial
    conditions: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]
    last: Checkpoint


def save_state(
    path: Path,
    trial: Trial,
    shape: tuple[int, int],
    conditions: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    last: Checkpoint,
) -> None:
    """Keep a `Snapshot` of a trial on images of shape (channels, resolution), at once or not at all.

    The layout of the tensors in memory is kept too: convolutions round differently in another.
    """
    adams = {name: getattr(last.state, name)._asdict() for name in ADAMS}
    content = {
        "trial": trial.to_dict(),
        "shape": list(shape),
        "conditions": dict(conditions),
        "evaluations": [asdict(evaluation) for evaluation in evaluations],
        "state": {**last.state._asdict(), **adams},
        "training_seconds": last.training_seconds,
        "scoring_seconds": last.scoring_seconds,
    }
    _save(path, content)


def load_state(path: Path, *, device: str = "cpu", peek: bool = False) -> Snapshot:
    """The snapshot that `save_state` kept, on `device`; raises InputError where the file cannot be used.

    `peek`: the tensors' values are not read, which is quick but does not tell whether they are damaged.
    """
    try:
        content = _load(path, peek=peek, device=device)
        trial = Trial.from_dict(content["trial"])
        gan = build(trial, *content["shape"])
        state = _read_state(gan, content["state"])
        evaluations = tuple(read_evaluation(**evaluation) for evaluation in content["evaluations"])
        if {(e.trial_id, e.frechet_distance is None) for e in evaluations} != {(trial.id, False)}:
            raise ValueError("its evaluations are not those of its trial")
        seconds = float(content["training_seconds"]), float(content["scoring_seconds"])
        last = Checkpoint(evaluations[-1], gan, state, *seconds)
        return Snapshot(trial, dict(content["conditions"]), evaluations, last)
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable state ({reason}); train the trial again.") from error


def _read_state(gan: Gan, content: Mapping[str, Any]) -> State:
    """The state in plain data; raises an error where it is not one of this `gan`, tensor by tensor."""
    adams = {name: AdamState(**content[name]) for name in ADAMS}
    state = State(**{**content, **adams})
    found, wanted = pytree.tree_flatten(state), pytree.tree_flatten(empty_state(gan))
    kinds = ([(tensor.shape, tensor.dtype) for tensor in tensors] for tensors, _ in (found, wanted))
    if found[1] != wanted[1] or next(kinds) != next(kinds):
        raise ValueError("its tensors are not those of its trial")
    return state


def _load(path: Path, *, peek: bool, device: str = "cpu") -> dict[str, Any]:
    """What `_save` wrote; raises any error where the file is damaged, see `load_state` for `peek`."""
    if not peek:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # at checksums PyTorch does not look
                raise ValueError(f"wrong checksum of {damaged}")
    content: dict[str, Any] = torch.load(path, weights_only=True, mmap=peek, map_location=device)
    return content


def _save(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data and tensors, from any device, replacing an earlier file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        torch.save(pytree.tree_map_only(Tensor, lambda tensor: tensor.cpu().clone(), content), temporary)
        sync_and_replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
